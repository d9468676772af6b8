"""Write replies with probabilities, and beside each the array that is in it, for ``read_replies.py`` to compare.

    python tests/peers/write_replies.py FOLDER          (``make test-recordio`` runs both)

FOLDER gets NN.rec (a reply's body) and NN.npy for each array, and all.rec: the bodies in one file, as a batch's results
are joined.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sagemaker_semseg.serving.content_negotiation import choose_response_format
from sagemaker_semseg.serving.response_encoding import encode_response

SHAPES = [(2, 1, 1), (2, 1, 3), (3, 5, 7), (21, 37, 53), (254, 2, 3), (21, 600, 800)]
MAGIC = struct.pack("<I", 0xCED7230A)


def arrays() -> Iterator[np.ndarray]:
    rng = np.random.default_rng(0)
    for dtype in (np.float32, np.float16):
        for shape in SHAPES:
            logits = rng.normal(0, 6, shape)
            yield (np.exp(logits) / np.exp(logits).sum(0)).astype(dtype)
        limits = np.finfo(dtype)
        yield np.array([0, 1, -1, np.inf, limits.smallest_subnormal, limits.max], dtype).reshape(2, 1, 3)
        # the magic number of RecordIO in every alignment: whatever precedes the array, some stand at multiples of four
        yield np.frombuffer((MAGIC * 3 + b"\0") * 88, dtype).reshape(2, 11, -1)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "all.rec", "wb") as together:
        for number, array in enumerate(arrays()):
            accept = f"application/x-recordio-protobuf; dtype={array.dtype.name}"
            body = b"".join(encode_response(choose_response_format(accept), array))
            together.write(body)
            (folder / f"{number:02}.rec").write_bytes(body)
            np.save(folder / f"{number:02}.npy", array)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

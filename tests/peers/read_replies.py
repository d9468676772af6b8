"""Read the replies of ``write_replies.py`` with MXNet and with SageMaker's own package; exit 1 on any difference.

    .envs/recordio/bin/python tests/peers/read_replies.py FOLDER          (``make test-recordio`` runs both)

Nothing of this project is imported here. Every number is compared, by its bits.
"""

import io
import logging
import sys
import warnings
from pathlib import Path

logging.disable(logging.INFO)  # sagemaker tells where it found no configuration
warnings.simplefilter("ignore")

import mxnet  # noqa: E402
import numpy as np  # noqa: E402
import sagemaker  # noqa: E402
from sagemaker.amazon.common import read_records  # noqa: E402
from sagemaker.amazon.record_pb2 import Record  # noqa: E402


def by_mxnet(path):
    reader = mxnet.recordio.MXRecordIO(str(path), "r")
    records = []
    while (payload := reader.read()) is not None:
        records.append(Record.FromString(payload))
    return records


def by_sagemaker(path):
    return read_records(io.BytesIO(path.read_bytes()))


def array(record):
    """What a client makes of a record."""
    shape = list(record.features["shape"].int32_tensor.values)
    target = record.features["target"]
    if target.WhichOneof("value") == "float32_tensor":
        values = np.array(target.float32_tensor.values, np.float32)
    else:
        (data,) = target.bytes.value
        values = np.frombuffer(data, "<f2")
    return values.reshape(shape)


def different(record, expected):
    found = array(record)
    return (
        sorted(record.features) != ["shape", "target"]
        or found.dtype != expected.dtype
        or found.shape != (1, *expected.shape)
        or found.tobytes() != expected.tobytes()
    )


def main(folder):
    expected = [np.load(path) for path in sorted(folder.glob("*.npy"))]
    wrong = 0
    for read, package in (by_mxnet, mxnet), (by_sagemaker, sagemaker):
        singly = [record for path in sorted(folder.glob("[0-9]*.rec")) for record in read(path)]
        for records in singly, read(folder / "all.rec"):
            assert len(records) == len(expected) > 0
            for number, (record, values) in enumerate(zip(records, expected, strict=True)):
                if different(record, values):
                    wrong += 1
                    print(f"reply {number:02}, {values.dtype} {values.shape}: DIFFERENT")
        print(f"{package.__name__} {package.__version__}: {len(expected)} replies, each by itself and all in one file")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

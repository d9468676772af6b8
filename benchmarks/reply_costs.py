"""What a mask costs beside the network: CPU time of each stage, and of PNG's compression levels.

Output: a markdown page. The stages run one after the other in each round, in one thread. The logits are smooth random
numbers with areas like a mask's, where far more classes are near each other than in an image, or those of a model:

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/reply_costs.py [--model MODEL --image IMAGE]
"""

import argparse
import functools
import io
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from machine import describe
from pages import facts, table
from PIL import Image
from pipeline_images import texture

from sagemaker_semseg.data.images import decode_image, encode_mask, palette
from sagemaker_semseg.inference import CancellationToken, Segmenter
from sagemaker_semseg.inference.postprocessing import (
    _COLUMNS,
    _ROWS,
    _argmax,
    _band_rows,
    _blocks,
    _interpolation,
    _widened,
    to_labels,
)
from sagemaker_semseg.inference.runtimes import _freed_memory_returned
from sagemaker_semseg.inference.test_time_augmentation import AugmentedView
from sagemaker_semseg.inference.tiling import LogitRows

LEVELS = (0, 1, 3, 6, 9)


def labels_of_all(logits: LogitRows, height: int, width: int, classes: int) -> np.ndarray:
    """Labels with every class resized, as until 2026-11-27."""
    out, columns = np.empty((height, width), np.uint8), _blocks(logits.columns, width, flip=False, size=_COLUMNS)
    rows = _band_rows(_ROWS, classes, width)
    for first in range(0, height, rows):
        last = min(first + rows, height)
        cell, matrix = _interpolation(first, last, logits.rows, height)
        coarse = logits.read_rows(cell, cell + len(matrix))
        _argmax(np.matmul(matrix.T, _widened(coarse, width, columns)), range(classes), out[first:last])
    return out


def smooth_logits(classes: int, height: int, width: int) -> np.ndarray:
    """(classes, height / 8, width / 8) float32 with areas of some 60 pixels."""
    random = np.random.default_rng(0)
    coarse = random.normal(0, 3, (classes, 6, 8)).astype(np.float32)
    return resized(coarse, -(-height // 8), -(-width // 8))


def resized(planes: np.ndarray, height: int, width: int) -> np.ndarray:
    """(classes, height, width) float32."""
    return np.stack([np.asarray(Image.fromarray(plane).resize((width, height))) for plane in planes])


def png(labels: np.ndarray, level: int) -> bytes:
    """As ``encode_mask``, at another level."""
    image = Image.frombytes("P", labels.shape[::-1], labels.tobytes())
    image.putpalette(palette().tobytes())
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=level)
    return out.getvalue()


def measure(stages: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median milliseconds of CPU time of each stage, the stages taking turns."""
    seconds: dict[str, list[float]] = {name: [] for name in stages}
    for _ in range(rounds):
        for name, run in stages.items():
            since = time.process_time()
            run()
            seconds[name].append(time.process_time() - since)
    return {name: 1000 * median(values) for name, values in seconds.items()}


def stages_of(coarse: np.ndarray, pixels: np.ndarray, jpeg: bytes) -> dict[str, Callable[[], object]]:
    (height, width), classes = pixels.shape[:2], len(coarse)

    def rows() -> LogitRows:
        return LogitRows(AugmentedView(pixels), lambda _: coarse, 2**15, 8)

    def label() -> np.ndarray:
        return to_labels([rows()], height, width, classes, lambda: None)

    labels = label()
    assert np.array_equal(labels, labels_of_all(rows(), height, width, classes))
    return {
        "JPEG to pixels": lambda: decode_image(jpeg),
        "labels, all classes resized": lambda: labels_of_all(rows(), height, width, classes),
        "labels": label,
        "labels to PNG": lambda: encode_mask(labels),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--model", type=Path, help="whose logits of an image are used")
    parser.add_argument("--image", type=Path)
    args = parser.parse_args()
    jpeg = args.image.read_bytes() if args.image else encoded(texture(np.random.RandomState(0)))
    pixels = decode_image(jpeg)
    height, width = pixels.shape[:2]
    with _freed_memory_returned():  # leaves malloc as it is in a worker that has loaded a graph
        pass
    if args.model:
        segmenter = Segmenter(args.model, runtime="onnxruntime", precision="float32", threads=1)
        all_logits = [segmenter._run(pixels, CancellationToken())]
    else:
        all_logits = [smooth_logits(classes, height, width) for classes in (11, 21, 150)]
    rows, png_rows = [], []
    for logits in all_logits:
        stages = stages_of(logits, pixels, jpeg)
        found = measure(stages, args.rounds)
        ratio = found["labels"] / found["labels, all classes resized"]
        rows.append([len(logits), *(f"{value:.2f}" for value in found.values()), f"{ratio:.2f}"])
        labels = stages["labels"]()
        levels = measure({level: functools.partial(png, labels, level) for level in LEVELS}, args.rounds)
        png_rows += [[len(logits), level, f"{levels[level]:.2f}", len(png(labels, level))] for level in LEVELS]
    print(facts(describe()))
    print(
        f"{width} x {height} pixels; milliseconds of CPU time, medians of {args.rounds} rounds, stages taking turns.\n"
    )
    print(table(["classes", *found, "labels, ratio to all classes"], rows))
    print(f"PNG's levels (zlib {zlib.ZLIB_RUNTIME_VERSION}); replies have level 1.\n")
    print(table(["classes", "level", "ms", "bytes"], png_rows))


def encoded(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=90)
    return out.getvalue()


if __name__ == "__main__":
    main()

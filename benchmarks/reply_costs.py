"""What a mask costs beside the network: CPU time of each stage, and of PNG's compression levels.

Output: a markdown page. The stages run one after the other in each round, in one thread. The logits are those of no
network: smooth random numbers, so that areas look like a mask's.
"""

import argparse
import functools
import io
import time
import zlib
from collections.abc import Callable
from statistics import median

import numpy as np
from machine import describe
from pages import facts, table
from PIL import Image
from pipeline_images import texture

from sagemaker_semseg.data.images import decode_image, encode_mask, palette
from sagemaker_semseg.inference.postprocessing import _argmax, _blocks, _interpolation, _widened, to_labels
from sagemaker_semseg.inference.test_time_augmentation import AugmentedView
from sagemaker_semseg.inference.tiling import LogitRows

LEVELS = (0, 1, 3, 6, 9)


def argmax_before(scores: np.ndarray, out: np.ndarray) -> None:
    """The argmax until 2026-11-27: ``numpy.copyto`` with masks."""
    best = scores[0].copy()
    out[:] = 0
    for label in range(1, len(scores)):
        better = scores[label] > best
        np.copyto(best, scores[label], where=better)
        np.copyto(out, np.uint8(label), where=better)


def labels_before(logits: LogitRows, height: int, width: int) -> np.ndarray:
    """Labels until 2026-11-27: rows first, in blocks of 256; so probabilities are made still."""
    out, columns = np.empty((height, width), np.uint8), _blocks(logits.columns, width, flip=False, size=256)
    for first in range(0, height, 256):
        last = min(first + 256, height)
        cell, matrix = _interpolation(first, last, logits.rows, height)
        rows = np.matmul(matrix.T, logits.read_rows(cell, cell + len(matrix)))
        _argmax(_widened(rows, width, columns), out[first:last])
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


def stages_of(classes: int, pixels: np.ndarray, jpeg: bytes) -> dict[str, Callable[[], object]]:
    height, width = pixels.shape[:2]
    coarse = smooth_logits(classes, height, width)

    def rows() -> LogitRows:
        return LogitRows(AugmentedView(pixels), lambda _: coarse, 2**15, 8)

    def label() -> np.ndarray:
        return to_labels([rows()], height, width, classes, lambda: None)

    labels, logits = label(), resized(coarse, height, width)
    before, now = np.empty_like(labels), np.empty_like(labels)
    argmax_before(logits, before)
    _argmax(logits, now)
    assert np.array_equal(before, now)
    assert np.array_equal(labels, labels_before(rows(), height, width))
    return {
        "JPEG to pixels": lambda: decode_image(jpeg),
        "resize and argmax, before": lambda: labels_before(rows(), height, width),
        "resize and argmax": label,
        "argmax, before": lambda: argmax_before(logits, before),
        "argmax": lambda: _argmax(logits, now),
        "labels to PNG": lambda: encode_mask(labels),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    rounds = parser.parse_args().rounds
    pixels, out = texture(np.random.RandomState(0)), io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=90)
    height, width = pixels.shape[:2]
    rows, png_rows = [], []
    for classes in (11, 21):
        stages = stages_of(classes, pixels, out.getvalue())
        found = measure(stages, rounds)
        ratios = [found[what] / found[f"{what}, before"] for what in ("resize and argmax", "argmax")]
        rows.append([classes, *(f"{value:.2f}" for value in [*found.values(), *ratios])])
        labels = stages["resize and argmax"]()
        levels = measure({level: functools.partial(png, labels, level) for level in LEVELS}, rounds)
        png_rows += [[classes, level, f"{levels[level]:.2f}", len(png(labels, level))] for level in LEVELS]
    print(facts(describe()))
    print(
        f"{width} x {height} pixels; milliseconds of CPU time, medians of {rounds} rounds, the stages taking turns.\n"
    )
    print(table(["classes", *found, "resize and argmax, ratio to before", "argmax, ratio to before"], rows))
    print(f"PNG's levels (zlib {zlib.ZLIB_RUNTIME_VERSION}); replies have level 1.\n")
    print(table(["classes", "level", "ms", "bytes"], png_rows))


if __name__ == "__main__":
    main()

"""Previews: the pairs that a report shows, and small JPEGs of them with their labels laid over the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from sagemaker_semseg.checks.image_checks import SampleSummary
from sagemaker_semseg.checks.report import Preview
from sagemaker_semseg.data.color_masks import decode_color_mask
from sagemaker_semseg.data.datasets import DatasetScan
from sagemaker_semseg.data.images import decode_image, decode_mask
from sagemaker_semseg.data.labels import IGNORE, INVALID
from sagemaker_semseg.data.overlay import overlay
from sagemaker_semseg.data.thumbnails import jpeg_data_uri, shrink_image, shrink_labels, thumbnail_size
from sagemaker_semseg.errors import DataError

MAX_PREVIEWS: Final = 8
MAX_PIXELS: Final = 1 << 25
MAX_BYTES: Final = 1 << 27

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Thumbnails:
    """A small image and the same with its labels over it.

    Attributes:
        image: JPEG as a ``data:`` URI; ``overlay`` alike.
        width: Of both, in pixels; ``height`` alike.
        labels: That occur, the most frequent first, ignored pixels last.
    """

    image: str
    overlay: str
    width: int
    height: int
    labels: tuple[int, ...]


def choose_previews(scan: DatasetScan, summaries: Sequence[SampleSummary], num_classes: int) -> tuple[Preview, ...]:
    """Choose pairs that show every class if possible, each for the rarest class that the others don't show."""
    good = [sample for sample in summaries if sample.size is not None and sample.values is not None]
    if scan.label_map is None or not good:
        return ()
    shows = _labels_of(good, scan.label_map.table, num_classes)
    unseen = shows.any(0)
    chosen: list[int] = []
    while len(chosen) < min(MAX_PREVIEWS, len(good)):
        if unseen.any():
            rarest = min(np.flatnonzero(unseen), key=lambda label: scan.image_counts[label])
            gain = np.where(shows[:, rarest], (shows & unseen).sum(1), -1)
        else:  # all are seen: pairs spread over the set
            gain = np.zeros(len(good), np.int64)
            gain[len(good) * len(chosen) // MAX_PREVIEWS :] = 1
        gain[chosen] = -1
        chosen.append(int(gain.argmax()))
        unseen &= ~shows[chosen[-1]]
    return tuple(Preview(good[index].pair, *(good[index].size or (0, 0))) for index in chosen)


def _labels_of(
    summaries: Sequence[SampleSummary], table: npt.NDArray[np.int16], num_classes: int
) -> npt.NDArray[np.bool_]:
    """Return (samples, num_classes): which labels each mask holds."""
    shows = np.zeros((len(summaries), num_classes), np.bool_)
    valid = (table != IGNORE) & (table != INVALID) & (table < num_classes)
    for row, sample in zip(shows, summaries, strict=True):
        if sample.values is not None:
            row[table[np.unpackbits(sample.values).astype(np.bool_) & valid]] = True
    return shows


def make_thumbnails(preview: Preview, num_classes: int, lookup: Pixels | None) -> Thumbnails | str:
    """Make the thumbnails of a pair, or say why there are none: its files may have changed since they were checked.

    lookup: as in ``SplitFacts``.
    """
    if preview.height * preview.width > MAX_PIXELS:
        return "too large to be shown here"
    try:
        image = decode_image(_read(preview.pair.image), "the image")
        mask = _read(preview.pair.mask)
        if preview.pair.color_map:
            labels, _ = decode_color_mask(mask, preview.pair.color_map, "the mask")
        else:
            labels = decode_mask(mask, "the mask")
    except (DataError, OSError) as error:
        faults = error.faults if isinstance(error, DataError) else ()
        return str(faults[0]) if faults else f"can't be read any more: {getattr(error, 'strerror', None) or error}"
    if lookup is not None:
        labels = lookup[labels]
    labels = np.where(labels < num_classes, labels, IGNORE).astype(np.uint8)
    counts = np.bincount(labels.ravel(), minlength=256)
    order = sorted(np.flatnonzero(counts).tolist(), key=lambda label: (label == IGNORE, -counts[label]))
    size = thumbnail_size(*image.shape[:2])
    small, small_labels = shrink_image(image, size), shrink_labels(labels, size)
    drawn = overlay(small, small_labels, num_classes)
    return Thumbnails(jpeg_data_uri(small), jpeg_data_uri(drawn), *size, tuple(order))


def _read(path: Path) -> bytes:
    with open(path, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise OSError(f"more than {MAX_BYTES} bytes")
    return data

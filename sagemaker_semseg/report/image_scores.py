"""A model on labeled images: the score of each image, intervals over images, and calibration.

The model is run as it is used, by ``Segmenter``: at its scales, in tiles where an image is large.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from sagemaker_semseg.data.datasets import FileDataset
from sagemaker_semseg.data.images import decode_image
from sagemaker_semseg.data.labels import IGNORE
from sagemaker_semseg.data.overlay import overlay
from sagemaker_semseg.data.samples import EncodedSample, ImageMaskPair
from sagemaker_semseg.data.thumbnails import jpeg_data_uri, shrink_image, shrink_labels, thumbnail_size
from sagemaker_semseg.image_metrics import BINS, Calibration, Interval, count_bins, intervals
from sagemaker_semseg.inference import Segmenter
from sagemaker_semseg.metrics import Scores, confusion_matrix

__all__ = ["Calibration", "ImageScores", "Interval", "Panels", "draw_panels", "measure"]

Bytes = npt.NDArray[np.uint8]

MAX_PROBABILITIES: Final = 1 << 27
"""Numbers in the probabilities of one image; a larger one has labels alone and doesn't count for the calibration."""

_SIDE: Final = 320
_WRONG: Final = (229, 72, 77)


@dataclass(frozen=True, eq=False)
class ImageScores:
    """The scores of a model on a data set, in all and by image.

    Attributes:
        split: "train" or "validation".
        pairs: The images, in the data set's order.
        scores: Over all images.
        iou: (N,) mean IoU of each image, over the classes that occur in its labels or predictions; NaN without labels.
        wrong: (N,) share of the labeled pixels that are predicted wrong; NaN without labels.
        miou_interval: Of ``scores.miou``.
        class_intervals: Of each class's IoU; None where the class doesn't occur.
        calibration: None if every image was too large for it.
    """

    split: str
    pairs: Sequence[ImageMaskPair]
    scores: Scores
    iou: npt.NDArray[np.float64]
    wrong: npt.NDArray[np.float64]
    miou_interval: Interval
    class_intervals: Sequence[Interval | None]
    calibration: Calibration | None

    def ranked(self) -> list[int]:
        """Return the images' numbers, the worst first; images without labels are left out."""
        return [int(i) for i in np.argsort(self.iou, kind="stable") if np.isfinite(self.iou[i])]


@dataclass(frozen=True)
class Panels:
    """Thumbnails of an image, its labels, its predictions, and the pixels that are wrong, as data: URIs."""

    image: str
    truth: str
    prediction: str
    wrong: str
    width: int
    height: int


def measure(
    segmenter: Segmenter, dataset: FileDataset, progress: Callable[[float, float], None] | None = None
) -> ImageScores:
    """Predict every image of a data set and compare it with its mask.

    Args:
        segmenter: The model.
        dataset: Checked pairs with as many classes.
        progress: Called with (images done, images in all).

    Raises:
        DataError: A file has changed since it was checked.
        OSError: A file is gone.
    """
    classes, count = segmenter.num_classes, dataset.count
    total, bins = np.zeros((classes, classes), np.int64), np.zeros((3, BINS))
    hits, unions = np.zeros((count, classes), np.int64), np.zeros((count, classes), np.int64)
    labeled = np.zeros(count, np.int64)
    for number, pair in enumerate(dataset.pairs):
        image, labels = _read(pair, dataset)
        if labels.size * classes <= MAX_PROBABILITIES:
            probabilities = segmenter.probabilities(image)
            predicted = probabilities.argmax(0)
            bins += count_bins(probabilities.max(0), predicted == labels, labels != IGNORE)
        else:
            predicted = segmenter.labels(image)
        confusion = confusion_matrix(labels, predicted, classes)
        total += confusion
        hits[number], labeled[number] = np.diag(confusion), confusion.sum()
        unions[number] = confusion.sum(0) + confusion.sum(1) - hits[number]
        if progress:
            progress(number + 1, count)
    with np.errstate(invalid="ignore"):
        iou = np.where(unions > 0, hits / unions, np.nan)
        wrong = 1 - hits.sum(1) / labeled
        occurring = (unions > 0).sum(1)
        of_images = np.nansum(iou, 1) / occurring
    miou_interval, class_intervals = intervals(list(hits), list(unions))
    return ImageScores(
        dataset.channel,
        dataset.pairs,
        Scores.of(total),
        of_images,
        wrong,
        miou_interval,
        class_intervals,
        Calibration.of(bins),
    )


def draw_panels(segmenter: Segmenter, dataset: FileDataset, number: int) -> Panels:
    """Predict one image of the data set again and draw it. Raises as ``measure`` does."""
    image, labels = _read(dataset.pairs[number], dataset)
    predicted, classes = segmenter.labels(image), segmenter.num_classes
    size = thumbnail_size(labels.shape[0], labels.shape[1], _SIDE)
    small, truth, prediction = shrink_image(image, size), shrink_labels(labels, size), shrink_labels(predicted, size)
    gray = np.repeat(small.mean(2, keepdims=True) * 0.5 + 110, 3, 2).astype(np.uint8)
    wrong = (truth != prediction) & (truth != IGNORE)
    gray[wrong] = _WRONG
    return Panels(
        image=jpeg_data_uri(small),
        truth=jpeg_data_uri(overlay(small, truth, classes)),
        prediction=jpeg_data_uri(overlay(small, prediction, classes)),
        wrong=jpeg_data_uri(gray),
        width=size[0],
        height=size[1],
    )


def _read(pair: ImageMaskPair, dataset: FileDataset) -> tuple[Bytes, Bytes]:
    sample = EncodedSample.read(pair)
    return decode_image(sample.image), dataset.label_map.apply(sample.mask_values())

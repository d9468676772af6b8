"""Measures runtime graphs on labeled images, at the images' own size. No TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sagemaker_semseg.data.datasets import FileDataset
from sagemaker_semseg.data.images import decode_image
from sagemaker_semseg.data.samples import EncodedSample
from sagemaker_semseg.inference import Segmenter
from sagemaker_semseg.metrics import Scores, confusion_matrix


@dataclass(frozen=True, eq=False)
class GraphComparison:
    """Scores of several graphs on the same images, and how many labels they change.

    Attributes:
        images: The number of images.
        scores: Of each graph.
        changed: Share of all pixels whose label differs between the first and the last graph.
        changed_worst: The largest share in one image.
    """

    images: int
    scores: tuple[Scores, ...]
    changed: float
    changed_worst: float


def compare_graphs(
    segmenters: Sequence[Segmenter], dataset: FileDataset, progress: Callable[[int], None] | None = None
) -> GraphComparison:
    """Labels every image of a data set with each segmenter.

    Args:
        segmenters: Of one model; every pixel of every image counts.
        dataset: The images and their masks, checked.
        progress: Called with the number of images done.

    Raises:
        DataError: A file has changed or can't be read any more.
    """
    classes = segmenters[0].num_classes
    confusions = np.zeros((len(segmenters), classes, classes), np.int64)
    changed = pixels = worst = 0.0
    for done, pair in enumerate(dataset.pairs, 1):
        sample = EncodedSample.read(pair)
        image, truth = decode_image(sample.image), dataset.label_map.apply(sample.mask_values())
        predictions = [segmenter.labels(image) for segmenter in segmenters]
        for confusion, predicted in zip(confusions, predictions, strict=True):
            confusion += confusion_matrix(truth, predicted, classes)
        differing = int(np.count_nonzero(predictions[0] != predictions[-1]))
        changed, pixels = changed + differing, pixels + truth.size
        worst = max(worst, differing / truth.size)
        if progress:
            progress(done)
    return GraphComparison(dataset.count, tuple(map(Scores.of, confusions)), changed / max(pixels, 1), worst)

"""An evaluation as a value: measures a model on labeled images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from sagemaker_semseg.artifact import Artifact, locate_artifact, read_artifact
from sagemaker_semseg.checks.label_doubts import doubt_error, find_label_doubts
from sagemaker_semseg.data.datasets import FileDataset, read_split
from sagemaker_semseg.data.images import decode_image
from sagemaker_semseg.data.samples import EncodedSample
from sagemaker_semseg.hyperparameters import resolve
from sagemaker_semseg.image_metrics import DetailedScores, DetailedScoresBuilder
from sagemaker_semseg.jobs.channel_locations import locate_channels
from sagemaker_semseg.jobs.progress_bar import progress_bar
from sagemaker_semseg.jobs.tensorflow_setup import load_tensorflow
from sagemaker_semseg.metrics import Scores, confusion_matrix

if TYPE_CHECKING:
    from sagemaker_semseg.inference import Segmenter


Predictions: TypeAlias = Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]
"""Of each image the labels, the predicted ones and their probabilities, (H, W)."""


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """One evaluation, unchecked; its fields are plain values.

    Attributes:
        model: a ``model.tar.gz``, a folder of its files, or the output folder of a training.
        data: a folder that holds the channels, or a manifest; a path or an s3:// URI.
        channels: single channels by name, which win over those in ``data``; paths or s3:// URIs.
        attribute_names: by split, a manifest's attributes for images and masks.
        split: ``validation`` or ``train``.
        batch_size: images in one step; the model's ``validation_mini_batch_size`` if None.
        precision: ``float32`` measures the network, ``int8`` the int8 graph; ``auto`` is what ``predict`` takes.
        allow_doubtful_labels: whether masks are taken whose labelled pixels are all of one class.
        verbose: whether messages of TensorFlow's libraries are shown.
    """

    model: str
    data: str | None = None
    channels: Mapping[str, str] = field(default_factory=dict)
    attribute_names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    split: str = "validation"
    batch_size: int | None = None
    precision: str = "auto"
    allow_doubtful_labels: bool = False
    verbose: bool = False


@dataclass(frozen=True, eq=False)
class EvaluationResult:
    """The scores of a model.

    images: how many were compared. class_names: from label 0 on. details: boundary IoU, calibration, and the interval
    of mIOU. precision: what was measured, and why.
    """

    model: str
    split: str
    images: int
    scores: Scores
    details: DetailedScores
    class_names: tuple[str, ...]
    precision: str = "float32"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; a row of ``confusion_matrix`` is a true label, a column a predicted one."""
        found = {"model": self.model, "split": self.split, "images": self.images, "precision": self.precision}
        return {**found, **self.scores.to_dict(self.class_names), **self.details.to_dict()}


def run_evaluation(config: EvaluationConfig) -> EvaluationResult:
    """Compare a model's masks with the true ones, every pixel at the images' own size.

    Raises:
        ArtifactError: the model can't be used.
        DataError: with everything that is wrong with the data.
    """
    path = locate_artifact(Path(config.model))
    artifact = read_artifact(path)
    segmenter = _int8_segmenter(path, artifact, config.precision)
    hp = resolve(artifact.hyperparameters)
    folders = locate_channels(config.data, config.channels, config.split)
    names = tuple(artifact.labels.get("class_names") or ())
    with progress_bar("checking the data") as update:
        split = read_split(
            folders, hp.num_classes, config.split, update, attributes=config.attribute_names, class_names=names
        )
    doubt = doubt_error(find_label_doubts([split], hp.num_classes, names, folders))
    if doubt and not config.allow_doubtful_labels:
        raise doubt
    if segmenter:
        predicted, precision = _predictions_of_graph(segmenter, split), segmenter.choice
    else:
        batch_size = config.batch_size or hp.validation_mini_batch_size
        predicted, precision = _predictions_of_network(artifact, split, batch_size, config.verbose), "float32"
    scores = _compare(predicted, hp.num_classes, split.count)
    names = names or tuple(map(str, range(hp.num_classes)))
    return EvaluationResult(config.model, split.channel, split.count, *scores, names, precision)


def _int8_segmenter(path: Path, artifact: Artifact, precision: str) -> Segmenter | None:
    """The int8 graph, if it is wanted and there; None: the network itself is measured."""
    if precision == "float32" or (precision == "auto" and "quantization" not in artifact.metrics):
        return None
    from sagemaker_semseg.inference import Segmenter  # and ONNX Runtime

    segmenter = Segmenter(path, precision=precision, scales=(1.0,), flip=False)
    return segmenter if segmenter.precision == "int8" else None


def _predictions_of_graph(segmenter: Segmenter, split: FileDataset) -> Predictions:
    for pair in split.pairs:
        sample = EncodedSample.read(pair)
        probabilities = segmenter.probabilities(decode_image(sample.image))
        labels = split.label_map.apply(sample.mask_values())
        yield labels, probabilities.argmax(0).astype(np.uint8), probabilities.max(0)


def _predictions_of_network(artifact: Artifact, split: FileDataset, batch_size: int, verbose: bool) -> Predictions:
    strategy = load_tensorflow(verbose=verbose)
    from sagemaker_semseg.models.network import network_of
    from sagemaker_semseg.training.evaluation import Evaluator

    with strategy.scope():
        network, hp = network_of(artifact)
    yield from Evaluator(network, hp.num_classes, strategy).predictions(split, batch_size)


def _compare(predicted: Predictions, num_classes: int, count: int) -> tuple[Scores, DetailedScores]:
    total, details = np.zeros((num_classes, num_classes), np.int64), DetailedScoresBuilder(num_classes)
    with progress_bar("evaluating", count) as update:
        for number, (labels, predictions, probabilities) in enumerate(predicted, 1):
            total += confusion_matrix(labels, predictions, num_classes)
            details.add(labels, predictions, probabilities)
            update(number, count)
    return Scores.of(total), details.build()

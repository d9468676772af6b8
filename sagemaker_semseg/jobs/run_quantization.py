"""A quantization as a value: adds an int8 graph to a model, if it is as good as the float32 one.

The ranges come from training images, evenly spread over the data set. Then both graphs label the validation images, and
the int8 graph is refused where it is worse than the limits allow.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from sagemaker_semseg.artifact import (
    Artifact,
    InferenceArtifact,
    read_artifact,
    read_inference_artifact,
    read_summary,
    write_artifact,
)
from sagemaker_semseg.data.datasets import Datasets, FileDataset, read_channels
from sagemaker_semseg.data.images import Pixels, decode_image
from sagemaker_semseg.data.samples import EncodedSample
from sagemaker_semseg.errors import Fault, UserError, explain
from sagemaker_semseg.inference import Segmenter
from sagemaker_semseg.jobs.channel_locations import locate_channels
from sagemaker_semseg.jobs.graph_evaluation import GraphComparison, compare_graphs
from sagemaker_semseg.jobs.model_location import local_artifact
from sagemaker_semseg.jobs.progress_bar import progress_bar
from sagemaker_semseg.signals import catch_signals
from sagemaker_semseg.storage import is_s3

MAX_CLASS_DROP = 0.03
"""How far the IoU of any class may fall."""

MAX_CHANGED = 0.01
"""Share of all pixels whose label may change: mIOU alone doesn't show changes that cancel out."""

MAX_PIXELS = 2**21
"""Pixels of a calibration image; of larger ones the middle is taken, as they are used in tiles."""


@dataclass(frozen=True, kw_only=True)
class QuantizationConfig:
    """One quantization, unchecked; its fields are plain values.

    Attributes:
        model: A ``model.tar.gz``, which may be in S3, a folder of its files, or the output folder of a training.
        output: The model to be written: an archive if the name ends in ``.tar.gz``, else a folder.
        data: As for ``EvaluationConfig``; training images calibrate, validation images measure.
        channels: Single channels by name.
        attribute_names: By split, a manifest's attributes for images and masks.
        images: Training images to calibrate with.
        max_drop: How far mIOU may fall.
        force: Whether the model is written though a limit is exceeded.
    """

    model: str
    output: str
    data: str | None = None
    channels: Mapping[str, str] = field(default_factory=dict)
    attribute_names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    images: int = 64
    max_drop: float = 0.01
    force: bool = False


@dataclass(frozen=True, eq=False)
class QuantizationResult:
    """What a quantization measured.

    Attributes:
        output: The model that was written.
        class_names: From label 0 on.
        calibration_images: The number of training images.
        comparison: Scores of float32 and of int8, in this order.
        bytes: Of both graphs.
        faults: The limits that were exceeded.
    """

    output: str
    class_names: tuple[str, ...]
    calibration_images: int
    comparison: GraphComparison
    bytes: tuple[int, int]
    faults: tuple[Fault, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; they stand in the artifact's metrics under ``quantization``."""
        figures = {}
        for name, scores, size in zip(("float32", "int8"), self.comparison.scores, self.bytes, strict=True):
            iou = [None if math.isnan(value) else value for value in scores.iou.tolist()]
            figures[name] = {"mIOU": scores.miou, "pixel_accuracy": scores.pixel_accuracy, "iou": iou, "bytes": size}
        return {
            **figures,
            "labels_changed": self.comparison.changed,
            "labels_changed_worst_image": self.comparison.changed_worst,
            "calibration_images": self.calibration_images,
            "validation_images": self.comparison.images,
            "limits_exceeded": [str(fault) for fault in self.faults],
            "onnxruntime": onnxruntime.__version__,
        }


class QuantizationRefused(UserError):
    """The int8 graph is worse than the limits allow; ``result`` has the figures. Nothing was written."""

    def __init__(self, result: QuantizationResult):
        super().__init__("The int8 graph is refused, and nothing was written:", result.faults)
        self.result = result


def run_quantization(config: QuantizationConfig) -> QuantizationResult:
    """Writes a model with an int8 graph beside the float32 one.

    Raises:
        QuantizationRefused: The int8 graph is worse than the limits allow, and ``force`` is False.
        ArtifactError: The model can't be used, or has no graph.
        DataError: With everything that is wrong with the data.
        UserError: A setting is out of range.
    """
    _check(config)
    with local_artifact(config.model) as path:
        labels = read_summary(path).labels
        classes, names = labels["num_classes"], tuple(labels.get("class_names") or ())
        channels = locate_channels(config.data, config.channels)
        with progress_bar("checking the data") as update:
            datasets = read_channels(channels, classes, update, attributes=config.attribute_names, class_names=names)
        quantized, result = _quantized(path, datasets, config)
    if result.faults and not config.force:
        raise QuantizationRefused(result)
    output = Path(config.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_artifact(output, quantized)
    return result


def quantize_trained(path: Path, datasets: Datasets) -> str:
    """Adds an int8 graph to the model that a training has written, if the graph is within the limits.

    Whatever fails, the model stays: it is worth hours of training. The figures stand in its metrics in any case.

    Args:
        path: The model; it is replaced whole or not at all.
        datasets: Of the training, in files.

    Returns:
        A line that says what came of it.
    """
    config = QuantizationConfig(model=str(path), output=str(path))
    try:
        with catch_signals(callback=_stop):
            quantized, result = _quantized(path, datasets, config)
            write_artifact(path, dataclasses.replace(quantized, int8_graph=None) if result.faults else quantized)
    except _Stopped:
        return "stopped by a signal; the model is float32 alone"
    except Exception as error:
        return f"failed, and the model is float32 alone: {explain(error)[0]}"
    if result.faults:
        reasons = "; ".join(f"{fault.where} {fault.what}" for fault in result.faults)
        return f"refused, and the model is float32 alone: {reasons}"
    before, after = result.comparison.scores
    changed = f"{result.comparison.changed:.3%} of the labels change"
    sizes = "{:.1f} MB beside {:.1f} MB".format(*(size / 1e6 for size in reversed(result.bytes)))
    return f"validation mIOU {after.miou:.4f} ({after.miou - before.miou:+.4f}), {changed}, {sizes}"


class _Stopped(BaseException):
    """A signal came."""


def _stop(number: int) -> None:
    raise _Stopped


def _quantized(path: Path, datasets: Datasets, config: QuantizationConfig) -> tuple[Artifact, QuantizationResult]:
    """The model with both graphs and their figures, and the figures."""
    artifact, runtime = read_artifact(path), read_inference_artifact(path)
    train, validation = datasets.train, datasets.validation
    assert isinstance(train, FileDataset)  # channels in folders and manifests are
    assert isinstance(validation, FileDataset)
    indices = spread(train.count, config.images)
    quantized = dataclasses.replace(runtime, int8_graph=_quantize(runtime.graph, train, indices))
    comparison = _compare(quantized, validation)
    names = tuple(artifact.labels.get("class_names") or map(str, range(artifact.labels["num_classes"])))
    result = QuantizationResult(
        output=config.output,
        class_names=names,
        calibration_images=len(indices),
        comparison=comparison,
        bytes=(len(quantized.graph), len(quantized.int8_graph or b"")),
        faults=tuple(exceeded_limits(comparison, config.max_drop, names)),
    )
    metrics = {**artifact.metrics, "quantization": result.to_dict()}
    both = dataclasses.replace(artifact, graph=quantized.graph, int8_graph=quantized.int8_graph, metrics=metrics)
    return both, result


def exceeded_limits(comparison: GraphComparison, max_drop: float, class_names: Sequence[str]) -> list[Fault]:
    """Returns a fault for each limit that the int8 graph exceeds."""
    before, after = comparison.scores
    remedy = "calibrate with more images, or keep float32; --force writes the model all the same"
    faults = []
    if not before.miou - after.miou <= max_drop:
        what = f"falls from {before.miou:.4f} to {after.miou:.4f}, by more than {max_drop:g}"
        faults.append(Fault("mIOU", what, remedy))
    for name, old, new in zip(class_names, before.iou, after.iou, strict=True):
        if np.nan_to_num(old) - np.nan_to_num(new) > MAX_CLASS_DROP:
            what = f"falls from {old:.4f} to {np.nan_to_num(new):.4f}, by more than {MAX_CLASS_DROP:g}"
            faults.append(Fault(f"IoU of {name}", what, remedy))
    if not comparison.changed <= MAX_CHANGED:
        what = f"{comparison.changed:.2%} of the labels change, more than {MAX_CHANGED:.0%}"
        faults.append(Fault("labels", what, remedy))
    return faults


def spread(count: int, wanted: int) -> list[int]:
    """Returns ``wanted`` of ``count`` indices at even distances, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).round().astype(int)).tolist()


def _check(config: QuantizationConfig) -> None:
    faults = []
    if config.images < 1:
        faults.append(Fault("--images", f"{config.images}: at least 1 is expected"))
    if not 0 <= config.max_drop <= 1:
        faults.append(Fault("--max-drop", f"{config.max_drop:g}: a number from 0 to 1 is expected"))
    if is_s3(config.output):
        faults.append(Fault(config.output, "is in S3, to which nothing is written", "give a file, and upload it"))
    if faults:
        raise UserError("The model can't be quantized like this:", faults)


def _quantize(graph: bytes, train: FileDataset, indices: Sequence[int]) -> bytes:
    from sagemaker_semseg.export.quantization import quantized_graph

    def images() -> Iterator[Pixels]:
        for index in indices:
            yield _middle(decode_image(EncodedSample.read(train.pairs[index]).image))

    with progress_bar("calibrating", len(indices)) as update:
        return quantized_graph(graph, images(), lambda done: update(done, len(indices)))


def _middle(image: Pixels) -> Pixels:
    """The middle of an image, of its shape, with at most ``MAX_PIXELS``."""
    height, width = image.shape[:2]
    scale = min(1.0, math.sqrt(MAX_PIXELS / (height * width)))
    rows, columns = max(1, int(height * scale)), max(1, int(width * scale))
    top, left = (height - rows) // 2, (width - columns) // 2
    return image[top : top + rows, left : left + columns]


def _compare(artifact: InferenceArtifact, validation: FileDataset) -> GraphComparison:
    # one runtime for both, so that the precision is all that differs
    float32, int8 = (
        Segmenter(artifact, precision=precision, runtime="onnxruntime", scales=(1.0,), flip=False)
        for precision in ("float32", "int8")
    )
    with progress_bar("comparing with float32", validation.count) as update:
        return compare_graphs((float32, int8), validation, lambda done: update(done, validation.count))

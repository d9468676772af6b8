"""Writes the report of a training on request, with images if there is data."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sagemaker_semseg.artifact import locate_artifact
from sagemaker_semseg.artifact.members import MAX_TOTAL_BYTES
from sagemaker_semseg.data.datasets import read_split
from sagemaker_semseg.errors import ArtifactError, Fault, UserError
from sagemaker_semseg.inference import Segmenter
from sagemaker_semseg.jobs.channel_locations import locate_channels
from sagemaker_semseg.jobs.progress_bar import progress_bar
from sagemaker_semseg.report.image_scores import ImageScores, draw_panels, measure
from sagemaker_semseg.report.training_page import Example, render
from sagemaker_semseg.report.training_record import TrainingFiles, TrainingRecord, read_record
from sagemaker_semseg.storage import atomic_write, is_s3, locate

__all__ = ["ReportConfig", "find_training", "run_report"]

_SHOWN = {"Worst": 4, "Median": 2, "Best": 2}
"""How many images of each group the page shows."""


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """One report, unchecked; its fields are plain values.

    Attributes:
        training: a ``model.tar.gz``, a folder of its files, the output folder of a training, the folder of a training
            job, or the s3:// URI of a ``model.tar.gz``.
        output: the page; ``report.html`` beside the model if None.
        data: labeled images to measure and to show; as in ``EvaluationConfig``, None for none.
        channels: single channels by name, as in ``EvaluationConfig``.
        attribute_names: by split, a manifest's attributes for images and masks.
        split: ``validation`` or ``train``.
        price_per_hour: of the machine that trained, for the cost.
    """

    training: str
    output: str | None = None
    data: str | None = None
    channels: Mapping[str, str] = field(default_factory=dict)
    attribute_names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    split: str = "validation"
    price_per_hour: float | None = None


def run_report(config: ReportConfig) -> Path:
    """Write the report of a training; returns its path.

    Raises:
        ArtifactError: the model can't be used.
        DataError: with everything that is wrong with the data.
        UserError: there is no training, or no epoch of it has ended.
    """
    if is_s3(config.training):
        return _report_of_s3(config)
    files = find_training(Path(config.training))
    page = Path(config.output) if config.output else files.page
    record = read_record(files)
    images: ImageScores | None = None
    examples: list[Example] = []
    if config.data or config.channels:
        images, examples = _measure(config, files.model, record)
    html = render(record, images, examples, price_per_hour=config.price_per_hour)
    page.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(page) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return page


def _report_of_s3(config: ReportConfig) -> Path:
    """Fetch the model, and write its report in the current folder by default."""
    store, entry = locate(config.training)
    if not entry:
        fault = Fault(config.training, "no such object", "give the s3:// of a model.tar.gz")
        raise ArtifactError(f"{config.training} can't be used as a model:", [fault])
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder, "model.tar.gz")
        model.write_bytes(store.read(entry, MAX_TOTAL_BYTES))
        return run_report(replace(config, training=str(model), output=config.output or "report.html"))


def find_training(path: Path) -> TrainingFiles:
    """Find a training's files, of a finished one or of one that runs. Raises UserError if there is nothing."""
    if (path / "input" / "config").is_dir():  # SageMaker's folder of a job
        return TrainingFiles(path / "model", path / "checkpoints", path / "output" / "data")
    if not path.exists():
        remedy = "give a model.tar.gz, the output folder of a training, or the name of a job (sagemaker-semseg jobs)"
        raise UserError("There is no such training:", [Fault(str(path), "no such file or folder", remedy)])
    if path.is_dir() and not (path / "hyperparams.json").is_file():
        if (path / "last.safetensors").is_file():  # the folder of the checkpoints
            return TrainingFiles(path.parent / "model.tar.gz", path, path.parent)
        return TrainingFiles(locate_artifact(path), path / "checkpoints", path)
    return TrainingFiles(path, path / "checkpoints", path if path.is_dir() else path.parent)


def _measure(config: ReportConfig, model: Path, record: TrainingRecord) -> tuple[ImageScores, list[Example]]:
    segmenter = Segmenter(model)
    folders = locate_channels(config.data, config.channels, config.split)
    with progress_bar("checking the data") as update:
        dataset = read_split(
            folders,
            segmenter.num_classes,
            config.split,
            update,
            attributes=config.attribute_names,
            class_names=record.class_names,
        )
    with progress_bar("predicting", dataset.count) as update:
        images = measure(segmenter, dataset, update)
    examples: list[Example] = []
    for group, number in _choose(images.ranked()):
        panels = draw_panels(segmenter, dataset, number)
        name = dataset.pairs[number].name
        examples.append(Example(group, name, float(images.iou[number]), float(images.wrong[number]), panels))
    return images, examples


def _choose(ranked: Sequence[int]) -> Iterator[tuple[str, int]]:
    """Yield the images to show, each once: of many the worst, some in the middle and the best; of few all of them."""
    count, (worst, median, best) = len(ranked), _SHOWN.values()
    middle = (count - median) // 2
    places = {
        "Worst": range(worst),
        "Median": range(middle, middle + median),
        "Best": range(count - best, count),
    }
    chosen: set[int] = set()
    for group, numbers in places.items():
        for number in numbers:
            if 0 <= number < count and number not in chosen:
                chosen.add(number)
                yield group, ranked[number]

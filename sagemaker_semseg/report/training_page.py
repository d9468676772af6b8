"""The report of a training as one HTML page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from markupsafe import Markup

from sagemaker_semseg import __version__, pages
from sagemaker_semseg.data.images import palette
from sagemaker_semseg.hyperparameters import TABLE, to_strings
from sagemaker_semseg.hyperparameters.page import default_text
from sagemaker_semseg.metrics import Scores
from sagemaker_semseg.report.charts import Line, confusion_chart, line_chart
from sagemaker_semseg.report.suggestions import suggest
from sagemaker_semseg.report.training_record import TrainingRecord

if TYPE_CHECKING:  # a training writes its report without ONNX Runtime
    from sagemaker_semseg.report.image_scores import ImageScores, Interval, Panels

__all__ = ["Example", "render"]

_VERSIONS: Final = {"python": "Python", "tensorflow": "TensorFlow", "keras": "Keras"}


@dataclass(frozen=True)
class Example:
    """One image on the page. group: "Worst", "Median" or "Best". iou, wrong: as in ``ImageScores``."""

    group: str
    name: str
    iou: float
    wrong: float
    panels: Panels


def render(
    record: TrainingRecord,
    images: ImageScores | None = None,
    examples: Sequence[Example] = (),
    *,
    price_per_hour: float | None = None,
) -> str:
    """Return the page as HTML; it loads nothing and runs no script.

    Args:
        record: The training.
        images: The model on labeled images; without them the scores are those of the best epoch.
        examples: Images to show.
        price_per_hour: Of the machine; the cost is shown if the duration is known.
    """
    hp, start = record.hyperparameters, record.start
    scores = images.scores if images else record.scores
    seconds = start.seconds if start else 0
    return pages.render_report(
        __package__,
        "training.html",
        version=__version__,
        record=record,
        hp=hp,
        scores=scores,
        images=images,
        examples=examples,
        split=images.split if images else "validation",
        done=len(record.history),
        suggestions=suggest(record, scores),
        settings=list(_settings(record)),
        facts=list(_facts(record)),
        notes=start.notes if start else (),
        charts=list(_charts(record)) if len(record.history) > 1 else [],  # one epoch is no curve
        confusion=confusion_chart(scores.confusion, record.names) if scores else None,
        classes=list(_classes(record, scores, images)) if scores else [],
        calibration=list(_bins(images)),
        duration=_duration(seconds),
        cost=f"{price_per_hour * seconds / 3600:.2f}" if price_per_hour and seconds else "",
        peak_memory=start.peak_memory if start else 0,
        speed=_median(record.series("throughput")),
        figure=_figure,
        color=_color,
    )


def _charts(record: TrainingRecord) -> Iterator[tuple[str, Markup, Sequence[Line]]]:
    groups = {
        "Loss": [Line("training", "train", record.series("loss"))],
        "Quality on the validation data": [
            Line("mIOU", "validation", record.series("val_mIOU")),
            Line("pixel accuracy", "train", record.series("val_pixel_accuracy")),
        ],
        "Learning rate at the end of the epoch": [Line("learning rate", "train", record.series("learning_rate"))],
        "Images per second": [
            Line("training", "train", record.series("throughput")),
            Line("validation", "validation", record.series("val_throughput")),
        ],
    }
    for title, lines in groups.items():
        if chart := line_chart(title, lines, best_epoch=record.best_epoch):
            yield title, chart, lines


def _settings(record: TrainingRecord) -> Iterator[tuple[str, str, str]]:
    """Yield name, value and default of each hyperparameter that isn't the default."""
    given = to_strings(record.hyperparameters)
    for row in TABLE:
        value = given.get(row.name, "")
        if row.required or (row.name != "class_names" and value != _text(row.default)):
            yield row.name, value, "" if row.required else default_text(row)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def _facts(record: TrainingRecord) -> Iterator[tuple[str, str]]:
    start = record.start
    if start:
        yield from start.facts
        yield "started", start.started.replace("T", " ")[:19] + " UTC"
    versions = record.versions or {}
    if versions:
        yield "made with", ", ".join(f"{_VERSIONS.get(name, name)} {value}" for name, value in sorted(versions.items()))
    yield "read from", record.source


def _classes(record: TrainingRecord, scores: Scores, images: ImageScores | None) -> Iterator[Mapping[str, Any]]:
    confusion, total = scores.confusion, max(int(scores.confusion.sum()), 1)
    predicted = confusion.sum(0)
    for label, name in enumerate(record.names):
        pixels, hits = int(confusion[label].sum()), int(confusion[label, label])
        others = confusion[label].copy()
        others[label] = 0
        other = int(others.argmax())
        interval = images.class_intervals[label] if images else None
        yield {
            "label": label,
            "name": name,
            "iou": float(scores.iou[label]),
            "interval": _interval(interval),
            "recall": float(scores.accuracy[label]),
            "precision": hits / predicted[label] if predicted[label] else math.nan,
            "pixels": pixels,
            "share": pixels / total,
            "mistaken": (record.names[other], others[other] / pixels) if pixels and others[other] else None,
        }


def _bins(images: ImageScores | None) -> Iterator[Mapping[str, float]]:
    calibration = images.calibration if images else None
    if calibration:
        for pixels, confidence, accuracy in zip(
            calibration.pixels, calibration.confidence, calibration.accuracy, strict=True
        ):
            if pixels:
                yield {"pixels": int(pixels), "confidence": float(confidence), "accuracy": float(accuracy)}


def _interval(interval: Interval | None) -> str:
    return f"{interval.low:.2f} to {interval.high:.2f}" if interval else ""


def _figure(value: float, digits: int = 3) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "–"


def _median(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return float(np.median(finite)) if finite else math.nan


def _duration(seconds: float) -> str:
    if seconds <= 0:
        return ""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def _color(label: int) -> str:
    red, green, blue = (int(channel) for channel in palette()[label])
    return f"#{red:02x}{green:02x}{blue:02x}"

"""Describes a training in lines of text, before it runs and afterwards."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sagemaker_semseg.checks import Finding
from sagemaker_semseg.checks.training_checks import describe
from sagemaker_semseg.data.datasets import Dataset, Datasets, FileDataset
from sagemaker_semseg.hyperparameters import Hyperparameters
from sagemaker_semseg.jobs.initial_weights import InitialWeights

if TYPE_CHECKING:
    from sagemaker_semseg.training.finish import TrainingResult

_MOST_SHARES = 12


def describe_training(
    hp: Hyperparameters, channels: Datasets, names: Sequence[str], devices: str, start: InitialWeights
) -> str:
    """Describe data, network, settings and devices."""
    lines = training_facts(hp, channels, names, devices, start)
    notes = training_notes(channels, start)
    return "\n".join([*(_line(*line) for line in lines), *(_line("note", note) for note in notes)])


def training_facts(
    hp: Hyperparameters, channels: Datasets, names: Sequence[str], devices: str, start: InitialWeights
) -> list[tuple[str, str]]:
    """Return a title and a text for each thing that a training is made of."""
    steps = math.ceil((channels.train.count or 0) / hp.mini_batch_size)
    return [
        ("train", _images(channels.train)),
        ("validation", _images(channels.validation)),
        ("classes", _shares(channels.train, names)),
        ("network", f"{hp.algorithm} on {hp.backbone} from {start.description}, {hp.precision}"),
        (
            "training",
            f"{hp.epochs} epochs of {steps} steps; {hp.mini_batch_size} crops of "
            f"{hp.padded_crop_size} x {hp.padded_crop_size} a step; {hp.optimizer}, "
            f"learning rate {hp.learning_rate:g}, {hp.lr_scheduler}",
        ),
        ("device", devices),
    ]


def training_notes(channels: Datasets, start: InitialWeights) -> list[str]:
    """Return what is worth knowing of the data and the initial weights, though nothing is wrong."""
    return [*start.notes, *channels.train.notes, *channels.validation.notes, *channels.notes]


def describe_warnings(findings: Sequence[Finding]) -> str:
    """List what is doubtful with the data, in a few lines."""
    return "".join(_line("warning", line) + "\n" for line in describe(findings))


def describe_precision(note: str, *, slow: bool) -> str:
    """Say what was measured; nothing if nothing was. slow: whether what was asked for is slower than float32."""
    return _line("warning" if slow else "precision", note) + "\n" if note else ""


def describe_output(output: Path, finished: int | None, epochs: int, *, in_job: bool = False) -> str:
    """Name the output folder and where the training continues.

    Args:
        output: the folder.
        finished: epochs of the checkpoint, None without one.
        epochs: of the whole training.
        in_job: as in ``describe_result``.
    """
    if finished is None:
        return _line("output", str(output))
    begin = f"continues after {finished} of {epochs} epochs" if finished < epochs else "this training is finished"
    return _line("output", f"{output} ({begin}{'' if in_job else '; --restart starts over'})")


def describe_quantization(text: str) -> str:
    """Say what came of the int8 graph."""
    return _line("int8", text)


def describe_result(result: TrainingResult, epochs: int, report: Path | None = None, *, in_job: bool = False) -> str:
    """Say how far the training came, how good its best epoch is, and where the model and the report are.

    in_job: whether it is a job in SageMaker's folder, whose model is delivered elsewhere and which has no flags.
    """
    done, lines = len(result.history), []
    if result.stopped:
        how = (
            "a job with the same checkpoint_s3_uri continues" if in_job else "train again without --restart to continue"
        )
        lines.append(f"stopped after {done} of {epochs} epochs; {how}")
    if result.scores is None or result.best_epoch is None:
        lines.append("no epoch was finished: the model has the weights of an unfinished one")
    else:
        lines += [f"best epoch {result.best_epoch + 1} of {done}", f"validation mIOU {result.scores.miou:.4f}"]
        lines += [f"warning: {result.scores.warning()}"] if result.scores.warning() else []
    if not in_job:
        lines += [f"model {result.artifact}", *([f"report {report}"] if report else [])]
    return "\n".join(lines)


def _line(title: str, text: str) -> str:
    return f"{title:<12}{text}"


def _images(split: Dataset) -> str:
    if not isinstance(split, FileDataset):
        known = f", {split.count} pairs in a pass" if split.count else ""
        return f"a stream from {split.fifo(0)} on{known}"
    sizes = [pair.size for pair in split.pairs if pair.size]
    heights, widths = ({size[axis] for size in sizes} for axis in (0, 1))
    count = split.count
    return f"{count} image{'s' if count > 1 else ''} of {_range(widths)} x {_range(heights)} pixels"


def _range(values: set[int]) -> str:
    return str(min(values)) if len(values) == 1 else f"{min(values)}-{max(values)}"


def _shares(split: Dataset, names: Sequence[str]) -> str:
    """Each class's share of the labelled pixels; the most frequent ones where there are many."""
    if not isinstance(split, FileDataset):
        return f"{split.label_map.num_classes}" + (f" ({', '.join(names)})" if names else "")
    counts = split.pixel_counts
    labels = range(len(counts))
    shown = labels if len(counts) <= _MOST_SHARES else sorted(labels, key=lambda i: -counts[i])[:_MOST_SHARES]
    text = ", ".join(f"{_name(i, names)} {counts[i] / counts.sum():.1%}" for i in shown)
    return f"{len(counts)} ({text}{', ...' if len(counts) > len(shown) else ''} of the training pixels)"


def _name(label: int, names: Sequence[str]) -> str:
    return names[label] if names else str(label)

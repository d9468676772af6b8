"""A job as people want to see it before it runs: checked hyperparameters and data come in, lines of text go out.
``train`` and ``demo`` print them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from sagemaker_semseg.cli.start import Start
from sagemaker_semseg.data.pipe_mode import Source, Streams
from sagemaker_semseg.data.samples import Channels, Split
from sagemaker_semseg.hyperparameters import Hyperparameters

_MOST_SHARES = 12


def of(hp: Hyperparameters, channels: Channels | Streams, names: Sequence[str], devices: str, start: Start) -> str:
    """The summary, without a newline at the end."""
    steps = math.ceil((channels.train.count or 0) / hp.mini_batch_size)
    lines = [
        ("train", _pictures(channels.train)),
        ("validation", _pictures(channels.validation)),
        ("classes", _shares(channels.train, names)),
        ("network", f"{hp.algorithm} on {hp.backbone} from {start.words}, {hp.precision}"),
        (
            "training",
            f"{hp.epochs} epochs of {steps} steps; {hp.mini_batch_size} crops of "
            f"{hp.padded_crop_size} x {hp.padded_crop_size} a step; {hp.optimizer}, "
            f"learning rate {hp.learning_rate:g}, {hp.lr_scheduler}",
        ),
        ("device", devices),
    ]
    notes = [*start.notes, *channels.train.notes, *channels.validation.notes, *_notes(channels, names)]
    return "\n".join([*(_line(*line) for line in lines), *(_line("note", note) for note in notes)])


def of_output(output: Path, finished: int | None, epochs: int) -> str:
    """Where the output goes, and where the training begins. finished: epochs behind a checkpoint, None without one."""
    if finished is None:
        return _line("output", str(output))
    begin = f"goes on after {finished} of {epochs} epochs" if finished < epochs else "this training is finished"
    return _line("output", f"{output} ({begin}; --restart begins anew)")


def _line(title: str, text: str) -> str:
    return f"{title:<12}{text}"


def _pictures(split: Source) -> str:
    if not isinstance(split, Split):
        known = f", {split.count} pairs in a pass" if split.count else ""
        return f"a stream from {split.fifo(0)} on{known}"
    heights = {sample.height for sample in split.samples}
    widths = {sample.width for sample in split.samples}
    count = len(split.samples)
    return f"{count} image{'s' if count > 1 else ''} of {_range(widths)} x {_range(heights)} pixels"


def _range(values: set[int]) -> str:
    return str(min(values)) if len(values) == 1 else f"{min(values)}-{max(values)}"


def _shares(split: Source, names: Sequence[str]) -> str:
    """Each class's share of the labelled pixels; the most frequent ones where there are many."""
    if not isinstance(split, Split):
        return f"{split.labels.num_classes}" + (f" ({', '.join(names)})" if names else "")
    counts = split.pixel_counts
    labels = range(len(counts))
    shown = labels if len(counts) <= _MOST_SHARES else sorted(labels, key=lambda i: -counts[i])[:_MOST_SHARES]
    text = ", ".join(f"{_name(i, names)} {counts[i] / counts.sum():.1%}" for i in shown)
    return f"{len(counts)} ({text}{', ...' if len(counts) > len(shown) else ''} of the training pixels)"


def _notes(channels: Channels | Streams, names: Sequence[str]) -> list[str]:
    notes = list(channels.notes) if isinstance(channels, Streams) else []
    for split in (channels.train, channels.validation):
        if not isinstance(split, Split):
            continue
        absent = [_name(i, names) for i in range(len(split.pixel_counts)) if not split.pixel_counts[i]]
        if absent:
            listed = ", ".join(absent[:_MOST_SHARES]) + (", ..." if len(absent) > _MOST_SHARES else "")
            notes.append(f"{split.channel}: no pixel of class {listed}")
    return notes


def _name(label: int, names: Sequence[str]) -> str:
    return names[label] if names else str(label)

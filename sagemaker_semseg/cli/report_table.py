"""Prints the report of ``check`` as tables; findings of one kind share a row with the first few of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sagemaker_semseg.checks.report import Finding, Report, SplitFacts

_FINDINGS_SHOWN: Final = 3
_SIZES_SHOWN: Final = 4
_COLORS: Final = {"error": "bold red", "warning": "yellow"}


def show(report: Report, data: Path | None, *, proposed: bool = False, console: Console | None = None) -> None:
    """Print the report.

    data: the folder that is left out before the names of files. proposed: num_classes wasn't given.
    """
    console = console or Console(highlight=False, emoji=False)
    if report.findings:
        console.print(_findings(report.findings, f"{data}/" if data else ""))
    _splits(report.splits, console)
    console.print(_classes(report), "")
    for content, splits in _label_maps(report).items():
        console.print(f"proposed: [bold]the label map {escape(content)}[/] for {splits}", soft_wrap=True)
        console.print("  the classes above are counted with it; --write-label-map writes it")
    for item in report.recommendations:
        flag = "--" + item.name.replace("_", "-")
        console.print(f"proposed: [bold]{flag} {escape(item.value)}[/]\n  {escape(item.reason)}", soft_wrap=True)
    for name, estimate in report.estimates.items():
        console.print(f"memory, estimated: {estimate.total / 1e9:.1f} GB, {escape(name)}")
    console.print()
    if proposed:
        by = "with the label map above" if report.label_maps else "by the highest label in the masks"
        console.print(f"num_classes wasn't given: {report.num_classes} are proposed, {by}")
    console.print(_count(len(report.errors), "error") + ", " + _count(len(report.warnings), "warning"))


def _label_maps(report: Report) -> dict[str, str]:
    """Return the proposed label maps as JSON, with the splits that need them."""
    found: dict[str, list[str]] = {}
    for split, content in report.label_maps.items():
        found.setdefault(json.dumps(content), []).append(split)
    return {content: " and ".join(splits) for content, splits in found.items()}


def _findings(findings: Sequence[Finding], prefix: str) -> Table:
    kinds: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        kinds.setdefault((finding.level, finding.kind), []).append(finding)
    table = _table("", "finding", "where and what")
    for (level, kind), group in kinds.items():
        lines = [
            f"{_short(finding.where, prefix)}: {_short(finding.what, prefix)}" for finding in group[:_FINDINGS_SHOWN]
        ]
        if len(group) > _FINDINGS_SHOWN:
            lines.append(f"... and {len(group) - _FINDINGS_SHOWN} more")
        lines.append(f"[dim]why:[/] {escape(group[0].why)}")
        for remedy in dict.fromkeys(finding.remedy for finding in group[:_FINDINGS_SHOWN] if finding.remedy):
            lines.append(f"[dim]fix:[/] {escape(remedy)}")  # whole paths: it may be a command
        table.add_row(f"[{_COLORS[level]}]{level}[/]", f"{escape(kind)}\n{len(group)} x", "\n".join(lines) + "\n")
    return table


def _splits(splits: Iterable[SplitFacts], console: Console) -> None:
    table = _table("split", "pairs", "width x height", "ignored pixels")
    for split in splits:
        sizes = [
            f"{width} x {height} ({images})" for (height, width), images in list(split.sizes.items())[:_SIZES_SHOWN]
        ]
        if len(split.sizes) > _SIZES_SHOWN:
            sizes.append(f"... {len(split.sizes) - _SIZES_SHOWN} more sizes")
        ignored = split.ignored_pixels / max(int(split.value_counts.sum()), 1)
        table.add_row(split.channel, str(split.pairs), ", ".join(sizes) or "-", f"{ignored:.1%}")
    console.print(table, "")


def _classes(report: Report) -> Table:
    """Return a table of each class's share of the labelled pixels and the images in which it occurs."""
    table = Table(box=None, pad_edge=False)
    table.add_column("class", overflow="fold")
    for split in report.splits:
        table.add_column(split.channel, justify="right", no_wrap=True)
        table.add_column("images", justify="right", no_wrap=True)
    for label in range(report.num_classes):
        name = report.class_names[label] if label < len(report.class_names) else ""
        row = [f"{label} {escape(name)}"]
        for split in report.splits:
            total = max(int(np.sum(split.pixel_counts)), 1)
            row += [f"{split.pixel_counts[label] / total:.2%}", str(split.image_counts[label])]
        table.add_row(*row)
    return table


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in titles:
        table.add_column(title, overflow="fold")
    return table


def _short(text: str, prefix: str) -> str:
    return escape(text.replace(prefix, "") if prefix else text)


def _count(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"

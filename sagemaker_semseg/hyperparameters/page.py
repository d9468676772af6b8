"""Writes docs/hyperparameters.md from the table; a test keeps the committed page equal to it."""

from __future__ import annotations

from sagemaker_semseg.hyperparameters.table import LARGEST_INTEGER, TABLE, Hyperparameter, Interval

_INTRODUCTION = f"""\
# Hyperparameters

<!-- Made by `python -m sagemaker_semseg.hyperparameters > docs/hyperparameters.md`; change the table instead. -->

Names, ranges and defaults are those of SageMaker's built-in semantic segmentation. What this project adds is marked
**(ext)**; its defaults keep the original's behaviour.

- On the command line `crop_size` is `--crop-size 64`; in a notebook it is an entry of `hyperparameters={{...}}`.
- Values may be strings or Python values. Booleans are read from `True`, `true`, `1`, `False`, `false`, `0`; numbers
  from strings; lists from `"10, 20"`; and any of them may carry JSON quotes (`"\\"fcn\\""`).
- Numbers must be finite, and whole numbers end at {LARGEST_INTEGER}.
- A name that is not here is an error, and so is a value of the wrong type or out of range; one message lists them all.
- "Tunable" is the range that the original lets a tuning job search.
"""

_TYPES = {
    "choice": "string",
    "boolean": "boolean",
    "integer": "integer",
    "number": "float",
    "integers": "list of integers",
    "weights": "list of floats",
    "scales": "list of floats",
    "names": "list of strings",
}


def markdown() -> str:
    """Return the reference page: an introduction and one table for each group."""
    parts = [_INTRODUCTION]
    for group in dict.fromkeys(row.group for row in TABLE):
        lines = [
            f"## {group}\n",
            "| name | type | valid | default | required | tunable | meaning |",
            "|---|---|---|---|---|---|---|",
            *(_line(row) for row in TABLE if row.group == group),
        ]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def default_text(row: Hyperparameter) -> str:
    """Return the default as a user would write it; empty for a required value."""
    if row.required:
        return ""
    if row.default is None:
        return "counted"
    if row.default == ():
        return "empty"
    if isinstance(row.default, tuple):
        return ", ".join(f"{entry:g}" for entry in row.default)
    return f"{row.default:g}" if isinstance(row.default, float) else str(row.default)


def _line(row: Hyperparameter) -> str:
    name = f"`{row.name}`" + (" **(ext)**" if row.extension else "")
    default = default_text(row)
    if default not in ("", "counted", "empty"):
        default = f"`{default}`"
    cells = (name, _TYPES[row.kind], _valid(row), default, _required(row), _tunable(row), row.meaning)
    return "| " + " | ".join(cells) + " |"


def _valid(row: Hyperparameter) -> str:
    if row.kind == "choice":
        return ", ".join(f"`{name}`" + (" **(ext)**" if name in row.added_choices else "") for name in row.choices)
    if row.kind == "boolean":
        return "`True`, `False`"
    if row.kind == "names":
        return "empty, or one for every class"
    valid = str(row.interval) or "any integer"
    if row.kind == "weights":
        return f"empty, `auto`, or each {valid}"
    return f"each {valid}" if row.kind in ("integers", "scales") else valid


def _required(row: Hyperparameter) -> str:
    if row.name == "lr_scheduler_step":
        return "if `lr_scheduler` is `step`"
    return "**yes**" if row.required else "no"


def _tunable(row: Hyperparameter) -> str:
    if row.tunable is None:
        return ""
    if isinstance(row.tunable, Interval):
        return f"{row.tunable.low:g} to {row.tunable.high:g}"
    return ", ".join(f"`{name}`" for name in row.tunable)

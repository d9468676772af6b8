"""Flags for hyperparameters, made from their table; ``crop_size`` is ``--crop-size 64``."""

from __future__ import annotations

import argparse
from collections.abc import Container

from sagemaker_semseg.hyperparameters.page import default_text
from sagemaker_semseg.hyperparameters.table import TABLE, Hyperparameter

_METAVARS = {
    "boolean": "{True,False}",
    "integer": "N",
    "number": "X",
    "integers": "N,N",
    "weights": "auto|X,X",
    "scales": "X,X",
    "names": "A,B,C",
}


def add_flags(parser: argparse.ArgumentParser, names: Container[str] | None = None) -> None:
    """Add a flag for every hyperparameter, or for those in ``names``, in the groups of the table."""
    rows = [row for row in TABLE if names is None or row.name in names]
    for group in dict.fromkeys(row.group for row in rows):
        arguments = parser.add_argument_group(f"hyperparameters: {group.lower()}")
        for row in (row for row in rows if row.group == group):
            arguments.add_argument(row.flag, dest=row.name, metavar=_metavar(row), help=_help(row))


def from_flags(namespace: argparse.Namespace) -> dict[str, str]:
    """Return name and text of every hyperparameter whose flag was given; they are checked with everything else."""
    given = {row.name: getattr(namespace, row.name, None) for row in TABLE}
    return {name: value for name, value in given.items() if value is not None}


def _metavar(row: Hyperparameter) -> str:
    return "{" + ",".join(row.choices) + "}" if row.kind == "choice" else _METAVARS[row.kind]


def _help(row: Hyperparameter) -> str:
    facts = [str(row.interval)] if str(row.interval) else []
    facts.append("required" if row.required else f"default {default_text(row)}")
    return f"{row.meaning} ({', '.join(facts)})".replace("%", "%%")

"""Names of classes from the command line: a text with commas comes in; names, or what is wrong with them, go out.
``train`` and ``check`` call it.
"""

from __future__ import annotations

from collections.abc import Sequence

from sagemaker_semseg.errors import Fault


def names_of(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",")) if text is not None else ()


def faults_of(names: Sequence[str], num_classes: int | None) -> list[Fault]:
    """num_classes: None where it isn't known."""
    faults = []
    if names and num_classes and len(names) != num_classes:
        what = f"{len(names)} names came, num_classes is {num_classes}"
        faults.append(Fault("--class-names", what, "give one name for every class, from label 0 on"))
    if not all(names):
        faults.append(Fault("--class-names", "a name is empty", "leave out the comma too much"))
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        faults.append(Fault("--class-names", f"{', '.join(twice)} is there twice", "give each class a name of its own"))
    return faults

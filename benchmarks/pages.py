"""What the pages of results have in common.

Input: rows. Output: text. standard library only.
"""

from collections.abc import Iterable, Sequence
from statistics import median


def table(head: Sequence[object], rows: Iterable[Iterable[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"


def facts(*parts: dict[str, str]) -> str:
    """Names and values: machine, settings, versions."""
    return table(["", ""], [pair for part in parts for pair in part.items()])


def spread(values: Sequence[float]) -> tuple[float, ...]:
    """Least, median, greatest; nothing of nothing."""
    return (min(values), median(values), max(values)) if values else ()

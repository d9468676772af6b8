"""Tables of results as text, and as HTML in a notebook."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from sagemaker_semseg.errors import UserError


class Table:
    """A table. A subclass gives the cells; the first row has the titles."""

    def _cells(self) -> list[list[str]]:
        raise NotImplementedError

    def __str__(self) -> str:
        titles, *rows = self._cells()
        widths = [max(len(row[column]) for row in (titles, *rows)) for column in range(len(titles))]
        lines = (
            "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in (titles, *rows)
        )
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        titles, *rows = ([html.escape(cell) for cell in row] for row in self._cells())
        head = "".join(f"<th>{title}</th>" for title in titles)
        body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def data_frame(rows: Sequence[Any], columns: Sequence[str] | None, instead: str) -> Any:
    """Return a pandas table. instead: what there is without pandas. Raises ``UserError`` if pandas is missing."""
    try:
        import pandas
    except ImportError:
        raise UserError(
            f"A data frame needs pandas: pip install 'sagemaker-semseg[notebook]'\nWithout it there is {instead}."
        ) from None
    return pandas.DataFrame(rows, columns=columns)

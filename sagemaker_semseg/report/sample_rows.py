"""Reads the predictions that a training has drawn after some epochs (``training.sample_predictions``)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sagemaker_semseg.data.images import decode_image
from sagemaker_semseg.data.thumbnails import jpeg_data_uri
from sagemaker_semseg.errors import UserError

__all__ = ["Drawing", "read_sample_rows"]

_NAME: Final = re.compile(r"([0-9])_(image|labels|[1-9][0-9]{0,5})\.jpg")
_MAX_FILES: Final = 64
_MAX_BYTES: Final = 200_000
_MAX_SIDE: Final = 400


@dataclass(frozen=True)
class Drawing:
    """One image of a row, as a data: URI. title: "image", "labels" or "epoch 5"."""

    title: str
    uri: str
    width: int
    height: int


def read_sample_rows(folder: Path) -> list[list[Drawing]]:
    """Return a row for each image: the image, its labels, the predictions by epoch. Foreign files are left out."""
    rows: dict[str, list[tuple[int, Drawing]]] = {}
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    for found in list(filter(None, map(_NAME.fullmatch, names)))[:_MAX_FILES]:
        number, what = found.groups()
        order = {"image": -1, "labels": 0}.get(what) if not what.isdigit() else int(what)
        drawing = _read(folder / found[0], what if order is not None and order <= 0 else f"epoch {what}")
        if drawing and order is not None:
            rows.setdefault(number, []).append((order, drawing))
    return [[drawing for _, drawing in sorted(row, key=lambda item: item[0])] for _, row in sorted(rows.items())]


def _read(path: Path, title: str) -> Drawing | None:
    """Decode a file and encode it again: nothing else of it gets into the page."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            return None
        pixels = decode_image(path.read_bytes(), str(path))
    except (OSError, UserError):
        return None
    height, width = pixels.shape[:2]
    return Drawing(title, jpeg_data_uri(pixels), width, height) if max(height, width) <= _MAX_SIDE else None

"""Labels made visible: laid over their image in colours, and image, truth and prediction side by side.

In: arrays, an image (H, W, 3) uint8 and labels (H, W) uint8. Out: an array or a PIL image for people. Called by the
commands ``predict --overlay`` and ``demo``, and by notebooks. The colours are those of the mask files (Pascal VOC's).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from sagemaker_semseg.data.images import palette

__all__ = ["overlay", "side_by_side"]

IGNORE: Final = 255

Bytes = npt.NDArray[np.uint8]

# a panel's longer side in pixels: smaller pictures are enlarged by a whole factor, larger ones reduced
_SMALLEST_PANEL: Final = 288
_LARGEST_PANEL: Final = 960
_GAP: Final = 12
_TITLE_SIZE: Final = 16
_LEGEND_SIZE: Final = 14
_PAPER: Final = (255, 255, 255)
_INK: Final = (38, 38, 38)
_FAINT: Final = (160, 160, 160)


def overlay(image: Bytes, labels: Bytes, num_classes: int, opacity: float = 0.6) -> Bytes:
    """``image`` (H, W, 3) with every pixel mixed with its label's colour, and a light line between the labels.

    opacity: the share of the colour, 0..1. Pixels to ignore (255) show the image as it is.
    Raises ValueError where shapes or dtypes don't fit or a label is neither below ``num_classes`` nor 255.
    """
    _check(image, labels, num_classes)
    if not 0 <= opacity <= 1:
        raise ValueError(f"opacity must be from 0 to 1, not {opacity}")
    share = np.where(labels == IGNORE, 0.0, opacity)[:, :, None]
    mixed = image * (1 - share) + palette()[labels] * share
    line = (_borders(labels) * 0.6 * opacity)[:, :, None]
    return np.round(mixed * (1 - line) + 255 * line).astype(np.uint8)


def side_by_side(
    image: Bytes,
    truth: Bytes | None,
    prediction: Bytes,
    names: Sequence[str] | None = None,
    *,
    num_classes: int | None = None,
    opacity: float = 0.6,
) -> Image.Image:
    """Panels with titles: the image, then truth (where there is one) and prediction laid over it; below, a legend.

    names: of the classes from 0 on; without them the legend shows the numbers. The legend lists the labels that occur.
    num_classes: bounds the labels, by default ``len(names)`` or any number up to 255.
    """
    if num_classes is None:
        num_classes = len(names) if names else IGNORE
    panels = [("image", None), ("prediction", prediction)]
    if truth is not None:
        panels.insert(1, ("truth", truth))
    size = _panel_size(*prediction.shape)
    enlarged = _resized(image, size, Image.Resampling.BICUBIC if size[0] > image.shape[1] else Image.Resampling.BOX)
    pictures = []
    for title, labels in panels:
        if labels is not None:
            _check(image, labels, num_classes)
            # over the enlarged image: the lines between labels stay thin
            picture = overlay(enlarged, _resized(labels, size, Image.Resampling.NEAREST), num_classes, opacity)
        else:
            picture = enlarged
        pictures.append((title, Image.fromarray(picture)))
    shown = sorted({int(label) for _, labels in panels if labels is not None for label in np.unique(labels)})
    return _sheet(pictures, [(label, _name(label, names)) for label in shown], opacity)


def _check(image: Bytes, labels: Bytes, num_classes: int) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"image must be (H, W, 3) uint8, not {image.shape} {image.dtype}")
    if labels.shape != image.shape[:2] or labels.dtype != np.uint8:
        raise ValueError(f"labels must be {image.shape[:2]} uint8 like the image, not {labels.shape} {labels.dtype}")
    foreign = labels[(labels >= num_classes) & (labels != IGNORE)]
    if foreign.size:
        raise ValueError(f"labels must be below num_classes={num_classes} or 255, found {int(foreign.max())}")


def _borders(labels: Bytes) -> npt.NDArray[np.bool_]:
    """True where the label differs from the one to the right or below."""
    borders = np.zeros(labels.shape, bool)
    borders[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    borders[:-1] |= labels[:-1] != labels[1:]
    return borders


def _panel_size(height: int, width: int) -> tuple[int, int]:
    """(width, height) of a panel, as Pillow wants it."""
    longer = max(height, width)
    if longer > _LARGEST_PANEL:
        scale = _LARGEST_PANEL / longer
        return max(1, round(width * scale)), max(1, round(height * scale))
    factor = -(-_SMALLEST_PANEL // longer)
    return width * factor, height * factor


def _resized(pixels: Bytes, size: tuple[int, int], resampling: Image.Resampling) -> Bytes:
    return np.asarray(Image.fromarray(pixels).resize(size, resampling))


def _name(label: int, names: Sequence[str] | None) -> str:
    if label == IGNORE:
        return "ignored"
    return names[label] if names and label < len(names) else str(label)


def _sheet(pictures: list[tuple[str, Image.Image]], legend: list[tuple[int, str]], opacity: float) -> Image.Image:
    width, height = pictures[0][1].size
    sheet_width = _GAP + len(pictures) * (width + _GAP)
    top = _GAP + _TITLE_SIZE + _GAP // 2
    rows = _legend_rows(legend, sheet_width - 2 * _GAP)
    row_height = _LEGEND_SIZE + _GAP
    sheet = Image.new("RGB", (sheet_width, top + height + _GAP + len(rows) * row_height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, (title, picture) in enumerate(pictures):
        left = _GAP + number * (width + _GAP)
        draw.text((left, _GAP - 2), title, fill=_INK, font=_font(_TITLE_SIZE))
        sheet.paste(picture, (left, top))
    for number, row in enumerate(rows):
        y = top + height + _GAP + number * row_height
        for x, label, name in row:
            swatch = (_GAP + x, y, _GAP + x + _LEGEND_SIZE, y + _LEGEND_SIZE)
            draw.rectangle(swatch, fill=None if label == IGNORE else _swatch(label, opacity), outline=_FAINT)
            draw.text((swatch[2] + 6, y - 1), name, fill=_INK, font=_font(_LEGEND_SIZE))
    return sheet


def _swatch(label: int, opacity: float) -> tuple[int, int, int]:
    """The colour as it looks over middle grey, so that it matches what the panels show."""
    red, green, blue = (round(float(channel) * opacity + 127 * (1 - opacity)) for channel in palette()[label])
    return red, green, blue


def _legend_rows(legend: list[tuple[int, str]], room: int) -> list[list[tuple[int, int, str]]]:
    """Entries as (x, label, name), broken into rows of at most ``room`` pixels."""
    rows: list[list[tuple[int, int, str]]] = []
    x = room
    for label, name in legend:
        wanted = _LEGEND_SIZE + 6 + round(_font(_LEGEND_SIZE).getlength(name)) + 18
        if x + wanted > room + 18:  # the last entry of a row needs no space after it
            rows.append([])
            x = 0
        rows[-1].append((x, label, name))
        x += wanted
    return rows


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)

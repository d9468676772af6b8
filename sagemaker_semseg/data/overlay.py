"""Images with their labels laid over them in color, and sheets of image, truth and prediction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from sagemaker_semseg.data.images import palette
from sagemaker_semseg.data.labels import IGNORE

__all__ = ["overlay", "side_by_side"]

Bytes = npt.NDArray[np.uint8]

# a panel's longer side in pixels: smaller images are enlarged by a whole factor, larger ones reduced
_SMALLEST_PANEL: Final = 288
_LARGEST_PANEL: Final = 960
_GAP: Final = 12
_TITLE_SIZE: Final = 16
_LEGEND_SIZE: Final = 14
_BACKGROUND: Final = (255, 255, 255)
_TEXT: Final = (38, 38, 38)
_OUTLINE: Final = (160, 160, 160)


def overlay(image: Bytes, labels: Bytes, num_classes: int, opacity: float = 0.6) -> Bytes:
    """Mix each pixel with the color of its label (Pascal VOC's), and draw a light line between labels.

    Args:
        image: (H, W, 3) uint8.
        labels: (H, W) uint8; pixels of 255 (ignored) keep the image's color.
        num_classes: Labels are below it.
        opacity: The share of the label's color, 0 to 1.

    Returns:
        (H, W, 3) uint8.

    Raises:
        ValueError: Shapes or dtypes don't fit, or a label is neither below ``num_classes`` nor 255.

    Example:
        >>> Image.fromarray(overlay(image, segmenter.labels(image), num_classes=3)).save("overlay.png")
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
    """Draw panels with titles: the image, then truth and prediction laid over it; below, a legend of the labels.

    Args:
        image: (H, W, 3) uint8.
        truth: (H, W) uint8 labels, or None for no such panel.
        prediction: (H, W) uint8 labels.
        names: Of the classes from label 0 on; without them the legend shows numbers.
        num_classes: Labels are below it; by default ``len(names)``, or any number up to 255.
        opacity: As for ``overlay``.

    Raises:
        ValueError: As for ``overlay``.
    """
    if num_classes is None:
        num_classes = len(names) if names else IGNORE
    panels = [("image", None), ("prediction", prediction)]
    if truth is not None:
        panels.insert(1, ("truth", truth))
    size = _panel_size(*prediction.shape)
    scaled = _resize(image, size, Image.Resampling.BICUBIC if size[0] > image.shape[1] else Image.Resampling.BOX)
    drawn = []
    for title, labels in panels:
        if labels is not None:
            _check(image, labels, num_classes)
            # over the scaled image: the lines between labels stay thin
            panel = overlay(scaled, _resize(labels, size, Image.Resampling.NEAREST), num_classes, opacity)
        else:
            panel = scaled
        drawn.append((title, Image.fromarray(panel)))
    shown = sorted({int(label) for _, labels in panels if labels is not None for label in np.unique(labels)})
    return _sheet(drawn, [(label, _name(label, names)) for label in shown], opacity)


def _check(image: Bytes, labels: Bytes, num_classes: int) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"image must be (H, W, 3) uint8, not {image.shape} {image.dtype}")
    if labels.shape != image.shape[:2] or labels.dtype != np.uint8:
        raise ValueError(f"labels must be {image.shape[:2]} uint8 like the image, not {labels.shape} {labels.dtype}")
    foreign = labels[(labels >= num_classes) & (labels != IGNORE)]
    if foreign.size:
        raise ValueError(f"labels must be below num_classes={num_classes} or 255, found {int(foreign.max())}")


def _borders(labels: Bytes) -> npt.NDArray[np.bool_]:
    """Return where the label differs from the one to the right or below."""
    borders = np.zeros(labels.shape, bool)
    borders[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    borders[:-1] |= labels[:-1] != labels[1:]
    return borders


def _panel_size(height: int, width: int) -> tuple[int, int]:
    """Return (width, height) of a panel, as Pillow expects them."""
    longer = max(height, width)
    if longer > _LARGEST_PANEL:
        scale = _LARGEST_PANEL / longer
        return max(1, round(width * scale)), max(1, round(height * scale))
    factor = -(-_SMALLEST_PANEL // longer)
    return width * factor, height * factor


def _resize(pixels: Bytes, size: tuple[int, int], resampling: Image.Resampling) -> Bytes:
    return np.asarray(Image.fromarray(pixels).resize(size, resampling))


def _name(label: int, names: Sequence[str] | None) -> str:
    if label == IGNORE:
        return "ignored"
    return names[label] if names and label < len(names) else str(label)


def _sheet(panels: list[tuple[str, Image.Image]], legend: list[tuple[int, str]], opacity: float) -> Image.Image:
    width, height = panels[0][1].size
    sheet_width = _GAP + len(panels) * (width + _GAP)
    top = _GAP + _TITLE_SIZE + _GAP // 2
    rows = _legend_rows(legend, sheet_width - 2 * _GAP)
    row_height = _LEGEND_SIZE + _GAP
    sheet = Image.new("RGB", (sheet_width, top + height + _GAP + len(rows) * row_height), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for number, (title, panel) in enumerate(panels):
        left = _GAP + number * (width + _GAP)
        draw.text((left, _GAP - 2), title, fill=_TEXT, font=_font(_TITLE_SIZE))
        sheet.paste(panel, (left, top))
    for number, row in enumerate(rows):
        y = top + height + _GAP + number * row_height
        for x, label, name in row:
            swatch = (_GAP + x, y, _GAP + x + _LEGEND_SIZE, y + _LEGEND_SIZE)
            draw.rectangle(swatch, fill=None if label == IGNORE else _swatch(label, opacity), outline=_OUTLINE)
            draw.text((swatch[2] + 6, y - 1), name, fill=_TEXT, font=_font(_LEGEND_SIZE))
    return sheet


def _swatch(label: int, opacity: float) -> tuple[int, int, int]:
    """Return the label's color laid over middle gray, similar to the panels."""
    red, green, blue = (round(float(channel) * opacity + 127 * (1 - opacity)) for channel in palette()[label])
    return red, green, blue


def _legend_rows(legend: list[tuple[int, str]], room: int) -> list[list[tuple[int, int, str]]]:
    """Break the legend into rows of at most ``room`` pixels, with entries (x, label, name)."""
    rows: list[list[tuple[int, int, str]]] = []
    x = room
    for label, name in legend:
        width = _LEGEND_SIZE + 6 + round(_font(_LEGEND_SIZE).getlength(name)) + 18
        if x + width > room + 18:  # the last entry of a row needs no space after it
            rows.append([])
            x = 0
        rows[-1].append((x, label, name))
        x += width
    return rows


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)

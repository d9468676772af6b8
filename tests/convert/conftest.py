"""Images and annotation files of a data set, and the way from there to the masks that a training reads."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sagemaker_semseg.convert.annotations import random_split
from sagemaker_semseg.convert.writing import write
from sagemaker_semseg.data.datasets import find_channels, read_channels
from sagemaker_semseg.data.images import decode_mask


@pytest.fixture
def write_image(tmp_path: Path) -> Callable[..., Path]:
    """Writes an image of so many pixels as stored, and returns its path."""

    def put(name: str, height: int = 24, width: int = 32, orientation: int = 1, kind: str = "JPEG") -> Path:
        y, x = np.mgrid[:height, :width]
        pixels = np.stack([x * 8 % 256, y * 9 % 256, (x + y) % 256], axis=2).astype(np.uint8)
        exif = Image.Exif()
        if orientation != 1:
            exif[0x0112] = orientation
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, kind, exif=exif.tobytes())
        return _put(tmp_path / name, out.getvalue())

    return put


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    """Writes a text, bytes, or a value as JSON, and returns the path."""

    def put(name: str, content: object) -> Path:
        text = content if isinstance(content, str | bytes) else json.dumps(content)
        return _put(tmp_path / name, text.encode() if isinstance(text, str) else text)

    return put


@pytest.fixture
def mask_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes an array as PNG: (H, W) uint8 grey, (H, W, 3) RGB; with a palette, indices."""

    def put(name: str, pixels: np.ndarray, palette: bytes | None = None) -> Path:
        image = Image.fromarray(pixels)
        if palette is not None:
            image.putpalette(palette)
        out = io.BytesIO()
        image.save(out, "PNG")
        return _put(tmp_path / name, out.getvalue())

    return put


def _put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.fixture
def converted(tmp_path: Path):
    """Writes a data set and reads it as a training does. Returns the masks by name, and what was written.

    Where the data set says what is for validation, names begin with the split.
    """

    def convert(dataset, **options):
        output = tmp_path / "converted"
        by_split = all(item.split for item in dataset.items)
        written = write(random_split(dataset), output, **options)
        channels = read_channels(find_channels(output), len(dataset.classes))
        masks = {}
        for split in (channels.train, channels.validation):
            for sample in split.pairs:
                name = f"{split.channel}/{sample.name}" if by_split else sample.name
                masks[name] = decode_mask(sample.mask.read_bytes())
        assert (output / "classes.txt").read_text().splitlines() == list(dataset.classes)
        assert len(masks) == written.images.total()
        return masks, written

    return convert

"""A part of a JPEG is exactly that part of the whole image."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sagemaker_semseg.data.image_headers import EncodedImage
from sagemaker_semseg.data.images import decode_image
from sagemaker_semseg.training import partial_decode
from sagemaker_semseg.training.partial_decode import read_image

HEIGHT, WIDTH = 91, 117


def colors(seed: int = 0) -> Image.Image:
    random = np.random.default_rng(seed)
    ground = Image.fromarray(random.integers(0, 256, (12, 14, 3), dtype=np.uint8))
    return ground.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)


def saved(image: Image.Image, kind: str, **settings: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **settings)
    return out.getvalue()


def source(data: bytes) -> EncodedImage:
    return EncodedImage.parse(data, "a.png")


JPEGS: dict[str, tuple[str, dict[str, Any]]] = {
    "4:2:0": ("RGB", {"subsampling": "4:2:0"}),
    "4:2:2": ("RGB", {"subsampling": "4:2:2"}),
    "4:4:4": ("RGB", {"subsampling": "4:4:4"}),
    "progressive": ("RGB", {"progressive": True}),
    "restart markers": ("RGB", {"restart_marker_blocks": 3}),
    "stored as RGB": ("RGB", {"keep_rgb": True}),
    "gray": ("L", {}),
}


@pytest.mark.parametrize("name", JPEGS)
def test_windows_of_a_jpeg(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mode, settings = JPEGS[name]
    data = saved(colors().convert(mode), "JPEG", quality=88, **settings)
    opened, expected = source(data), decode_image(data)
    monkeypatch.setattr(partial_decode, "decode_image", None)  # the whole is not decoded
    random = np.random.default_rng(3)
    for _ in range(60):
        top, left = int(random.integers(HEIGHT)), int(random.integers(WIDTH))
        rows, columns = (top, int(random.integers(top, HEIGHT)) + 1), (left, int(random.integers(left, WIDTH)) + 1)
        assert (read_image(opened, rows, columns) == expected[slice(*rows), slice(*columns)]).all(), (rows, columns)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_windows_are_of_the_image_as_displayed(orientation: int) -> None:
    tags = Image.Exif()
    tags[0x0112] = orientation
    data = saved(colors(), "JPEG", exif=tags)
    expected = decode_image(data)
    assert (read_image(source(data), (10, 70), (20, 61)) == expected[10:70, 20:61]).all()
    assert (read_image(source(data)) == expected).all()


def test_other_images_are_decoded_whole() -> None:
    for data in (saved(colors(), "PNG"), saved(colors().convert("CMYK"), "JPEG")):
        assert (read_image(source(data), (5, 60), (7, 90)) == decode_image(data)[5:60, 7:90]).all()


def test_a_jpeg_that_tensorflow_refuses_is_left_to_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(colors(), "JPEG")

    def refuse(**_: object) -> None:
        raise partial_decode.tf.errors.InvalidArgumentError(None, None, "no")

    monkeypatch.setattr(partial_decode.tf.raw_ops, "DecodeAndCropJpeg", refuse)
    assert (read_image(source(data), (5, 60), (7, 90)) == decode_image(data)[5:60, 7:90]).all()

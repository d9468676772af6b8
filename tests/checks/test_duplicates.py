"""Near copies: the search compared with a comparison of all images, and which changes are found."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from sagemaker_semseg.checks import duplicates
from sagemaker_semseg.checks.image_checks import SampleSummary
from sagemaker_semseg.data.image_headers import EncodedImage, ImageHeader
from sagemaker_semseg.data.images import decode_thumbnail
from sagemaker_semseg.data.samples import ImageMaskPair


def changed(hashes: np.ndarray, bits: int, random: np.random.Generator) -> np.ndarray:
    """Flip this many bits of each hash."""
    flipped = np.unpackbits(hashes, axis=1)
    for row in flipped:
        row[random.choice(128, bits, replace=False)] ^= 1
    return np.packbits(flipped, axis=1)


@pytest.mark.parametrize("bits", [0, 1, 4, 7])
def test_whatever_differs_in_seven_bits_is_found(bits: int) -> None:
    random = np.random.default_rng(bits)
    train_hashes = random.integers(0, 256, (500, 16)).astype(np.uint8)
    validation_hashes = changed(train_hashes[::-1], bits, random)
    found = dict(duplicates.nearest_hashes(train_hashes, validation_hashes))
    assert found == {number: [499 - number] for number in range(500)}


def test_of_what_differs_in_more_nothing_else_is_found() -> None:
    random = np.random.default_rng(0)
    train_hashes = random.integers(0, 256, (400, 16)).astype(np.uint8)
    validation_hashes = np.concatenate(
        [changed(train_hashes, bits, random)[bits * 30 : bits * 30 + 30] for bits in range(13)]
    )
    distances = (np.unpackbits(train_hashes[None] ^ validation_hashes[:, None], axis=2)).sum(2)
    for number, nearest in duplicates.nearest_hashes(train_hashes, validation_hashes):
        assert (distances[number, nearest] <= 12).all()
        assert nearest[0] == distances[number].argmin()
    assert list(duplicates.nearest_hashes(train_hashes, random.integers(0, 256, (400, 16)).astype(np.uint8))) == []


def test_a_part_that_thousands_share_is_ignored() -> None:
    """Otherwise a set of similar images would be compared all with all."""
    random = np.random.default_rng(0)
    train_hashes = random.integers(0, 256, (2000, 16)).astype(np.uint8)
    train_hashes[:, :2] = 0
    assert dict(duplicates.nearest_hashes(train_hashes, train_hashes[:50])) == {
        number: [number] for number in range(50)
    }
    same = np.zeros((2000, 16), np.uint8)
    assert list(duplicates.nearest_hashes(same, same[:5])) == []


def make_image(seed: int, height: int = 240, width: int = 320) -> Image.Image:
    colors = np.random.default_rng(seed).integers(0, 256, (7, 9, 3)).astype(np.uint8)
    return Image.fromarray(colors).resize((width, height), Image.Resampling.BICUBIC)


def thumbnail(data: bytes) -> tuple[ImageHeader, Image.Image]:
    encoded = EncodedImage.parse(data)
    return encoded.header, decode_thumbnail(encoded)


def summarize(path: Path, image: Image.Image, **settings: int) -> SampleSummary:
    image.save(path, "PNG" if path.suffix == ".png" else "JPEG", **settings)
    data = path.read_bytes()
    header, small = thumbnail(data)
    hashed = duplicates.perceptual_hash(small, header)
    pair = ImageMaskPair(path.stem, path, path)
    return SampleSummary(pair, header.displayed, data[-32:], b"", hashed, False, None, False, False)


CHANGES = {
    "compressed": lambda image: image,
    "half": lambda image: image.resize((160, 120)),
    "odd": lambda image: image.resize((211, 159)),
    "lighter": lambda image: ImageEnhance.Brightness(image).enhance(1.08),
    "cut": lambda image: image.crop((2, 2, 318, 238)),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("extension", ["jpg", "png"])
def test_changed_copies(tmp_path: Path, change: str, extension: str) -> None:
    train = [summarize(tmp_path / f"t{seed}.jpg", make_image(seed), quality=90) for seed in range(12)]
    copies = [CHANGES[change](make_image(seed)) for seed in range(12)]
    settings = {"quality": 50} if extension == "jpg" else {}
    validation = [summarize(tmp_path / f"v{seed}.{extension}", copy, **settings) for seed, copy in enumerate(copies)]
    found = duplicates.find_near_copies(train, validation)
    assert [(finding.where, finding.what.split()[-1]) for finding in found] == [
        (str(tmp_path / f"v{seed}.{extension}"), str(tmp_path / f"t{seed}.jpg")) for seed in range(12)
    ]
    assert duplicates.find_near_copies(train[:6], validation[6:]) == []


def test_a_similar_hash_is_not_enough(tmp_path: Path) -> None:
    """A bright square in one of two images changes few bits of the hash, but the image."""
    one = make_image(0)
    other = one.copy()
    other.paste((255, 0, 255), (100, 80, 150, 130))
    train, validation = summarize(tmp_path / "a.jpg", one), summarize(tmp_path / "b.jpg", other)
    bits = np.unpackbits(
        np.frombuffer(train.perceptual_hash, np.uint8) ^ np.frombuffer(validation.perceptual_hash, np.uint8)
    )
    assert bits.sum() <= 12
    assert duplicates.find_near_copies([train], [validation]) == []


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (3, 2), (17, 33)])
def test_images_of_any_form_have_a_hash(mode: str, size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    image = Image.fromarray(pixels)
    image = Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)
    out = io.BytesIO()
    image.save(out, "PNG")
    header, small = thumbnail(out.getvalue())
    assert len(duplicates.perceptual_hash(small, header)) in (0, 16)
    if mode in ("L", "RGB"):
        out = io.BytesIO()
        image.save(out, "JPEG")
        header, small = thumbnail(out.getvalue())
        assert len(duplicates.perceptual_hash(small, header)) in (0, 16)


def test_plain_images_have_none() -> None:
    out = io.BytesIO()
    Image.new("RGB", (64, 64), (200, 10, 10)).save(out, "JPEG")
    header, small = thumbnail(out.getvalue())
    assert duplicates.perceptual_hash(small, header) == b""


def test_tiny_images_have_a_hash() -> None:
    """A decoder's eighth of a few pixels is larger than an eighth."""
    for height in range(1, 20):
        for width in range(1, 20):
            out = io.BytesIO()
            make_image(1, height, width).save(out, "JPEG")
            header, small = thumbnail(out.getvalue())
            assert len(duplicates.perceptual_hash(small, header)) in (0, 16)

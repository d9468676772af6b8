"""The images of the soak test: of many sizes, and in every form in which images come.

Input: a number. Output: that many encoded images, the same bytes on every run with the same Pillow.
"""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image
from pipeline_images import texture

SIDES = (1, 7, 8, 33, 64, 97, 128, 160, 200, 256, 320)
ORIENTATION = 0x0112  # EXIF


@dataclass(frozen=True)
class Sample:
    name: str
    content_type: str
    data: bytes


def make_samples(number: int, largest: int = 320) -> list[Sample]:
    kinds = list(KINDS)
    sides = [side for side in SIDES if side <= largest]
    samples = []
    for index in range(number):
        random = np.random.RandomState(index)
        kind = kinds[index % len(kinds)]
        height, width = random.choice(sides), random.choice(sides)
        top, left = random.randint(0, 480 - height + 1), random.randint(0, 640 - width + 1)
        image = Image.fromarray(texture(random)[top : top + height, left : left + width])
        samples.append(
            Sample(f"{index} {kind} {width} x {height}", f"image/{kind.split()[0].lower()}", KINDS[kind](image))
        )
    return samples


def _jpeg(image: Image.Image, **settings: object) -> bytes:
    return _saved(image, "JPEG", quality=90, **settings)


def _turned(image: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    return _jpeg(image, exif=exif)


def _saved(image: Image.Image, kind: str, **settings: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **settings)
    return out.getvalue()


KINDS = {
    "JPEG": _jpeg,
    "PNG": lambda image: _saved(image, "PNG"),
    "JPEG progressive": lambda image: _jpeg(image, progressive=True),
    "PNG palette": lambda image: _saved(image.quantize(64), "PNG"),
    "JPEG grey": lambda image: _jpeg(image.convert("L")),
    "PNG with alpha": lambda image: _saved(image.convert("RGBA"), "PNG"),
    "JPEG turned": _turned,
    "PNG 16 bits": lambda image: _saved(Image.fromarray(np.asarray(image.convert("L"), np.uint16) * 257), "PNG"),
    "JPEG CMYK": lambda image: _jpeg(image.convert("CMYK")),
    "PNG grey": lambda image: _saved(image.convert("L"), "PNG"),
}

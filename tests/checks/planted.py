"""Makes a small clean data set, and plants faults in it; each names the kinds of findings that it causes."""

from __future__ import annotations

import io
import itertools
import json
import os
import struct
import unicodedata
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from sagemaker_semseg.data.images import encode_mask

CLASSES = 3
HEIGHT, WIDTH = 40, 48
SPLITS = ("train", "validation")


def make_image(seed: int, height: int = HEIGHT, width: int = WIDTH) -> Image.Image:
    """Make patches of colours, different for each seed."""
    colors = np.random.default_rng(seed).integers(0, 256, (5, 6, 3)).astype(np.uint8)
    return Image.fromarray(colors).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "JPEG", orientation: int = 1, **settings: int) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    out = io.BytesIO()
    image.save(out, kind, exif=tags if orientation > 1 else b"", **settings)
    return out.getvalue()


def labels(height: int = HEIGHT, width: int = WIDTH, values: tuple[int, ...] = (0, 1, 2, 255)) -> np.ndarray:
    """Upright stripes of the values."""
    stripes = np.arange(width) * len(values) // width
    return np.tile(np.array(values, np.uint8)[stripes], (height, 1))


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def pair(
    root: Path, name: str, image: bytes | Image.Image, mask: bytes | np.ndarray | None = None, split: str = "train"
):
    """Write both; a mask that isn't given fits an image of the usual size."""
    mask = labels() if mask is None else mask
    write(root / split / f"{name}.jpg", image if isinstance(image, bytes) else encoded(image))
    write(root / f"{split}_annotation" / f"{name}.png", mask if isinstance(mask, bytes) else encode_mask(mask))


def clean(root: Path) -> None:
    for number in range(3):
        pair(root, f"t{number}", make_image(number))
    for number in range(2):
        pair(root, f"v{number}", make_image(10 + number), split="validation")


@dataclass(frozen=True)
class Fault:
    """How to plant a fault, and the kinds of its findings. alone: it changes the whole set and would hide others."""

    name: str
    plant: Callable[[Path], None]
    kinds: frozenset[str]
    alone: bool = False
    num_classes: int | None = CLASSES


FAULTS: list[Fault] = []


def fault(*kinds: str, alone: bool = False, num_classes: int | None = CLASSES):
    def register(plant: Callable[[Path], None]) -> Callable[[Path], None]:
        FAULTS.append(Fault(plant.__name__, plant, frozenset(kinds), alone, num_classes))
        return plant

    return register


# ---- files that can't be read


@fault("empty file")
def empty_image(root):
    pair(root, "f1", b"")


@fault("empty file")
def empty_mask(root):
    pair(root, "f2", make_image(102), b"")


@fault("unusable image")
def truncated_jpeg(root):
    pair(root, "f3", encoded(make_image(103))[:-200])


@fault("unusable image")
def truncated_png_image(root):
    pair(root, "f4", encoded(make_image(104), "PNG")[:-300])


@fault("unusable mask")
def truncated_mask(root):
    pair(root, "f5", make_image(105), encode_mask(labels())[:-16])


@fault("unusable mask")
def mask_with_a_wrong_checksum(root):
    data = bytearray(encode_mask(labels()))
    data[data.index(b"IDAT") + 8] ^= 1
    pair(root, "f6", make_image(106), bytes(data))


@fault("unusable image")
def text_for_an_image(root):
    pair(root, "f7", b"<html>404 not found</html>")


@fault("unusable image")
def other_format(root):
    pair(root, "f8", encoded(make_image(108), "GIF"))


@fault("unusable image")
def broken_link(root):
    pair(root, "f9", make_image(109))
    (root / "train/f9.jpg").unlink()
    (root / "train/f9.jpg").symlink_to(root / "nowhere.jpg")


@fault("unusable mask")
def values_of_16_bits(root):
    out = io.BytesIO()
    Image.fromarray(labels().astype(np.uint16) * 256).save(out, "PNG")
    pair(root, "f10", make_image(110), out.getvalue())


# ---- pairs


@fault("image without mask")
def missing_mask(root):
    write(root / "train/g1.jpg", encoded(make_image(201)))


@fault("mask without image")
def missing_image(root):
    write(root / "validation_annotation/g2.png", encode_mask(labels()))


@fault("image without mask", "mask without image")
def mask_of_a_longer_name(root):
    pair(root, "g3", make_image(203))
    (root / "train_annotation/g3.png").rename(root / "train_annotation/g3_mask.png")


@fault("two files of one name")
def two_images_of_one_name(root):
    pair(root, "g4", make_image(204))
    write(root / "train/g4.png", encoded(make_image(205), "PNG"))


@fault("size mismatch")
def mask_of_another_size(root):
    pair(root, "g5", make_image(206), labels(HEIGHT, WIDTH - 1))


@fault("size mismatch")
def turned_by_exif(root):
    pair(root, "g6", encoded(make_image(207), orientation=6))


@fault("turned image")
def upside_down_by_exif(root):
    pair(root, "g7", encoded(make_image(208), orientation=3))


@fault("turned image")
def turned_square(root):
    pair(root, "g8", encoded(make_image(209, 48, 48), orientation=8), labels(48, 48))


# ---- masks


def mask_as(mask: np.ndarray, kind: str, mode: str = "RGB", **settings: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(mask).convert(mode).save(out, kind, **settings)
    return out.getvalue()


@fault("colour mask")
def mask_of_colors(root):
    pair(root, "m1", make_image(301), mask_as(labels(), "PNG"))


@fault("colour mask")
def mask_of_colors_and_alpha(root):
    pair(root, "m2", make_image(302), mask_as(labels(), "PNG", "RGBA"))


@fault("colour mask")
def gray_mask_with_alpha(root):
    pair(root, "m3", make_image(303), mask_as(labels(), "PNG", "LA"))


@fault("JPEG mask")
def mask_as_jpeg(root):
    write(root / "train/m4.jpg", encoded(make_image(304)))
    write(root / "train_annotation/m4.jpg", mask_as(labels(), "JPEG", "L"))


@fault("JPEG mask")
def mask_as_jpeg_called_png(root):
    pair(root, "m5", make_image(305), mask_as(labels(), "JPEG", "L"))


def disc(low: int, high: int) -> np.ndarray:
    down, right = np.ogrid[:96, :112]
    return np.where((down - 45) ** 2 + (right - 52) ** 2 < 900, high, low).astype(np.uint8)


@fault("JPEG-compressed mask", "label out of range")
def png_made_from_a_jpeg(root):
    jpeg = Image.open(io.BytesIO(mask_as(disc(20, 200), "JPEG", "L", quality=75)))
    pair(root, "m6", make_image(306, 96, 112), np.asarray(jpeg))


@fault("anti-aliased mask", "label out of range")
def smoothly_scaled_mask(root):
    larger = Image.fromarray(disc(0, 200)).resize((168, 144), Image.Resampling.BILINEAR)
    pair(root, "m7", make_image(307, 144, 168), np.asarray(larger))


@fault("label out of range")
def label_too_high(root):
    pair(root, "m8", make_image(308), labels(values=(0, 1, 3)))


@fault("254 in a mask", "label out of range")
def ignore_written_as_254(root):
    pair(root, "m9", make_image(309), labels(values=(0, 1, 254)))


@fault("mask without labels")
def everything_ignored(root):
    pair(root, "m10", make_image(310), labels(values=(255,)))


@fault("wrong extension")
def mask_called_jpg(root):
    write(root / "train/m11.jpg", encoded(make_image(311)))
    write(root / "train_annotation/m11.jpg", encode_mask(labels()))


# ---- images


@fault("wrong extension")
def png_called_jpg(root):
    pair(root, "i1", encoded(make_image(401), "PNG"))


@fault("image smaller than the crop")
def small_image(root):
    pair(root, "i2", make_image(402, 20, 30), labels(20, 30))


@fault("CMYK image")
def cmyk(root):
    pair(root, "i3", encoded(make_image(403).convert("CMYK")))


@fault("grey images among colour ones")
def gray(root):
    pair(root, "i4", encoded(make_image(404).convert("L")))


def png(pixels: np.ndarray, depth: int, color: int) -> bytes:
    """Write a PNG that Pillow can't write. pixels: big-endian bytes of each row."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@fault("16-bit image")
def sixteen_bits(root):
    write(root / "train/i5.png", png(np.asarray(make_image(405)).astype(">u2") * 257, 16, 2))
    write(root / "train_annotation/i5.png", encode_mask(labels()))


@fault("transparent image")
def transparent(root):
    image = make_image(406).convert("RGBA")
    image.putalpha(Image.fromarray(labels(values=(255, 90))))
    write(root / "train/i6.png", encoded(image, "PNG"))
    write(root / "train_annotation/i6.png", encode_mask(labels()))


@fault("blank image")
def blank(root):
    pair(root, "i7", Image.new("RGB", (WIDTH, HEIGHT), (9, 80, 200)))


@fault("sizes far apart", alone=True)
def one_much_larger(root):
    pair(root, "i8", make_image(408, 240, 200), labels(240, 200))


# ---- names


@fault("hidden file")
def hidden(root):
    write(root / "train/.DS_Store", b"?")


@fault("hidden file")
def hidden_folder(root):
    write(root / "validation_annotation/.cache/x.png", b"?")


@fault("file left out")
def other_extension(root):
    write(root / "train/n1.tif", b"?")


@fault("file left out")
def no_extension(root):
    write(root / "validation/labels", b"?")


@fault("blank in a name")
def blank_in_a_name(root):
    pair(root, "n 2", make_image(502))


@fault("blank in a name")
def blank_in_a_folder(root):
    pair(root, "new ones/n3", make_image(503))


@fault("names that differ in case")
def names_that_differ_in_case(root):
    pair(root, "n4", make_image(504))
    pair(root, "N4", make_image(505))


@fault("name that isn't portable")
def colon(root):
    pair(root, "n:5", make_image(506))


@fault("name that isn't portable")
def name_of_a_device(root):
    pair(root, "aux", make_image(507))


@fault("name that isn't portable")
def accent_apart(root):
    pair(root, unicodedata.normalize("NFD", "café"), make_image(508))


@fault("link that leads back")
def link_round(root):
    (root / "train/round").symlink_to(root / "train")


# ---- the set


@fault("image in train and validation")
def leak(root):
    pair(root, "s1", make_image(601))
    pair(root, "s1", make_image(601), split="validation")


@fault("image much like one in train")
def leak_compressed_again(root):
    pair(root, "s2", make_image(602, 150, 180), labels(150, 180))
    pair(root, "s2b", encoded(make_image(602, 150, 180), quality=40), labels(150, 180), split="validation")


@fault("image much like one in train")
def leak_scaled(root):
    pair(root, "s3", make_image(603, 144, 180), labels(144, 180))
    pair(root, "s3b", make_image(603, 144, 180).resize((120, 96)), labels(96, 120), split="validation")


@fault("image twice")
def duplicated(root):
    pair(root, "s4", make_image(604))
    pair(root, "s4b", make_image(604))


@fault("image twice", "one image, several masks")
def duplicated_with_another_mask(root):
    pair(root, "s5", make_image(605))
    pair(root, "s5b", make_image(605), labels(values=(2, 1, 0)))


@fault("image in train and validation", "one image, several masks")
def leak_with_another_mask(root):
    pair(root, "s6", make_image(606))
    pair(root, "s6b", make_image(606), labels(values=(2, 1, 0)), split="validation")


@fault("class that never occurs", alone=True, num_classes=4)
def class_that_never_occurs(root):
    no_ignored_pixels(root)


@fault("doubtful labels", alone=True, num_classes=4)
def class_written_as_255(root):
    pass  # a quarter of every mask is 255, and no pixel is 3


@fault("class absent from validation", alone=True, num_classes=4)
def class_in_train_alone(root):
    pair(root, "s7", make_image(607), labels(values=(0, 3)))


@fault("class absent from train", alone=True, num_classes=None)
def class_in_validation_alone(root):
    pair(root, "s8", make_image(608), labels(values=(0, 3)), split="validation")


@fault("masks of one class", alone=True)
def one_class_a_mask(root):
    for number in range(4):
        pair(root, f"s9{number}", make_image(620 + number), labels(values=(number % 3, 255)))


@fault("masks without labels", "mask without labels", alone=True)
def a_split_ignored(root):
    for number in range(2):
        write(root / f"validation_annotation/v{number}.png", encode_mask(labels(values=(255,))))


@fault("doubtful labels", alone=True, num_classes=2)
def masks_of_0_and_255(root):
    for path in root.glob("*_annotation/*.png"):
        path.write_bytes(encode_mask(labels(values=(0, 255))))


@fault("doubtful labels", "class that never occurs", "masks of one class", alone=True, num_classes=3)
def masks_of_0_and_255_for_three_classes(root):
    for path in root.glob("*_annotation/*.png"):
        path.write_bytes(encode_mask(labels(values=(0, 255))))


@fault("doubtful labels", "class absent from validation", "masks of one class", alone=True, num_classes=2)
def validation_of_one_class(root):
    for split, values in (("train", (0, 1, 255)), ("validation", (0, 255))):
        for path in root.glob(f"{split}_annotation/*.png"):
            path.write_bytes(encode_mask(labels(values=values)))


@fault("doubtful labels", "class that never occurs", "masks of one class", alone=True, num_classes=2)
def scale_for_masks_of_0_and_1(root):
    for path in root.glob("*_annotation/*.png"):
        path.write_bytes(encode_mask(labels(values=(0, 1))))
    label_map(root, {"scale": 255})


@fault("label map missing", alone=True, num_classes=None)
def masks_of_multiples_without_a_number_of_classes(root):
    for path in root.glob("*_annotation/*.png"):
        path.write_bytes(encode_mask(labels(values=(0, 15, 190))))


@fault("label out of range", alone=True)
def masks_of_multiples(root):
    for path in root.glob("*_annotation/*.png"):
        path.write_bytes(encode_mask(labels(values=(0, 100, 200))))


@fault("same folder", alone=True)
def one_folder_for_both(root):
    for name in ("validation", "validation_annotation"):
        for path in (root / name).iterdir():
            path.unlink()
        (root / name).rmdir()
        (root / name).symlink_to(root / name.replace("validation", "train"))


ORDERS = tuple(itertools.permutations((0, 1, 2, 255)))


@fault("channels swapped", "JPEG mask", alone=True)
def swapped(root):
    for number, path in enumerate(sorted(root.glob("*_annotation/*.png"))):
        path.write_bytes(encode_mask(labels(values=ORDERS[number])))
    (root / "train").rename(root / "x")
    (root / "train_annotation").rename(root / "train")
    (root / "x").rename(root / "train_annotation")


@fault("missing channel", alone=True)
def channel_missing(root):
    (root / "validation_annotation").rename(root / "validation_masks")


@fault("channel without images", "file left out", alone=True)
def channel_of_other_files(root):
    for path in (root / "validation").iterdir():
        path.rename(path.with_suffix(".webp"))


# ---- label maps


def label_map(root: Path, content: object, name: str = "label_map.json") -> None:
    write(root / "label_map" / name, content if isinstance(content, bytes) else json.dumps(content).encode())


@fault("bad label map", alone=True)
def label_map_of_no_json(root):
    label_map(root, b"{")


@fault("bad label map", alone=True)
def label_map_of_another_name(root):
    label_map(root, {"scale": 1}, "train_labelmap.json")


@fault("useless label map", alone=True)
def label_map_that_no_split_reads(root):
    label_map(root, {"scale": 1})
    label_map(root, {"scale": 1}, "labels.json")


@fault("useless label map", alone=True)
def label_map_with_a_value_too_many(root):
    label_map(root, {"map": {"0": 0, "1": [1, 7], "2": 2}})


@fault("label map of one split", alone=True)
def label_map_of_one_split(root):
    label_map(root, {"scale": 1}, "train_label_map.json")


@fault("pixel values left out", "class that never occurs", alone=True)
def label_map_that_omits_a_value(root):
    label_map(root, {"map": {"0": 0, "1": 1}})


@fault("pixel values left out", "class that never occurs", alone=True)
def label_map_with_a_wrong_value(root):
    label_map(root, {"map": {"0": 0, "1": 1, "2": 7}})


# ---- manifests


COLORS = {"0": "sky", "1": "road", "2": "car"}


def manifests(root: Path, *more: object, colors: dict[str, str] | None = None) -> None:
    """Turn the set into two manifests, with more lines (text or JSON values) in train's; colors: their color map."""
    (root / "files").mkdir()
    for split in SPLITS:
        lines = []
        for path in sorted((root / split).iterdir()):
            line: dict[str, object] = {"source-ref": f"files/{split}/{path.name}"}
            line["labels-ref"] = f"files/{split}_annotation/{path.stem}.png"
            if colors:
                line["labels-ref-metadata"] = color_map(colors)
            lines.append(line)
        for channel in (split, f"{split}_annotation"):
            (root / channel).rename(root / "files" / channel)
        lines += more if split == "train" else []
        text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
        (root / f"{split}.manifest").write_text(text)


def color_map(names: dict[str, str]) -> dict[str, object]:
    """Return a color map as Ground Truth writes it; the colours are those of ``encode_mask``."""
    hexes = {"sky": "#000000", "road": "#800000", "car": "#008000"}
    entries = {key: {"class-name": name, "hex-color": hexes.get(name, "#123456")} for key, name in names.items()}
    return {"internal-color-map": entries}


GOOD = {"source-ref": "files/train/t0.jpg", "labels-ref": "files/train_annotation/t0.png"}


@fault(alone=True)
def manifests_without_fault(root):
    manifests(root)


@fault(alone=True)
def manifests_with_colors_without_fault(root):
    no_ignored_pixels(root)
    manifests(root, colors=COLORS)


def no_ignored_pixels(root: Path) -> None:
    for path in root.glob("*_annotation/*.png"):
        path.write_bytes(encode_mask(labels(values=(0, 1, 2))))


@fault(alone=True)
def manifest_in_a_folder(root):
    manifests(root)
    for split in SPLITS:
        (root / split).mkdir()
        text = (root / f"{split}.manifest").read_text().replace("files/", "../files/")
        (root / split / "lines.manifest").write_text(text)
        (root / f"{split}.manifest").unlink()


@fault("manifest line", alone=True)
def line_of_no_json(root):
    manifests(root, '{"source-ref": "files/')


@fault("manifest attribute", alone=True)
def line_without_a_mask(root):
    manifests(root, {"source-ref": "files/train/t0.jpg"})


@fault("manifest reference", alone=True)
def line_with_a_foreign_reference(root):
    manifests(root, {**GOOD, "labels-ref": "https://example.com/a.png"})


@fault("unusable image", "unusable mask", alone=True)
def line_whose_files_are_missing(root):
    manifests(root, {"source-ref": "files/nowhere.jpg", "labels-ref": "files/nowhere.png"})


@fault("image twice", alone=True)
def line_twice(root):
    manifests(root, GOOD)


@fault("attribute names", "image twice", alone=True)
def lines_with_two_masks(root):
    manifests(root, {**GOOD, "other-ref": "files/train_annotation/t0.png"})


@fault("empty manifest", alone=True)
def manifest_without_lines(root):
    manifests(root)
    (root / "validation.manifest").write_text("\n")


@fault("manifest metadata", alone=True)
def metadata_of_no_object(root):
    manifests(root, {**GOOD, "labels-ref-metadata": "none"})


@fault("colour map", alone=True)
def map_without_colors(root):
    manifests(root, {**GOOD, "labels-ref-metadata": {"internal-color-map": {"1": {"class-name": "road"}}}})


@fault("unknown colour", alone=True)
def mask_of_a_color_not_in_the_map(root):
    no_ignored_pixels(root)
    write(root / "train_annotation/t1.png", encode_mask(labels(values=(0, 1, 2, 9))))
    manifests(root, colors=COLORS)


@fault("number of classes", "class that never occurs", alone=True, num_classes=4)
def map_of_other_classes(root):
    no_ignored_pixels(root)
    manifests(root, colors=COLORS)


@fault("numbers unlike colours", alone=True)
def keys_unlike_the_numbers(root):
    no_ignored_pixels(root)
    manifests(root, colors={"0": "road", "1": "car", "2": "sky"})


if hasattr(os, "mkfifo"):

    @fault("unusable image")
    def pipe_for_a_file(root):
        pair(root, "f11", make_image(111))
        (root / "train/f11.jpg").unlink()
        os.mkfifo(root / "train/f11.jpg")

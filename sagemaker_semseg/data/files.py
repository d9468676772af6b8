"""Reads and checks the files of image-mask pairs in several threads.

Memory stays bounded however many pairs there are and however large an image is.
"""

from __future__ import annotations

import stat
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from sagemaker_semseg.data.color_masks import decode_color_mask
from sagemaker_semseg.data.image_headers import EncodedImage, ImageError
from sagemaker_semseg.data.images import Pixels, decode_mask, decode_thumbnail
from sagemaker_semseg.data.labels import count_values
from sagemaker_semseg.data.samples import ImageMaskPair
from sagemaker_semseg.environment import cpu_count
from sagemaker_semseg.errors import Fault, printable

Counts = npt.NDArray[np.int64]
Result = TypeVar("Result")

MAX_FILE_BYTES: Final = 1 << 30
LARGE_FILE_BYTES: Final = 1 << 24
LARGE_IMAGE_PIXELS: Final = 1 << 23
"""Larger ones are read one at a time, to bound memory."""

_large = threading.RLock()


class SampleVisitor(Protocol):
    """A callback of ``check_samples``: sees each good file, in the thread that reads it, then each pair, in order.

    ``CheckedPair`` holds what ``image`` and ``mask`` return.
    """

    def image(self, pair: ImageMaskPair, data: bytes, encoded: EncodedImage, thumbnail: Image.Image) -> object:
        """thumbnail: the image as stored, a JPEG at about an eighth of its size."""

    def mask(self, pair: ImageMaskPair, data: bytes, encoded: EncodedImage, mask: Pixels, values: Counts) -> object:
        """mask: (H, W) as displayed, before the label map; the labels of a color mask. values: (256,) counts."""

    def pair(self, split: str, pair: ImageMaskPair, checked: CheckedPair) -> None:
        """Called for every pair, also for one with faults."""


@dataclass(frozen=True)
class CheckedPair:
    """What was found in the files of one pair.

    Attributes:
        size: of the image, (height, width) as displayed; None if it can't be read.
        values: (256,) pixels of each mask value, or of each label of a color mask; None if it can't be read.
        faults: with their kinds.
        image: what the visitor made of the image.
        mask: what the visitor made of the mask.
        numbering: of a color mask, as in ``ColorMask``.
    """

    size: tuple[int, int] | None
    values: Counts | None
    faults: tuple[tuple[str, Fault], ...]
    image: object = None
    mask: object = None
    numbering: str = ""


def check_samples(pairs: Iterable[ImageMaskPair], visitor: SampleVisitor | None = None) -> Iterator[CheckedPair]:
    """Reads the files of all pairs and yields the results in the order of ``pairs``."""
    threads = min(32, cpu_count() + 4)  # more than CPUs: files may come over a network
    pool = ThreadPoolExecutor(threads, thread_name_prefix="read-samples")  # Pillow decodes without Python's lock
    pending: deque[Future[CheckedPair]] = deque()
    try:
        for pair in pairs:
            pending.append(pool.submit(_check, pair, visitor))
            if len(pending) >= 4 * threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _check(pair: ImageMaskPair, visitor: SampleVisitor | None) -> CheckedPair:
    faults: list[tuple[str, Fault]] = []
    size: tuple[int, int] | None = None
    mask_size: tuple[int, int] | None = None
    values: Counts | None = None
    image: object = None
    mask: object = None
    numbering = ""

    def read_image(data: bytes, encoded: EncodedImage) -> tuple[tuple[int, int], object]:
        thumbnail = decode_thumbnail(encoded)
        return encoded.size, visitor.image(pair, data, encoded, thumbnail) if visitor else None

    def read_mask(data: bytes, encoded: EncodedImage) -> tuple[tuple[int, int], Counts, object]:
        nonlocal numbering
        if pair.color_map:
            pixels, numbering = decode_color_mask(encoded, pair.color_map)
        else:
            pixels = decode_mask(encoded)
        counts = count_values(pixels)
        return encoded.size, counts, visitor.mask(pair, data, encoded, pixels, counts) if visitor else None

    try:
        size, image = read_file(pair.image, read_image, pair.describe(pair.image))
    except ImageError as error:
        faults += ((error.kind or "unusable image", fault) for fault in error.faults)
    try:
        mask_size, values, mask = read_file(pair.mask, read_mask, pair.describe(pair.mask))
    except ImageError as error:
        faults += ((error.kind or "unusable mask", fault) for fault in error.faults)
    if size and mask_size and size != mask_size:
        other = f"{printable(pair.image)} has {size[1]} x {size[0]} as displayed"
        what = f"{mask_size[1]} x {mask_size[0]} pixels, but {other}"
        remedy = "make the mask of the image's size, enlarging labels by nearest neighbour only"
        if size == mask_size[::-1]:
            remedy = "turn one of the two; the image's EXIF orientation counts"
        faults.append(("size mismatch", Fault(pair.describe(pair.mask), what, remedy)))
    return CheckedPair(size, values, tuple(faults), image, mask, numbering)


def read_file(path: Path, read: Callable[[bytes, EncodedImage], Result], where: str = "") -> Result:
    """Reads an image file and returns what ``read`` makes of its bytes and header.

    Large files, and large images, are read one at a time, to bound memory.

    Args:
        path: the file.
        read: called with the file's bytes and with the image, whose header has been read.
        where: names the file in errors; its path if empty.

    Raises:
        ImageError: if the file can't be read.
    """
    where = where or printable(path)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(where, "not a file", "remove it or put the file there")
        if status.st_size > MAX_FILE_BYTES:
            raise ImageError(where, f"{status.st_size} bytes; at most {MAX_FILE_BYTES} are read", "cut it into tiles")
        with _large if status.st_size > LARGE_FILE_BYTES else nullcontext():
            return read_image(path.read_bytes(), read, where)
    except OSError as error:
        what = f"can't be read: {error.strerror or error}"
        raise ImageError(where, what, "check the link or the permissions") from error


def read_image(data: bytes, read: Callable[[bytes, EncodedImage], Result], where: str) -> Result:
    """Returns what ``read`` makes of an image's bytes and header; as ``read_file``, without a file."""
    encoded = EncodedImage.parse(data, where)
    with _large if encoded.header.height * encoded.header.width > LARGE_IMAGE_PIXELS else nullcontext():
        return read(data, encoded)

"""The files of pairs, opened: an image and a mask come in, their size, the count of the mask's values and every fault
that they have go out. ``samples`` calls it; the doctor looks on (``Look``) while the files are open.

Several threads read; memory stays bounded however many pairs there are and however large a picture is.
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

from sagemaker_semseg.data.channels import Pair, shown
from sagemaker_semseg.data.color_masks import read_labels
from sagemaker_semseg.data.image_headers import Header, Refusal, refusal
from sagemaker_semseg.data.images import decode_mask, decode_thumbnail, image_size
from sagemaker_semseg.environment import cpu_count
from sagemaker_semseg.errors import Fault

Counts = npt.NDArray[np.int64]
Pixels = npt.NDArray[np.uint8]
Result = TypeVar("Result")

MAX_FILE_BYTES: Final = 1 << 30
_LARGE_FILE: Final = 1 << 24  # bytes, and ...
_LARGE_PICTURE: Final = 1 << 23  # pixels from which on pictures are decoded one at a time, to bound memory
_large = threading.RLock()
_COUNT_AT_ONCE: Final = 1 << 20  # numpy widens pixels to eight bytes before it counts them


class SampleVisitor(Protocol):
    """Someone who looks on: at each good file in the thread that reads it, then at each pair, in order.

    What ``image`` and ``mask`` return comes back in ``Checked``.
    """

    def image(self, pair: Pair, data: bytes, header: Header, small: Image.Image) -> object:
        """small: the picture as stored, a JPEG at about an eighth of its size."""

    def mask(self, pair: Pair, data: bytes, mask: Pixels, values: Counts) -> object:
        """mask: (H, W), as displayed, before the label map, or labels of one with colours; values: (256,) counts."""

    def pair(self, split: str, pair: Pair, checked: Checked) -> None:
        """Called for every pair, also for one with faults."""


@dataclass(frozen=True)
class Checked:
    """What one pair turned out to be.

    size: of the image, (height, width) as displayed; values: (256,) count of each mask value; None where they aren't
    known. For a mask of colours, values are labels, and indices says how its numbers stand to them
    (``coloured.Read``). faults: with their kinds. image, mask: what a ``Look`` made of them.
    """

    size: tuple[int, int] | None
    values: Counts | None
    faults: tuple[tuple[str, Fault], ...]
    image: object = None
    mask: object = None
    indices: str = ""


def check_samples(pairs: Iterable[Pair], look: SampleVisitor | None = None) -> Iterator[Checked]:
    """Checks in several threads (Pillow decodes without Python's lock) and yields in the order of ``pairs``."""
    threads = min(32, cpu_count() + 4)  # more than CPUs: files may come over a network
    pool = ThreadPoolExecutor(threads, thread_name_prefix="read-samples")
    pending: deque[Future[Checked]] = deque()
    try:
        for pair in pairs:
            pending.append(pool.submit(_check, pair, look))
            if len(pending) >= 4 * threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _check(pair: Pair, look: SampleVisitor | None) -> Checked:
    faults: list[tuple[str, Fault]] = []
    size: tuple[int, int] | None = None
    mask_size: tuple[int, int] | None = None
    values: Counts | None = None
    image: object = None
    mask: object = None
    indices = ""

    def read_image(data: bytes, where: str) -> tuple[tuple[int, int], object]:
        header, small = decode_thumbnail(data, where)
        return header.displayed, look.image(pair, data, header, small) if look else None

    def read_mask(data: bytes, where: str) -> tuple[tuple[int, int], Counts, object]:
        nonlocal indices
        if pair.colours:
            pixels, indices = read_labels(data, pair.colours, where)
        else:
            pixels = decode_mask(data, where)
        counts = count_values(pixels)
        shape = (pixels.shape[0], pixels.shape[1])
        return shape, counts, look.mask(pair, data, pixels, counts) if look else None

    try:
        size, image = read_file(pair.image, read_image, pair.called(pair.image))
    except Refusal as error:
        faults += ((error.kind or "unusable image", fault) for fault in error.faults)
    try:
        mask_size, values, mask = read_file(pair.mask, read_mask, pair.called(pair.mask))
    except Refusal as error:
        faults += ((error.kind or "unusable mask", fault) for fault in error.faults)
    if size and mask_size and size != mask_size:
        what = f"{mask_size[1]} x {mask_size[0]} pixels, but {shown(pair.image)} has {size[1]} x {size[0]} as displayed"
        remedy = "make the mask of the image's size, enlarging labels by nearest neighbour only"
        if size == mask_size[::-1]:
            remedy = "turn one of the two; the image's EXIF orientation counts"
        faults.append(("size mismatch", Fault(pair.called(pair.mask), what, remedy)))
    return Checked(size, values, tuple(faults), image, mask, indices)


def read_file(path: Path, read: Callable[[bytes, str], Result], where: str = "") -> Result:
    """What ``read`` makes of a file's bytes; large files and large pictures wait for each other, to bound memory.

    where: names the file in errors; its path if empty.
    """
    where = where or shown(path)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise refusal(where, "not a file", "remove it or put the file there")
        if status.st_size > MAX_FILE_BYTES:
            raise refusal(where, f"{status.st_size} bytes; at most {MAX_FILE_BYTES} are read", "cut it into tiles")
        with _large if status.st_size > _LARGE_FILE else nullcontext():
            data = path.read_bytes()
            height, width = image_size(data, where)
            with _large if height * width > _LARGE_PICTURE else nullcontext():
                return read(data, where)
    except OSError as error:
        what = f"can't be read: {error.strerror or error}"
        raise refusal(where, what, "check the link or the permissions") from error


def count_values(mask: Pixels) -> Counts:
    flat, values = mask.ravel(), np.zeros(256, np.int64)
    for start in range(0, flat.size, _COUNT_AT_ONCE):
        values += np.bincount(flat[start : start + _COUNT_AT_ONCE], minlength=256)
    return values

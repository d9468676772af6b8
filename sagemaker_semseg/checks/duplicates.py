"""Finds duplicate images: exact copies by a digest of the file, near copies by a perceptual hash.

A near copy was compressed again, scaled, lightened or taken a moment later; its hash (a "difference hash": 128
comparisons of neighbouring areas) differs in a few bits. Hashes that share one of their eight parts are compared, so
that not every image is compared with all others. The nearest images are then opened again and compared pixel by pixel,
because different images may have the same hash.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from sagemaker_semseg.checks.report import Finding
from sagemaker_semseg.checks.rules import finding
from sagemaker_semseg.data.files import read_file
from sagemaker_semseg.data.image_headers import EncodedImage, ImageHeader
from sagemaker_semseg.data.images import decode_thumbnail
from sagemaker_semseg.errors import DataError, printable

if TYPE_CHECKING:
    from sagemaker_semseg.checks.image_checks import SampleSummary

Hashes = npt.NDArray[np.uint8]

_GRID: Final = 8
_BYTES: Final = 2 * _GRID * _GRID // 8
_FLAT: Final = 6.0  # levels of standard deviation; below, a hash would be of noise
_BITS: Final = 12  # of 128 that near copies differ in; others differ in about 64, those of one scene in 20 and more
_MOST_IN_PART: Final = 512  # images that share a part; where more do, the part says little, and there are seven others
_OPENED: Final = 3  # of the nearest images
_SIDE: Final = 32
_CORRELATION: Final = 0.985
_DIFFERENCE: Final = 40.0  # levels, in 99 of 100 points
_ONES: Final = np.array([bin(number).count("1") for number in range(256)], np.uint8)


def perceptual_hash(small: Image.Image, header: ImageHeader) -> bytes:
    """Hash what an image shows; 16 bytes, or b"" for an image with too little in it.

    small: the decoded image, or an eighth of it; header: of the whole image.
    """
    gray = np.asarray(_scale(small, header, _GRID + 1).convert("L"), np.int16)
    if gray.std() < _FLAT:
        return b""
    across, down = gray[:-1, 1:] > gray[:-1, :-1], gray[1:, :-1] > gray[:-1, :-1]
    return np.packbits(np.concatenate([across.ravel(), down.ravel()])).tobytes()


def _scale(small: Image.Image, header: ImageHeader, side: int) -> Image.Image:
    """Scale an image, or an eighth of it, to RGB of side x side pixels."""
    if small.mode.startswith("I;16"):  # Pillow can't scale it; the upper bits are enough
        small = Image.fromarray((np.asarray(small) >> 8).astype(np.uint8))
    long = max(header.width, header.height)
    scale = min((1, 2, 4, 8), key=lambda times: abs(long / times - max(small.size)))
    # the decoder rounds an eighth up, and of a few pixels it isn't known by how much
    box = (0.0, 0.0, min(header.width / scale, small.width), min(header.height / scale, small.height))
    return small.convert("RGB").resize((side, side), Image.Resampling.BILINEAR, box=box)


def find_copies(summaries: Mapping[str, Sequence[SampleSummary]]) -> list[Finding]:
    """Find image files that are the same byte by byte, across the splits and within each."""
    first: dict[tuple[str, bytes], SampleSummary] = {}
    found = []
    for split, of_split in summaries.items():
        for sample in of_split:
            if not sample.digest:
                continue
            earlier = first.setdefault((split, sample.digest), sample)
            other = first.get(("train", sample.digest)) if split != "train" else None
            where, what = (
                sample.pair.describe(sample.pair.image),
                f"the same file as {printable((other or earlier).pair.image)}",
            )
            if other is not None:
                remedy = "keep it in one of the two splits"
                found.append(finding("image in train and validation", where, what, remedy))
            elif earlier is not sample:
                found.append(finding("image twice", where, what, "remove one of the two pairs"))
            original = other or earlier
            if sample.mask_digest and sample.mask_digest != original.mask_digest:
                where = sample.pair.describe(sample.pair.mask)
                what = f"its image is the same as that of {printable(original.pair.mask)}, the mask isn't"
                found.append(finding("one image, several masks", where, what, "keep the pair that is right"))
    return found


def find_near_copies(train: Sequence[SampleSummary], validation: Sequence[SampleSummary]) -> list[Finding]:
    """Find validation images that look like one of train; exact copies are left to ``find_copies``."""
    digests = {sample.digest for sample in train}
    train = [sample for sample in train if sample.perceptual_hash]
    validation = [sample for sample in validation if sample.perceptual_hash and sample.digest not in digests]
    found = []
    for index, nearest in nearest_hashes(_stack(train), _stack(validation)):
        image = _thumbnail(validation[index])
        for other in nearest:
            if image is not None and _is_similar(image, _thumbnail(train[other])):
                what = f"nearly the same image as {printable(train[other].pair.image)}"
                remedy = "compare the two; put images of one scene into one split"
                found.append(finding("image much like one in train", validation[index].pair.image, what, remedy))
                break
    return found


def _stack(summaries: Sequence[SampleSummary]) -> Hashes:
    return np.frombuffer(b"".join(sample.perceptual_hash for sample in summaries), np.uint8).reshape(-1, _BYTES)


def nearest_hashes(train: Hashes, validation: Hashes) -> Iterator[tuple[int, list[int]]]:
    """Find the nearest hashes of ``train`` for each of ``validation``; both (images, 16) uint8.

    Yields:
        The index in ``validation`` and up to 3 indices in ``train``, nearest first, that differ in at most 12 bits.
        A hash of ``validation`` that has none is left out.
    """
    parts = train.view(np.uint16)
    orders = [np.argsort(part, kind="stable") for part in parts.T]
    columns = [part[order] for part, order in zip(parts.T, orders, strict=True)]
    for index, one in enumerate(validation):
        sharing = []
        for part, order, column in zip(one.view(np.uint16), orders, columns, strict=True):
            start, end = np.searchsorted(column, part, "left"), np.searchsorted(column, part, "right")
            if start < end <= start + _MOST_IN_PART:
                sharing.append(order[start:end])
        if sharing:
            candidates = np.unique(np.concatenate(sharing))
            bits = _ONES[train[candidates] ^ one].sum(1)
            by_distance = np.argsort(bits, kind="stable")[:_OPENED]
            if near := [int(candidates[place]) for place in by_distance if bits[place] <= _BITS]:
                yield index, near


def _thumbnail(sample: SampleSummary) -> npt.NDArray[np.int16] | None:
    def read(_: bytes, encoded: EncodedImage) -> npt.NDArray[np.int16]:
        return np.asarray(_scale(decode_thumbnail(encoded), encoded.header, _SIDE), np.int16)

    try:
        return read_file(sample.pair.image, read)
    except DataError:  # it has changed since it was read
        return None


def _is_similar(one: npt.NDArray[np.int16], other: npt.NDArray[np.int16] | None) -> bool:
    """Compare two images of one size, apart from their brightness."""
    if other is None:
        return False
    difference = one - other
    difference = np.abs(difference - difference.mean((0, 1)))
    correlation = np.corrcoef(one.ravel(), other.ravel())[0, 1]
    return bool(correlation >= _CORRELATION and np.percentile(difference, 99) <= _DIFFERENCE)

"""Pictures that are there twice: exact copies by the digest of their files, near copies by how they look.

In: the records of both splits. Out: findings. Called by ``examination``. A near copy is a picture that was compressed
anew, scaled, lightened or taken a moment later: its fingerprint (128 comparisons of neighbouring areas, a "difference
hash") differs in a few bits. Pictures whose fingerprints share one of eight parts are compared, so that no picture is
compared with all others; the nearest ones are then opened again and compared themselves, because pictures may have the
same fingerprint and yet show different things.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from sagemaker_semseg.checks.report import Finding
from sagemaker_semseg.checks.rules import finding
from sagemaker_semseg.data.channels import shown
from sagemaker_semseg.data.files import read_file
from sagemaker_semseg.data.image_headers import Header
from sagemaker_semseg.data.images import decode_thumbnail
from sagemaker_semseg.errors import DataError

if TYPE_CHECKING:
    from sagemaker_semseg.checks.image_checks import SampleSummary

Pixels = npt.NDArray[np.uint8]
Fingerprints = npt.NDArray[np.uint8]

_GRID: Final = 8
_BYTES: Final = 2 * _GRID * _GRID // 8
_FLAT: Final = 6.0  # levels: below, a fingerprint would be of noise
_BITS: Final = 12  # of 128 that near copies differ in; unlike pictures differ in about 64, of one scene in 20 and more
_MOST_IN_PART: Final = (
    512  # pictures that share a part; a part shared by more tells nothing, and there are seven others
)
_OPENED: Final = 3  # of the nearest ones
_SIDE: Final = 32
_CORRELATION: Final = 0.985
_DIFFERENCE: Final = 40.0  # levels, of all but one in a hundred points
_ONES: Final = np.array([bin(number).count("1") for number in range(256)], np.uint8)


def perceptual_hash(small: Image.Image, header: Header) -> bytes:
    """Of a picture, from an eighth of it: 16 bytes, or none where the picture is too plain to be told from others."""
    grey = np.asarray(_scaled(small, header, _GRID + 1).convert("L"), np.int16)
    if grey.std() < _FLAT:
        return b""
    across, down = grey[:-1, 1:] > grey[:-1, :-1], grey[1:, :-1] > grey[:-1, :-1]
    return np.packbits(np.concatenate([across.ravel(), down.ravel()])).tobytes()


def _scaled(small: Image.Image, header: Header, side: int) -> Image.Image:
    """A picture, or an eighth of it, at side x side pixels. The decoder rounds an eighth up; the rest is cut off."""
    long = max(header.width, header.height)
    scale = min((1, 2, 4, 8), key=lambda times: abs(long / times - max(small.size)))
    box = (0.0, 0.0, header.width / scale, header.height / scale)
    return _plain(small).resize((side, side), Image.Resampling.BILINEAR, box=box)


def _plain(picture: Image.Image) -> Image.Image:
    """RGB, whatever it is, so that Pillow can scale it; of 16-bit grey the upper bits."""
    if picture.mode.startswith("I;16"):
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def copies(records: Mapping[str, Sequence[SampleSummary]]) -> list[Finding]:
    """Files that are the same byte by byte, across the splits and within each."""
    first: dict[tuple[str, bytes], SampleSummary] = {}
    found = []
    for split, several in records.items():
        for record in several:
            if not record.digest:
                continue
            earlier = first.setdefault((split, record.digest), record)
            other = first.get(("train", record.digest)) if split != "train" else None
            if other is not None:
                found.append(_leak(record, other))
            elif earlier is not record:
                found.append(_twice(record, earlier))
            against = other or earlier
            if against is not record and record.mask_digest and record.mask_digest != against.mask_digest:
                what = f"its image is the same as that of {shown(against.pair.mask)}, the mask isn't"
                found.append(
                    finding(
                        "one image, several masks",
                        record.pair.called(record.pair.mask),
                        what,
                        "keep the pair that is right",
                    )
                )
    return found


def _leak(record: SampleSummary, other: SampleSummary) -> Finding:
    what = f"the same file as {shown(other.pair.image)}"
    return finding(
        "image in train and validation", record.pair.called(record.pair.image), what, "keep it in one of the two splits"
    )


def _twice(record: SampleSummary, earlier: SampleSummary) -> Finding:
    what = f"the same file as {shown(earlier.pair.image)}"
    return finding("image twice", record.pair.called(record.pair.image), what, "remove one of the two pairs")


def near_copies(train: Sequence[SampleSummary], validation: Sequence[SampleSummary]) -> list[Finding]:
    """Validation images that look like one in train, and are no exact copies: those are found elsewhere."""
    digests = {record.digest for record in train}
    learned = [record for record in train if record.perceptual_hash]
    measured = [record for record in validation if record.perceptual_hash and record.digest not in digests]
    found = []
    for number, nearest in _nearest(_stacked(learned), _stacked(measured)):
        looks = _thumbnail(measured[number])
        for other in nearest:
            if looks is not None and _alike(looks, _thumbnail(learned[other])):
                what = f"nearly the same picture as {shown(learned[other].pair.image)}"
                remedy = "look at both; put pictures of one scene into one split"
                found.append(finding("image much like one in train", measured[number].pair.image, what, remedy))
                break
    return found


def _stacked(records: Sequence[SampleSummary]) -> Fingerprints:
    return np.frombuffer(b"".join(record.perceptual_hash for record in records), np.uint8).reshape(-1, _BYTES)


def _nearest(learned: Fingerprints, measured: Fingerprints) -> Iterator[tuple[int, list[int]]]:
    """For each fingerprint of ``measured`` that has any: the nearest ones of ``learned`` that differ in few bits."""
    parts = learned.view(np.uint16)
    orders = [np.argsort(part, kind="stable") for part in parts.T]
    columns = [part[order] for part, order in zip(parts.T, orders, strict=True)]
    for number, one in enumerate(measured):
        sharing = []
        for part, order, column in zip(one.view(np.uint16), orders, columns, strict=True):
            start, end = np.searchsorted(column, part, "left"), np.searchsorted(column, part, "right")
            if start < end <= start + _MOST_IN_PART:
                sharing.append(order[start:end])
        if sharing:
            candidates = np.unique(np.concatenate(sharing))
            bits = _ONES[learned[candidates] ^ one].sum(1)
            by_distance = np.argsort(bits, kind="stable")[:_OPENED]
            near = [int(candidates[place]) for place in by_distance if bits[place] <= _BITS]
            if near:
                yield number, near


def _thumbnail(record: SampleSummary) -> npt.NDArray[np.int16] | None:
    def read(data: bytes, where: str) -> npt.NDArray[np.int16]:
        header, small = decode_thumbnail(data, where)
        return np.asarray(_scaled(small, header, _SIDE), np.int16)

    try:
        return read_file(record.pair.image, read)
    except DataError:  # it has changed since it was read
        return None


def _alike(one: npt.NDArray[np.int16], other: npt.NDArray[np.int16] | None) -> bool:
    """Whether two pictures of the same size show the same, one perhaps a little lighter."""
    if other is None:
        return False
    difference = one - other
    difference = np.abs(difference - difference.mean((0, 1)))
    correlation = np.corrcoef(one.ravel(), other.ravel())[0, 1]
    return bool(correlation >= _CORRELATION and np.percentile(difference, 99) <= _DIFFERENCE)

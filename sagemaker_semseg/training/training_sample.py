"""One visit to one sample: the bytes of its image and its mask, of one size, and where in the stream they come.

In: a ``Sample``, which names two files that were checked, or a ``RawPair`` of records, of which nothing is known. Out:
a ``Visit``. Called by ``pipeline``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sagemaker_semseg.data.labels import LabelMap
from sagemaker_semseg.errors import DataError, Fault
from sagemaker_semseg.training.partial_decode import EncodedImage, read_mask
from sagemaker_semseg.training.resample import Pixels

if TYPE_CHECKING:
    from sagemaker_semseg.data.color_map import Colours
    from sagemaker_semseg.data.pipe_mode import RawPair
    from sagemaker_semseg.data.samples import Sample


@dataclass(frozen=True)
class TrainingSample:
    """pass_number, place: where in the stream. labels: what the mask has to fit; None where that has been looked at."""

    image: EncodedImage
    mask: EncodedImage
    pass_number: int = 0
    place: int = 0
    labels: LabelMap | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) as displayed."""
        return self.image.header.displayed

    def mask_values(self, rows: int | None = None) -> Pixels:
        """As ``read_mask``. Raises ``DataError`` if there is a value in the mask, anywhere, that is no label."""
        if self.labels is None:
            return read_mask(self.mask, rows)
        values = read_mask(self.mask)
        if not self.labels.fits(values):
            what = self.labels.misfit(np.bincount(values.ravel(), minlength=256))
            remedy = "raise num_classes, mend the mask, or give a label map in the channel label_map"
            raise DataError("a label is out of range", [Fault(self.mask.where, what, remedy)])
        return values


def of_sample(sample: Sample, pass_number: int = 0, place: int = 0) -> TrainingSample:
    """Raises ``DataError`` if a file has another size than when it was checked, ``OSError`` if it is gone."""
    mask = _unchanged(sample, sample.mask, sample.colours)
    return TrainingSample(_unchanged(sample, sample.image), mask, pass_number, place)


def of_pair(pair: RawPair, labels: LabelMap, first_pass: int = 0) -> TrainingSample:
    """first_pass: which one FIFO 0 brings. Raises ``DataError`` if the records are no pictures or of two sizes.

    What FIFO 0 brings is new, and has its masks looked at as a whole.
    """
    image = EncodedImage.of(pair.image, f"{pair.where}, image (record {2 * pair.place + 1})")
    mask = EncodedImage.of(pair.mask, f"{pair.where}, mask (record {2 * pair.place + 2})")
    (height, width), expected = mask.header.displayed, image.header.displayed
    if (height, width) != expected:
        what = f"{width} x {height} pixels, but the image has {expected[1]} x {expected[0]} as displayed"
        remedy = "send pairs of one size: the first record of a pair is the image, the second its mask"
        raise DataError("a pair doesn't fit together", [Fault(mask.where, what, remedy)])
    return TrainingSample(image, mask, first_pass + pair.number, pair.place, None if pair.number else labels)


def _unchanged(sample: Sample, path: Path, colours: Colours | None = None) -> EncodedImage:
    source = EncodedImage.of(path.read_bytes(), str(path), colours)
    height, width = source.header.displayed
    if (height, width) != (sample.height, sample.width):
        what = f"{height} x {width} pixels (height x width), but {sample.height} x {sample.width} when it was checked"
        raise DataError("a file changed", [Fault(str(path), what, "leave the files alone while a training runs")])
    return source

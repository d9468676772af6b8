"""Reads the crops of samples: files or records in, arrays out. TensorFlow isn't needed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from sagemaker_semseg.data.image_headers import EncodedImage
from sagemaker_semseg.data.images import Pixels, Span, decode_image
from sagemaker_semseg.data.samples import EncodedSample
from sagemaker_semseg.hyperparameters import Hyperparameters
from sagemaker_semseg.training.augment import class_balanced_focus, sample_crop


class DecodesImages(Protocol):
    """``images.decode_image``, or a faster function that gives the same pixels."""

    def __call__(self, source: EncodedImage, *, rows: Span, columns: Span) -> Pixels: ...


@dataclass(frozen=True, eq=False)
class CropReader:
    """Draws the crops of samples and decodes what they show.

    Attributes:
        hp: The seed, the crop's size and the augmentation.
        lookup: (256,) uint8, the label of each value of a mask.
        decode: What decodes a part of an image.
    """

    hp: Hyperparameters
    lookup: Pixels
    decode: DecodesImages = decode_image

    def read(self, samples: Iterable[EncodedSample], images: Pixels, labels: Pixels) -> None:
        """Write the crops into ``images``, (B, crop, crop, 3) uint8 RGB, and ``labels``, (B, crop, crop) uint8.

        Raises:
            DataError: A sample can't be decoded, or its file has changed.
            OSError: A file can't be read.
        """
        hp, lookup = self.hp, self.lookup
        for i, sample in enumerate(samples):
            mask, focus = None, None
            if hp.class_balanced_crops:
                mask = sample.mask_values()
                focus = class_balanced_focus(hp, sample.epoch, sample.index, lookup[mask])
            transform = sample_crop(hp, sample.epoch, sample.index, sample.size, focus)
            rows, columns = transform.rows.span, transform.columns.span
            transform.image(self.decode(sample.image, rows=rows, columns=columns), images[i])
            transform.mask(sample.mask_values(rows[1]) if mask is None else mask, lookup, labels[i])

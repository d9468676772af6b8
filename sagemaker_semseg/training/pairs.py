"""The two pictures of a pair, opened and of one size.

In: a ``Sample``, which names two files that were checked. Out: a ``Source`` each for image and mask. Called by
``pipeline``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sagemaker_semseg.errors import DataError, Fault
from sagemaker_semseg.training.window import Source

if TYPE_CHECKING:
    from sagemaker_semseg.data.samples import Sample


def of_sample(sample: Sample) -> tuple[Source, Source]:
    """Raises ``DataError`` if a file has another size than when it was checked, ``OSError`` if it is gone."""
    return _unchanged(sample, sample.image), _unchanged(sample, sample.mask)


def _unchanged(sample: Sample, path: Path) -> Source:
    source = Source.of(path.read_bytes(), str(path))
    height, width = source.header.displayed
    if (height, width) != (sample.height, sample.width):
        what = f"{height} x {width} pixels (height x width), but {sample.height} x {sample.width} when it was checked"
        raise DataError("a file changed", [Fault(str(path), what, "leave the files alone while a training runs")])
    return source

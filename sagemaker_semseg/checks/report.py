"""What the doctor has found, as values: ``examine`` makes a ``Report``; the table, the JSON and the page show it.

Nothing here reads a file or knows how a report looks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from sagemaker_semseg.data.color_map import Colours
from sagemaker_semseg.memory import Estimate

Level = Literal["error", "warning"]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong (error: training would stop) or doubtful (warning).

    kind: a few words that stand for all findings of this sort. where: a file, with its line or channel. what: what
    came and what was expected. why: why it matters. remedy: how to mend it.
    """

    level: Level
    kind: str
    where: str
    what: str
    why: str
    remedy: str


@dataclass(frozen=True)
class Preview:
    """One pair to be shown in the report. name, colours: as in ``Pair``; height, width in pixels, as displayed."""

    name: str
    image: Path
    mask: Path
    height: int
    width: int
    colours: Colours | None = None


@dataclass(frozen=True, eq=False)
class SplitFacts:
    """What one split holds.

    channel: "train" or "validation". pairs: of image and mask that could be read. sizes: (height, width) as displayed
    -> images. pixel_counts, image_counts: (num_classes,) pixels of each label, images in which it occurs.
    image_pixel_counts: (num_classes,) labelled pixels of the images in which the class occurs.
    ignored_pixels: that count in no loss. value_counts: (256,) pixels of each mask value before the label map.
    specimens: a few pairs to look at, chosen so that every class is seen where that is possible.
    lookup: (256,) uint8, the label of each mask value, 255 for what is ignored; None where they are the same.
    """

    channel: str
    pairs: int
    sizes: dict[tuple[int, int], int]
    pixel_counts: Counts
    image_counts: Counts
    image_pixel_counts: Counts
    ignored_pixels: int
    value_counts: Counts
    specimens: tuple[Preview, ...] = ()
    lookup: npt.NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Recommendation:
    """One setting that the doctor proposes. name: of the hyperparameter; value: as it would be given; reason: why."""

    name: str
    value: str
    reason: str


@dataclass(frozen=True, eq=False)
class Report:
    """The whole of it.

    settings: what the data were examined for, hyperparameters by name and ``data``, the folder or manifest as given.
    estimates: of memory, by what it is for. ``advice.advised`` fills the last two.
    """

    findings: Sequence[Finding]
    splits: Sequence[SplitFacts]
    num_classes: int
    class_names: Sequence[str] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    advice: Sequence[Recommendation] = ()
    estimates: Mapping[str, Estimate] = field(default_factory=dict)

    @property
    def errors(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.level == "error"]

    @property
    def warnings(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.level == "warning"]

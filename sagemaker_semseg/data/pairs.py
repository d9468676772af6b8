"""Pairs of an image and its mask, as channels name them; no picture is opened here. ``channels`` makes them of folders,
and has them made of manifests; whatever reads data is given them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sagemaker_semseg.data.color_map import Colours
from sagemaker_semseg.data.faults import FaultList, shown
from sagemaker_semseg.data.manifest import Line, read_lines
from sagemaker_semseg.environment import data_cache
from sagemaker_semseg.errors import DataError
from sagemaker_semseg.storage import is_s3
from sagemaker_semseg.storage.s3_cache import S3Cache

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Pair:
    """An image and its mask.

    name: the path below the channel, without extension, with "/" on every system; no two pairs of a split share one.
    colours: what the mask's colours mean; None if its numbers count. where: the file and line that names the pair;
    empty for folders.
    """

    name: str
    image: Path
    mask: Path
    colours: Colours | None = None
    where: str = ""

    def called(self, path: Path) -> str:
        """One of its files as errors name it."""
        return f"{shown(path)} ({self.where})" if self.where else shown(path)


def of_manifest(
    path: Path,
    split: str,
    faults: FaultList,
    notes: list[str],
    attributes: Sequence[str] = (),
    progress: Progress | None = None,
) -> list[Pair]:
    """The pairs of a manifest, in the order of its lines; what lies in S3 is fetched into the cache first.

    Faults and notes as ``channels.split_pairs`` has them. An image's name is its path below the folder in which all
    images lie; where two lines would have one, the later one's says its number.
    """
    lines = list(read_lines(path, faults, attributes))
    fetched = _fetched(path, lines, faults, progress)
    above = _above([line.image for line in lines])
    taken: dict[str, str] = {}
    pairs, twice = [], 0
    lines.reverse()
    while lines:  # what is done is let go: there may be a million
        line = lines.pop()
        name = os.path.splitext(line.image[above:])[0].replace(os.sep, "/")
        twice += taken.get(name) == line.image
        while name in taken:
            name += f" (line {line.number})"
        taken[name] = line.image
        image, mask = (fetched.get(place) if is_s3(place) else Path(place) for place in (line.image, line.mask))
        if image and mask:
            pairs.append(Pair(name, image, mask, line.colours, f"{shown(path)}, line {line.number}"))
    if twice:
        notes.append(f"{split}: lines of the manifest whose image an earlier line has, too: {twice}")
    return pairs


def _above(places: Sequence[str]) -> int:
    """Characters of the folder in which all of them lie."""
    common = os.path.commonprefix(list(places))  # noqa: RUF071 - of characters, but cut to a folder, and fast
    return max(common.rfind("/"), common.rfind(os.sep)) + 1


def _fetched(path: Path, lines: Sequence[Line], faults: FaultList, progress: Progress | None) -> dict[str, Path]:
    """The files of those places that are in S3. None is fetched for a manifest with faults."""
    uses = {place: line.number for line in reversed(lines) for place in (line.image, line.mask) if is_s3(place)}
    if not uses or faults.kinds:
        return {}
    try:
        return dict(zip(uses, S3Cache(data_cache()).objects(uses, progress), strict=True))
    except DataError as error:
        for fault in error.faults:
            where = f"{fault.where} ({path}, line {uses[fault.where]})" if fault.where in uses else fault.where
            faults.add("not fetched", where, fault.what, fault.remedy)
        return {}

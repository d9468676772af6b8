"""Writes an annotated data set as the four folders of a training, completely or not at all.

Every image is opened, so that everything that is wrong with images and annotations is known in one pass. Images keep
their bytes; masks fit them as displayed, as training expects.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import threading
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from sagemaker_semseg.convert.annotations import AnnotatedDataset, AnnotatedImage, LabelMask, Size
from sagemaker_semseg.convert.file_readers import unusable
from sagemaker_semseg.data.channels import EXTENSIONS, SPLITS
from sagemaker_semseg.data.files import read_file, read_image
from sagemaker_semseg.data.image_headers import EncodedImage, ImageHeader
from sagemaker_semseg.data.images import apply_exif_orientation, decode_thumbnail, encode_mask
from sagemaker_semseg.data.labels import IGNORE, count_values
from sagemaker_semseg.environment import cpu_count
from sagemaker_semseg.errors import DataError, Fault, FaultList, UserError, printable

Orientation = Literal["auto", "displayed", "stored"]
Counts = npt.NDArray[np.int64]

_EXTENSION: Final = {"JPEG": ".jpg", "PNG": ".png"}


@dataclass
class Written:
    """What was written.

    Attributes:
        images: Number of images by split.
        pixels: (256,) pixels of each label in all masks.
        occurs: (256,) images in which each label occurs.
        labeled: Number of images by split of which not every pixel is ignored.
        left_out: The faults of images that were skipped.
        notes: Things to report that aren't wrong.
    """

    images: Counter[str] = field(default_factory=Counter)
    pixels: Counts = field(default_factory=lambda: np.zeros(256, np.int64))
    occurs: Counts = field(default_factory=lambda: np.zeros(256, np.int64))
    labeled: Counter[str] = field(default_factory=Counter)
    left_out: FaultList = field(default_factory=FaultList)
    notes: list[str] = field(default_factory=list)


def write(
    dataset: AnnotatedDataset,
    output: Path,
    *,
    link: bool = False,
    skip_faulty: bool = False,
    orientation: Orientation = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> Written:
    """Write the data set below ``output``, which must not exist or be empty.

    Args:
        dataset: Its items have splits (``annotations.random_split``).
        output: The folder that will hold the four channels and ``classes.txt``.
        link: Make hard links to the images where the file system can, and copies otherwise.
        skip_faulty: Leave out images with a fault.
        orientation: Whether annotations refer to pixels as displayed or as stored where EXIF turns an image; "auto"
            decides by the size that they state.
        progress: Called with (images done, images in all).

    Raises:
        DataError: With every fault of images and annotations.
        UserError: ``output`` can't be written.
    """
    with _atomic_folder(output) as folder:
        work = _Work(folder, link, orientation, writes=skip_faulty or not dataset.faults.kinds)
        written = Written(left_out=dataset.faults, notes=list(dataset.notes))
        pool = ThreadPoolExecutor(min(8, cpu_count() + 2), thread_name_prefix="convert")
        try:
            jobs = list(_with_names(dataset.items, written.notes))
            for done, (item, outcome) in enumerate(zip(jobs, pool.map(work.do, jobs), strict=True), start=1):
                _add(written, item[0], outcome)
                work.writes = skip_faulty or not written.left_out.kinds
                if progress:
                    progress(done, len(jobs))
        finally:
            pool.shutdown(cancel_futures=True)
        if not skip_faulty:
            written.left_out.raise_any()
        _check_splits(written)
        if len(dataset.classes) < 2:
            raise unusable("the data set", f"{len(dataset.classes)} classes are left", "a training needs at least 2")
        if empty := sum(bool(item.missing) for item in dataset.items):
            note = f"{empty} images without annotations, read as showing none of the classes (--unannotated)"
            written.notes.insert(0, note)
        if (written.pixels[:IGNORE] > 0).sum() == 1:
            label = int(written.pixels[:IGNORE].argmax())
            written.notes.append(f"label {label} ({dataset.classes[label]}) is the only one in all masks")
        written.notes += work.notes()
        (folder / "classes.txt").write_text("".join(f"{name}\n" for name in dataset.classes), encoding="utf-8")
    return written


def _add(written: Written, item: AnnotatedImage, outcome: Counts | list[tuple[str, Fault]]) -> None:
    if isinstance(outcome, list):
        for kind, fault in outcome:
            written.left_out.extend(kind, [fault])
        return
    written.images[item.split] += 1
    written.pixels += outcome
    written.occurs += outcome > 0
    written.labeled[item.split] += bool(outcome[:IGNORE].any())


def _check_splits(written: Written) -> None:
    empty = [split for split in SPLITS if not written.images[split]]
    if empty:
        counts = ", ".join(f"{split}: {written.images[split]}" for split in SPLITS)
        what = f"no image for {' and '.join(empty)} ({counts})"
        written.left_out.add("too few images", "the data set", what, "both need at least one")
        written.left_out.raise_any()
    if ignored := [split for split in SPLITS if not written.labeled[split]]:
        what = f"every pixel of every mask of {' and '.join(ignored)} would be ignored (255): nothing could be learned"
        remedy = "check the classes and their list, and the flags that make pixels 255"
        written.left_out.add("masks without labels", "the data set", what, remedy)
        written.left_out.raise_any()


class _Work:
    """Converts one image at a time, in any thread; writes: False after a fault, when files are no longer needed."""

    def __init__(self, folder: Path, link: bool, orientation: Orientation, writes: bool):
        self.writes = writes
        self._folder, self._link, self._orientation = folder, link, orientation
        self._turned: Counter[str] = Counter()
        self._lock = threading.Lock()

    def do(self, job: tuple[AnnotatedImage, str]) -> Counts | list[tuple[str, Fault]]:
        """Return the counts of the labels in the mask, or the faults with their kinds."""
        item, name = job

        def read(data: bytes, encoded: EncodedImage) -> tuple[bytes, str, bytes, Counts]:
            return self._read(item, data, encoded)

        try:
            if item.read_image:
                data, kind, mask, counts = read_image(
                    item.read_image(), read, f"{printable(item.image)}, the image in it"
                )
            else:
                data, kind, mask, counts = read_file(item.image, read)
        except DataError as error:
            return [(getattr(error, "kind", "") or "unusable image or annotation", fault) for fault in error.faults]
        if self.writes:
            suffix = item.image.suffix if item.image.suffix.lower() in EXTENSIONS else _EXTENSION[kind]
            self._put(
                self._folder / item.split / f"{name}{suffix}",
                data,
                item.image if self._link and not item.read_image else None,
            )
            self._put(self._folder / f"{item.split}_annotation" / f"{name}.png", mask)
        return counts

    def _read(self, item: AnnotatedImage, data: bytes, encoded: EncodedImage) -> tuple[bytes, str, bytes, Counts]:
        header, where = encoded.header, encoded.where
        decode_thumbnail(encoded)
        as_stored = (header.height, header.width)
        frame = item.size or (as_stored if self._orientation == "stored" else header.displayed)
        self._check_size(frame, header, where)
        labels = item.draw(*frame)
        self._check_size((labels.shape[0], labels.shape[1]), header, where)
        labels = self._as_displayed(header, labels)
        return data, header.format, encode_mask(labels), count_values(labels)

    def _check_size(self, size: Size, header: ImageHeader, where: str) -> None:
        stored = (header.height, header.width)
        fitting = {"auto": (stored, header.displayed), "displayed": (header.displayed,), "stored": (stored,)}
        if size not in fitting[self._orientation]:
            height, width = header.displayed
            what = f"{width} x {height} pixels as displayed, but its annotations are for {size[1]} x {size[0]}"
            remedy = "check whether the image was scaled or turned after it was annotated"
            raise DataError("an image can't be used", [Fault(where, what, remedy)])

    def _as_displayed(self, header: ImageHeader, labels: LabelMask) -> LabelMask:
        """Return the mask as displayed."""
        if header.orientation == 1:
            return labels
        stored = self._orientation == "stored" or labels.shape != header.displayed
        with self._lock:
            self._turned["stored" if stored else "displayed"] += 1
        return apply_exif_orientation(labels, header.orientation) if stored else labels

    def notes(self) -> Iterator[str]:
        for what, count in sorted(self._turned.items()):
            yield f"images that EXIF turns, annotations read as {what}: {count} (--orientation)"

    def _put(self, path: Path, data: bytes, source: Path | None = None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if source is not None:
            with contextlib.suppress(OSError):  # another file system, or one without links
                os.link(os.path.realpath(source), path)
                return
        path.write_bytes(data)


def _with_names(items: Sequence[AnnotatedImage], notes: list[str]) -> Iterator[tuple[AnnotatedImage, str]]:
    """Yield the items with names that training accepts, each only once even where case doesn't count."""
    taken: set[tuple[str, str]] = set()
    renamed = 0
    for item in items:
        parts = [part for part in unicodedata.normalize("NFC", item.name).split("/") if part]
        wanted = "/".join("_" + part[1:] if part.startswith(".") else part for part in parts)
        name, number = wanted, 1
        while (item.split, name.casefold()) in taken:
            number += 1
            name = f"{wanted}-{number}"
        taken.add((item.split, name.casefold()))
        renamed += name != item.name
        yield item, name
    if renamed:
        notes.append(f"images with a new name, because theirs was hidden or taken: {renamed}")


@contextlib.contextmanager
def _atomic_folder(output: Path) -> Iterator[Path]:
    """Make a folder beside ``output`` that replaces it if the block succeeds, and is removed if it raises."""
    target = output.absolute()
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        fault = Fault(printable(output), "is there already", "remove it, or give another folder for --output")
        raise UserError("The data set can't be written:", [fault])
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".writing-{secrets.token_hex(8)}-{target.name[-48:]}")
    temporary.mkdir()
    try:
        yield temporary
        if target.exists():
            target.rmdir()  # empty; not every system renames over it
        temporary.rename(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise

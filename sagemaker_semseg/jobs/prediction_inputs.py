"""Finds the images of a prediction, and names the files to be written for each.

Names in S3 are anyone's: a file's name stays below the output, can be a file's name, and belongs to one image.
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sagemaker_semseg.data.channels import EXTENSIONS
from sagemaker_semseg.errors import DataError, Fault
from sagemaker_semseg.storage import FileInfo, FileSystem, locate

_LONGEST_PART, _LONGEST_NAME = 200, 600  # bytes; file systems take 255, S3 takes 1024 with the prefix
# bytes that are no UTF-8 are surrogates in Python's names
_NO_FILE_NAME = re.compile(r"[\0-\x1f\x7f\\\ud800-\udfff" + (r':*?"<>|]' if os.name == "nt" else "]"))


@dataclass(frozen=True)
class InputImage:
    """An image that was found. identity: the store's. name: of its files, without an ending."""

    store: FileSystem
    entry: FileInfo
    identity: str
    name: str

    @property
    def where(self) -> str:
        return self.store.where(self.entry.name)


@dataclass(frozen=True)
class PredictionTask:
    """An image, and the files to be written for it: a name for each ending, and what is there now."""

    image: InputImage
    files: Mapping[str, str]
    existing: Mapping[str, FileInfo | None]


def find_images(
    locations: Sequence[str], output: FileSystem, endings: Sequence[str], written: Mapping[str, str]
) -> tuple[list[PredictionTask], list[Fault]]:
    """Return a task for each image at ``locations``, and the faults of those that can't be found.

    endings: of the files for each image (``.png``, ``_overlay.png``). written: files in ``output`` that an earlier run
    has written, with their versions; they don't count as images. Raises DataError where a file would replace an image,
    UserError if S3 can't be used.
    """
    faults: list[Fault] = []
    ours = {output.identity(name): version for name, version in written.items()}
    # by identity, so that one given twice (in its folder and by name) is done once
    found: dict[str, InputImage] = {}
    for location in locations:
        try:
            for image in _images(location, output, ours, faults):
                found.setdefault(image.identity, image)
        except DataError as error:
            faults += error.faults
    names = OutputNames(endings)
    named = [(image, names.assign(image.name)) for image in found.values()]
    there = output.existing([name for _, files in named for name in files.values()])
    given = {image.entry.file for image in found.values()}
    clashes = [output.where(name) for name, entry in there.items() if entry.file in given]
    if clashes:
        listed = [Fault(where, "is an image that was given, and would be overwritten") for where in clashes]
        raise DataError("The masks can't be written there; give another folder with -o:", listed)
    tasks = [PredictionTask(image, files, {name: there.get(name) for name in files.values()}) for image, files in named]
    return tasks, faults


def _images(location: str, output: FileSystem, ours: Mapping[str, str], faults: list[Fault]) -> Iterator[InputImage]:
    """The image at a location, or those below it. What an earlier run has written doesn't count."""
    store, entry = locate(location)
    if entry:
        yield InputImage(store, entry, store.identity(entry.name), os.path.splitext(entry.name)[0])
        return
    count, here, masks = 0, _slashed(store.identity()), _slashed(output.identity())
    masks_are_below = masks != here and masks.startswith(here)
    for entry in store.files(_is_image, faults):
        identity = store.identity(entry.name)
        if ours.get(identity) != entry.version and not (masks_are_below and identity.startswith(masks)):
            count += 1
            yield InputImage(store, entry, identity, os.path.splitext(entry.name)[0])
    if not count:
        faults.append(Fault(location, f"no image there ({', '.join(EXTENSIONS)})", "check the path"))


def _is_image(name: str) -> bool:
    hidden = any(part[:1] == "." and part not in (".", "..") for part in name.split("/"))
    return name.lower().endswith(EXTENSIONS) and not hidden


def _slashed(identity: str) -> str:
    return identity.rstrip("/" + os.sep) + "/"


class OutputNames:
    """Assigns names to files, each once: a second image named a becomes a-2."""

    def __init__(self, endings: Sequence[str]):
        self._endings = endings
        self._files: set[str] = set()
        self._folders: set[str] = set()
        self._numbers: dict[str, int] = {}

    def assign(self, name: str) -> dict[str, str]:
        """Return a name for each ending."""
        name = _file_name(name)
        if any(folder in self._files for folder in _folders(name)):
            name = _part(name.replace("/", "%2F"))
        free, number = name, self._numbers.get(name, 1)
        while any(self._is_taken(free + ending) for ending in self._endings):
            number += 1
            free = f"{name}-{number}"
        self._numbers[name] = number
        files = {ending: free + ending for ending in self._endings}
        self._files.update(map(_folded, files.values()))
        self._folders.update(_folders(free))
        return files

    def _is_taken(self, name: str) -> bool:
        return _folded(name) in self._files or _folded(name) in self._folders


def _folders(name: str) -> list[str]:
    parts = _folded(name).split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def _folded(name: str) -> str:
    """The same for names that a file system may take for one: A.png and a.png, an accent as one character or as two."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _file_name(name: str) -> str:
    """A name that stays below the folder it is put in and that file systems take; most names are left as they are."""
    name = "/".join(map(_part, name.split("/")))
    return name if len(name.encode()) <= _LONGEST_NAME else _shortened(name.replace("/", "%2F"))


def _part(part: str) -> str:
    if part in ("", ".", ".."):
        return part.replace(".", "%2E") or "_"
    part = _NO_FILE_NAME.sub(lambda found: f"%{ord(found[0]) & 0xFF:02X}", part)
    return part if len(part.encode()) <= _LONGEST_PART else _shortened(part)


def _shortened(part: str) -> str:
    whole = part.encode()
    return f"{whole[: _LONGEST_PART - 33].decode(errors='ignore')}-{hashlib.sha256(whole).hexdigest()[:32]}"

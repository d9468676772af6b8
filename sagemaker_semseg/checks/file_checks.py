"""The names of files: the channels' folders come in, what is doubtful about names and about files that training leaves
out goes out. No file is opened. Called by ``examination``; what stops a training is found by ``channels``.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from sagemaker_semseg.checks.report import Finding
from sagemaker_semseg.checks.rules import finding
from sagemaker_semseg.data.channels import EXTENSIONS, SPLITS, manifest_of

_FORBIDDEN: Final = re.compile(r'[<>:"|?*\\\x00-\x1f\x7f]')  # in names on Windows, control characters everywhere
_RESERVED: Final = re.compile(r"(con|prn|aux|nul|com[1-9]|lpt[1-9])(\..*)?", re.IGNORECASE)
_LONGEST_KEY: Final = 900  # bytes: S3 takes 1024, of which a prefix needs some
_NAMED: Final = 5


def of_names(channels: Mapping[str, Path]) -> list[Finding]:
    """Findings about the folders of images and masks; a channel that is a manifest is passed over."""
    found = list(_same_folder(channels))
    folders: dict[str, Path] = {}
    for channel in (name for split in SPLITS for name in (split, f"{split}_annotation")):
        if channel in channels and channels[channel].is_dir() and not manifest_of(channels[channel]):
            folders.setdefault(os.path.realpath(channels[channel]), channels[channel])
    for folder in folders.values():
        found += _of_folder(folder)
    return found


def _same_folder(channels: Mapping[str, Path]) -> Iterator[Finding]:
    one, other = channels.get("train"), channels.get("validation")
    if one and other and os.path.realpath(one) == os.path.realpath(other):
        what = f"is also the channel train ({one})"
        yield finding("same folder", other, what, "keep some pairs apart for validation, a tenth for example")


def _of_folder(folder: Path) -> Iterator[Finding]:
    hidden: list[str] = []
    others: dict[str, list[str]] = {}
    pending: list[tuple[str, frozenset[str]]] = [("", frozenset())]
    while pending:
        below, above = pending.pop()
        here = folder / below
        above |= {os.path.realpath(here)}
        try:
            entries = sorted(os.scandir(here), key=lambda entry: entry.name)
        except OSError:  # an error of its own
            continue
        seen: dict[str, str] = {}
        for entry in entries:
            path = os.path.join(below, entry.name)
            if entry.name.startswith("."):
                hidden.append(path)
                continue
            yield from _of_name(folder, path, entry.name)
            clash = seen.setdefault(entry.name.casefold(), entry.name)
            if clash != entry.name:
                yield finding("names that differ in case", folder / path, f"beside {clash}", "rename one of them")
            if entry.is_dir():
                if entry.is_symlink() and os.path.realpath(entry.path) in above:
                    what = f"a link to {os.path.realpath(entry.path)}, in which it lies"
                    yield finding("link that leads back", folder / path, what, "remove the link")
                else:
                    pending.append((path, above))
            elif (extension := os.path.splitext(entry.name)[1].lower()) not in EXTENSIONS:
                others.setdefault(extension, []).append(path)
    if hidden:
        yield finding("hidden file", folder, _listed(hidden, "hidden"), "remove them, or rename those that are meant")
    for extension, paths in sorted(others.items()):
        what = _listed(paths, f"with the extension {extension}" if extension else "without extension")
        remedy = f"remove them, or convert those that are meant to {', '.join(EXTENSIONS)}"
        yield finding("file left out", folder, what, remedy)


def _listed(paths: list[str], sort: str) -> str:
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return f"{len(paths)} {sort}: {', '.join(paths[:_NAMED])}{more}"


def _of_name(folder: Path, path: str, name: str) -> Iterator[Finding]:
    if " " in name:
        yield finding("blank in a name", folder / path, "a blank in the name", "rename it, with _ for example")
    if reason := _not_portable(name, path):
        remedy = "rename it, and its mask or image alike; letters, digits, - and _ are good everywhere"
        yield finding("name that isn't portable", folder / path, reason, remedy)


def _not_portable(name: str, path: str) -> str:
    """Why a name can't be used everywhere; empty where it can."""
    if name.isascii():
        if match := _FORBIDDEN.search(name):
            return f"the name holds {match.group()!r}"
        if _RESERVED.fullmatch(name):
            return "the name is one of Windows' devices"
        if name.endswith((".", " ")):
            return "the name ends with a dot or a blank"
    elif any(0xDC80 <= ord(letter) <= 0xDCFF for letter in name):
        return "the name holds bytes that are no UTF-8"
    elif match := _FORBIDDEN.search(name):
        return f"the name holds {match.group()!r}"
    elif unicodedata.normalize("NFC", name) != name:
        return "an accent is a character of its own in it, as macOS writes it"
    if len(os.fsencode(path)) > _LONGEST_KEY:
        return f"the path below the channel is longer than {_LONGEST_KEY} bytes"
    return ""

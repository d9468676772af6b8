"""Turns keys in S3 into names of files that any disk takes.

A key is a text of up to 1024 bytes: ``../../etc/passwd``, ``a//b`` and ``NUL`` are keys like any other; ``a`` and
``a/b`` may both exist, as may ``a.jpg`` and ``A.jpg``.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Collection

_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f-\x9f\ud800-\udfff%\\/:*?"<>|]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # on Windows, with any extension
_EXTENSION = re.compile(r"\.[A-Za-z0-9]{1,12}\Z")
_MOST_BYTES, _MOST_BYTES_BETWEEN, _MOST_FOLDERS = 150, 400, 30


def below(names: Collection[str]) -> dict[str, str]:
    """Return a path below some folder for each of several names, with "/" between its parts.

    No two paths are one file, and none is the folder of another, on any file system. Plain names stay as they are.
    A part's new name doesn't depend on its extension, so that an image and its mask keep one name.
    """
    taken: set[str] = set()
    folders = {"": ""}
    paths = {}

    def place(folder: str, part: str) -> str:
        plain = folder + _part(part)
        path, number = plain, 0
        while (folded := _folded(path)) in taken:
            number += 1
            stem, extension = _split(plain)
            path = f"{stem}%~{_digest(_split(part)[0])}{f'-{number}' if number > 1 else ''}{extension}"
        taken.add(folded)
        return path

    # what is lower case anyway keeps its name, and a folder rather than a file
    ordered = sorted(names, key=lambda name: (_folded(name) != name, name))
    parts = {name: _shortened(name) for name in ordered}
    for name in ordered:
        inside = ""
        for part in parts[name][:-1]:
            here = f"{inside}{part}/"
            if here not in folders:
                folders[here] = place(folders[inside], part) + "/"
            inside = here
    for name in ordered:
        *above, last = parts[name]
        paths[name] = place(folders["".join(f"{part}/" for part in above)], last)
    return paths


def file_name(key: str, *identity: str) -> str:
    """Return a readable name with the key's extension and a digest of ``identity``."""
    stem, extension = _split(key.rpartition("/")[2])
    return folder_name(stem, *identity) + extension.lower()


def folder_name(label: str, *identity: str) -> str:
    """Return a readable name of a folder with a digest of ``identity``."""
    return f"{_part(label)[:40].strip('. ')}-{_digest(*identity, size=16)}"


def _shortened(name: str) -> list[str]:
    """Split a name; of a too long or deep one keep the first and last part and a digest of those between."""
    parts = name.split("/")
    between = sum(len(_part(part).encode()) + 1 for part in parts[1:-1])
    if len(parts) > _MOST_FOLDERS or between > _MOST_BYTES_BETWEEN:
        parts = [parts[0], f"%{_digest('/'.join(parts[1:-1]), size=16)}", parts[-1]]
    return parts


def _part(part: str) -> str:
    """Make a part of a path that any file system takes."""
    stem, extension = _split(part)
    safe = _FORBIDDEN.sub(lambda match: "".join(f"%{byte:02X}" for byte in _bytes(match[0])), stem)
    if _RESERVED.fullmatch(stem) or safe.startswith((".", " ")):
        safe = f"%{ord(safe[0]):02X}{safe[1:]}"
    if safe.endswith((".", " ")):
        safe = f"{safe[:-1]}%{ord(safe[-1]):02X}"
    if len(_bytes(safe)) > _MOST_BYTES:
        safe = _bytes(safe)[: _MOST_BYTES - 40].decode("utf-8", "ignore") + f"%~{_digest(stem, size=16)}"
    return (safe or "%") + extension


def _split(part: str) -> tuple[str, str]:
    """Split into stem and extension; an unusual extension belongs to the stem."""
    match = _EXTENSION.search(part)
    return (part[: match.start()], match[0]) if match and match.start() else (part, "")


def _folded(path: str) -> str:
    """Return one text for all paths that some file system takes for one: case and the form of accents may not count."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())


def _digest(*texts: str, size: int = 4) -> str:
    return hashlib.sha256(b"\0".join(map(_bytes, texts))).hexdigest()[: 2 * size]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")

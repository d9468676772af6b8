"""Downloads a file of the Hugging Face Hub: it appears whole and checked at its path, or not at all.

The bytes of an interrupted download stay beside the path as ``NAME.part``, and the next attempt resumes if it is still
the same file (by its entity tag). Only https is allowed, and http on this machine. ``huggingface_hub`` 2.4 was tried
instead: it takes wrong bytes of the right length, doesn't resume in a later process, writes as much as a server sends,
and brings 25 MB with an HTTP client of its own.
"""

from __future__ import annotations

import hashlib
import http.client
import re
import socket
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any, NoReturn

from sagemaker_semseg import __version__
from sagemaker_semseg.errors import Fault, UserError
from sagemaker_semseg.storage import atomic_write

MAX_BYTES = 2**30
_CHUNK = 2**18
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_TRANSIENT = (408, 429, 500, 502, 503, 504)

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class Fetched:
    """What was fetched. revision: the commit that the hub names, or "". stated: whether it stated the digest."""

    url: str
    sha256: str
    size: int
    revision: str
    stated: bool


@dataclass
class _Statement:
    """What the hub states about a file, in headers before it redirects."""

    sha256: str = ""
    revision: str = ""

    def update(self, headers: Message) -> None:
        linked, commit = (headers["X-Linked-ETag"] or "").strip('"'), headers["X-Repo-Commit"] or ""
        self.sha256 = linked if re.fullmatch("[0-9a-f]{64}", linked) else self.sha256
        self.revision = commit if re.fullmatch("[0-9a-f]{40}", commit) else self.revision


class _TransientError(Exception):
    """An attempt failed for a reason that may pass."""


def fetch(
    url: str, path: Path, on_progress: OnProgress = lambda done, total: None, *,
    timeout: float = 30, attempts: int = 5, pause: float = 1,
) -> Fetched:  # fmt: skip
    """Downloads ``url`` to ``path``, and checks the digest that the hub states.

    Args:
        url: https, or http on this machine.
        path: where the file appears.
        on_progress: called with the bytes that have arrived, and the total or 0.
        timeout: seconds without a byte.
        attempts: how often a transient failure is tried.
        pause: seconds before the second attempt, doubled before each further one.

    Raises:
        UserError: if the file can't be had, is too large or has another digest.
        OSError: if it can't be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    for attempt in range(attempts):
        try:
            stated = _receive(url, part, on_progress, timeout)
            break
        except _TransientError as error:
            if attempt + 1 == attempts:
                _fail(url, f"can't be fetched: {error}", "try again: the download resumes")
        time.sleep(pause * 2**attempt)
    found = digest(part, "sha256")
    if stated.sha256 and found != stated.sha256:
        part.unlink()
        _fail(url, f"has the SHA-256 {found}, {stated.sha256} is expected", "try again, and don't trust that file")
    with atomic_write(path) as temporary:
        part.replace(temporary)
    _tag(part).unlink(missing_ok=True)
    return Fetched(url, found, path.stat().st_size, stated.revision, bool(stated.sha256))


def digest(path: Path, kind: str) -> str:
    """The digest of a file, in hexadecimal digits. kind: of ``hashlib``."""
    state = hashlib.new(kind)
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            state.update(chunk)
    return state.hexdigest()


def _fail(url: str, what: str, remedy: str = "") -> NoReturn:
    raise UserError("Weights can't be fetched:", [Fault(url, what, remedy)])


def _tag(part: Path) -> Path:
    """The file with the entity tag of a partial file."""
    return part.with_name(part.name + ".tag")


def _receive(url: str, part: Path, on_progress: OnProgress, timeout: float) -> _Statement:
    """Gets the bytes that ``part`` lacks, in one attempt."""
    done, headers = 0, {"User-Agent": f"sagemaker-semseg/{__version__}", "Accept-Encoding": "identity"}
    if part.is_file() and _tag(part).is_file():
        done = part.stat().st_size
        headers |= {"Range": f"bytes={done}-", "If-Range": _tag(part).read_text(encoding="latin-1")}
    with _open(url, headers, timeout, part) as (response, stated):
        if response.status != 206 or not (response.headers["Content-Range"] or "").startswith(f"bytes {done}-"):
            done = 0
        length = response.headers["Content-Length"] or ""
        total = done + int(length) if re.fullmatch("[0-9]{1,15}", length) else 0
        tag = response.headers["ETag"] or ""
        _tag(part).unlink(missing_ok=True)
        if re.fullmatch(r'"[!-~]{1,200}"', tag):  # weak ones promise too little
            _tag(part).write_text(tag, encoding="latin-1")
        with open(part, "ab" if done else "wb") as file:
            while True:
                if max(done, total) > MAX_BYTES:
                    _fail(url, f"has {max(done, total)} bytes or more, {MAX_BYTES} are the limit")
                try:
                    chunk = response.read(_CHUNK)
                except (OSError, http.client.HTTPException) as error:
                    raise _TransientError(_reason(error)) from None
                if not chunk:
                    break
                file.write(chunk)
                done += len(chunk)
                on_progress(done, total)
    if done < total:
        raise _TransientError(f"the connection ended after {done} of {total} bytes")
    return stated


@contextmanager
def _open(
    url: str, headers: dict[str, str], timeout: float, part: Path
) -> Iterator[tuple[http.client.HTTPResponse, _Statement]]:
    """The response with the file's bytes, and what was stated on the way to it."""
    stated = _Statement()
    if not _allowed(url, url):
        _fail(url, "is not an address that is fetched from", "give one that begins with https://")
    opener = urllib.request.build_opener(_Redirects(stated))
    try:
        response = opener.open(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # the part is no part of what is there now
            part.unlink(missing_ok=True)
        if error.code in (416, *_TRANSIENT):
            raise _TransientError(f"the hub answers {error.code} {error.reason}") from None
        _fail(url, f"can't be fetched: the hub answers {error.code} {error.reason}")
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None)
        if isinstance(reason, socket.gaierror):
            host = urllib.parse.urlsplit(url).hostname
            _fail(url, f"can't be fetched: there is no way to {host} ({reason.strerror})")
        raise _TransientError(_reason(error)) from None
    with response:
        stated.update(response.headers)
        yield response, stated


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", error)) or type(error).__name__


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to https, and reads what the hub states before each."""

    max_redirections = 5

    def __init__(self, stated: _Statement):
        self.stated = stated

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if not _allowed(newurl, req.full_url):
            _fail(req.full_url, f"leads to {newurl[:200]!a}, which is not https")
        self.stated.update(headers)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _allowed(url: str, origin: str) -> bool:
    """Whether a URL is https, or http on this machine from this machine."""
    there, here = urllib.parse.urlsplit(url), urllib.parse.urlsplit(origin)
    return there.scheme == "https" or (there.scheme == "http" and {there.hostname, here.hostname} <= set(_LOOPBACK))

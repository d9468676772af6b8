"""Copies data from S3 to this machine once, and finds it there again.

    cache = S3Cache(data_cache())
    folder = cache.prefix("s3://bucket/mydata")
    files = cache.objects(["s3://bucket/a.jpg", "s3://other/b.png"])

``objects`` holds a file for each version of an object, named by bucket, key and ETag, so it is valid forever.
``prefixes`` holds a folder for each state of a prefix, whose files are links to those: a reader isn't disturbed when
another command finds that the prefix has changed. Several processes may use one cache: each downloads in a random order
and skips what another one has downloaded meanwhile. What is in a bucket of this machine is used where it is.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import shutil
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path

from sagemaker_semseg.errors import DataError, Fault, UserError
from sagemaker_semseg.storage import cache_names
from sagemaker_semseg.storage.atomic import atomic_write
from sagemaker_semseg.storage.local_buckets import local_bucket_path
from sagemaker_semseg.storage.parallel import in_parallel
from sagemaker_semseg.storage.s3 import CONNECTIONS, S3Uri, client
from sagemaker_semseg.storage.s3_objects import Object, download, head_object, list_objects, pages

Progress = Callable[[int, int], None]
"""Called with files (done, in all)."""

_MAX_FAILURES = 100
"""After so many failures and no success the others aren't tried: they have the same cause."""
_LISTED_FROM = 20
"""From this many objects of one folder on, the folder is listed; fewer are asked for one by one."""
_ROOM = 2**26
_STALE_SECONDS = 24 * 3600


class S3Cache:
    """Downloads of S3 below the folder ``root``."""

    def __init__(self, root: Path):
        self.root = root

    def objects(self, uris: Iterable[str], progress: Progress | None = None) -> list[Path]:
        """Return a file for each ``s3://bucket/key``, in their order.

        Raises ``DataError`` with a fault for each that can't be downloaded, and ``UserError`` at once if S3 or the
        cache can't be used at all.
        """
        asked = list(uris)
        faults: list[Fault] = []
        here = _in_local_buckets(asked, faults)
        items = _found(dict.fromkeys(uri for uri in asked if uri not in here), faults, progress or _nothing)
        self._fetch(items.values(), faults, progress or _nothing)
        _raise_any(faults)
        return [here[uri] if uri in here else self._file(items[uri]) for uri in asked]

    def prefix(self, uri: str, progress: Progress | None = None, wanted: Callable[[str], bool] | None = None) -> Path:
        """Return a folder with all objects below ``s3://bucket/prefix``, under the same names where a disk allows them.

        Hidden files and folders, and the empty objects that mark a folder, are left out. wanted: whether a name below
        the prefix is needed. Raises as ``objects`` does, also if there is nothing.
        """
        if path := local_bucket_path(uri):
            return _existing(path, uri)
        place = S3Uri.parse(uri)
        above = place.key + "/" if place.key and not place.key.endswith("/") else place.key
        items: dict[str, Object] = {}
        others = 0
        for page in pages(place.bucket, above):
            for item in page:
                name = item.key[len(above) :]
                if _counts(name) and (wanted is None or wanted(name)):
                    items[name] = item
                else:
                    others += 1
            (progress or _nothing)(0, len(items))
        if not items:
            what = f"none of the {others} objects there can be used" if others else "there is nothing"
            fault = Fault(uri, what, f"look what is there: aws s3 ls {S3Uri(place.bucket, above)}")
            raise DataError("the data can't be used:", [fault])
        return self._tree(place.bucket, above, items, progress or _nothing)

    def at(self, uri: str, progress: Progress | None = None, wanted: Callable[[str], bool] | None = None) -> Path:
        """Return the file if ``uri`` names an object, else the folder. Raises as ``prefix`` does.

        A file has the last part of its key as its name: readers know weights, models and label maps by their names.
        """
        if path := local_bucket_path(uri):
            return _existing(path, uri)
        place = S3Uri.parse(uri)
        if place.key and not place.key.endswith("/"):
            first = next(iter(pages(place.bucket, place.key, most=1)))
            if first and first[0].key == place.key and first[0].size:  # an empty one marks a folder
                above, slash, name = place.key.rpartition("/")
                folder = self._tree(place.bucket, above + slash, {name: first[0]}, progress or _nothing)
                return folder / cache_names.below([name])[name]
        return self.prefix(uri, progress, wanted)

    # ---- prefixes

    def _tree(self, bucket: str, above: str, items: dict[str, Object], progress: Progress) -> Path:
        digest = hashlib.sha256(repr((bucket, above)).encode())
        for name in sorted(items):
            digest.update(repr((name, items[name].etag, items[name].size)).encode())
        folder = (
            self.root / "prefixes" / cache_names.folder_name(f"{bucket}/{above}".split("/")[-2], digest.hexdigest())
        )
        paths = {name: folder / path for name, path in cache_names.below(items).items()}
        missing = [name for name, path in paths.items() if not _has(path, items[name].size)]
        faults: list[Fault] = []
        with _translated_os_errors(folder):
            for parent in sorted({paths[name].parent for name in missing}):
                parent.mkdir(parents=True, exist_ok=True)
        self._fetch([items[name] for name in missing], faults, progress, len(items))
        _raise_any(faults)
        for name in missing:
            with _translated_os_errors(paths[name]):
                _link(self._file(items[name]), paths[name], items[name].size)
        return folder

    # ---- objects

    def _file(self, item: Object) -> Path:
        name = cache_names.file_name(item.key, item.bucket, item.key, item.etag, str(item.size))
        return self.root / "objects" / hashlib.sha256(name.encode()).hexdigest()[:2] / name

    def _fetch(
        self, items: Collection[Object], faults: list[Fault], progress: Progress, in_all: int | None = None
    ) -> None:
        """Download each object's file. in_all: files in the progress; those not in ``items`` count as done."""
        total = len(items) if in_all is None else in_all
        missing = [item for item in items if not _has(self._file(item), item.size)]
        done = total - len(missing)
        progress(done, total)
        if not missing:
            return
        self._prepare(missing)
        random.shuffle(missing)  # two processes that download the same rarely meet
        failed = 0
        for item, result in in_parallel(self._fetch_one, missing, CONNECTIONS):
            done += 1
            progress(done, total)
            if isinstance(result, DataError):
                failed += 1
                faults.extend(result.faults or [Fault(str(item), result.message)])
                if failed >= _MAX_FAILURES and failed == done - (total - len(missing)):
                    what = f"{len(missing) - failed} more were not tried"
                    faults.insert(0, Fault(f"the first {failed}", f"can't be had, {what}"))
                    break

    def _fetch_one(self, item: Object, stop: threading.Event) -> None:
        path = self._file(item)
        if _has(path, item.size):  # another process was faster
            return
        with _translated_os_errors(path), atomic_write(path) as temporary, open(temporary, "r+b") as file:
            download(item, file, stop)

    def _prepare(self, missing: Sequence[Object]) -> None:
        """Make the folders, remove leftovers of killed processes, and check the free space."""
        with _translated_os_errors(self.root):
            for folder in {self._file(item).parent for item in missing}:
                folder.mkdir(parents=True, exist_ok=True)
                _sweep(folder)
            free = shutil.disk_usage(self.root).free
        needed = sum(item.size for item in missing)
        if needed + _ROOM > free:
            what = f"{needed / 1e9:.1f} GB are to be fetched, {free / 1e9:.1f} GB are free"
            fault = Fault(str(self.root), what, "make room, or set SAGEMAKER_SEMSEG_CACHE to a folder on another disk")
            raise UserError("The data can't be fetched:", [fault])


def _found(uris: Iterable[str], faults: list[Fault], progress: Progress) -> dict[str, Object]:
    """Return the objects that exist; add a fault for each of the others."""
    places: dict[S3Uri, str] = {}
    folders: dict[tuple[str, str], list[str]] = {}
    for uri in uris:
        try:
            place = S3Uri.parse(uri)
        except UserError as error:
            faults.extend(error.faults)
            continue
        if not place.key or place.key.endswith("/"):
            faults.append(Fault(uri, "names no object", "s3://BUCKET/KEY is expected"))
            continue
        places[place] = uri
        folders.setdefault((place.bucket, place.key.rpartition("/")[0]), []).append(place.key)
    found: dict[str, Object] = {}
    if not places:
        return found
    client()  # before the threads, each of which would make one
    large = [(bucket, keys) for (bucket, _), keys in folders.items() if len(keys) >= _LISTED_FROM]
    for (bucket, _), listed in in_parallel(lambda job, stop: list_objects(*job, stop), large, CONNECTIONS):
        if isinstance(listed, dict):
            found |= {places[S3Uri(bucket, key)]: item for key, item in listed.items()}
        progress(0, len(found))
    rest = [place for place, uri in places.items() if uri not in found]
    failed = 0
    for place, item in in_parallel(head_object, rest, CONNECTIONS):
        if isinstance(item, DataError):
            failed += 1
            faults.extend(item.faults)
            if failed >= _MAX_FAILURES and not found:
                what = f"{len(rest) - failed} more were not tried"
                faults.insert(0, Fault(f"the first {failed}", f"can't be had, {what}"))
                break
        else:
            found[places[place]] = item
            if len(found) % 100 == 0:
                progress(0, len(found))
    return found


def _in_local_buckets(uris: Iterable[str], faults: list[Fault]) -> dict[str, Path]:
    """Return the paths of what is in this machine's buckets; add a fault for each that doesn't exist."""
    found: dict[str, Path] = {}
    for uri in dict.fromkeys(uris):
        try:
            if path := local_bucket_path(uri):
                found[uri] = path
                if not path.is_file():
                    faults.append(Fault(uri, "there is no such object", "check the key"))
        except DataError as error:
            found[uri] = Path()
            faults.extend(error.faults)
        except UserError:  # malformed: ``_found`` says so
            continue
    return found


def _existing(path: Path, uri: str) -> Path:
    """Return the path if it has something. Raises ``DataError`` if not."""
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        return path
    fault = Fault(uri, "there is nothing in this bucket of this machine", "upload it first, or check the key")
    raise DataError("the data can't be used:", [fault])


def _counts(name: str) -> bool:
    return bool(name) and not name.endswith("/") and not any(part.startswith(".") for part in name.split("/"))


def _has(path: Path, size: int) -> bool:
    try:
        return os.stat(path).st_size == size
    except OSError:
        return False


def _link(source: Path, target: Path, size: int) -> None:
    """Make a hard link, or a copy where the disk has no links."""
    try:
        os.link(source, target)
    except OSError:
        if not _has(target, size):  # else another process was faster
            with atomic_write(target) as temporary:
                shutil.copyfile(source, temporary)


def _sweep(folder: Path) -> None:
    """Remove half-written files; those of running processes are younger."""
    for path in folder.glob(".writing-*"):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < time.time() - _STALE_SECONDS:
                path.unlink()


@contextlib.contextmanager
def _translated_os_errors(path: Path) -> Iterator[None]:
    """Raise what the disk refuses as ``UserError``; it would refuse it for every file."""
    try:
        yield
    except OSError as error:
        what = f"can't be written: {error.strerror or error}"
        remedy = "make room, check the permissions, or set SAGEMAKER_SEMSEG_CACHE to another folder"
        fault = Fault(str(error.filename or path), what, remedy)
        raise UserError("The data can't be kept on this machine:", [fault]) from error


def _raise_any(faults: Sequence[Fault]) -> None:
    if faults:
        raise DataError(f"the data can't be fetched from S3 (faults: {len(faults)}):", faults)


def _nothing(done: int, in_all: int) -> None:
    """Show no progress."""

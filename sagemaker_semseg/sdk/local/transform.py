"""The process of a batch transform on this machine: sends each image to a server of its own, and writes KEY.out.

A file that is refused doesn't keep the others from being transformed; the job has failed then, and names the files.
"""

from __future__ import annotations

import contextlib
import http.client
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from sagemaker_semseg.container.outputs import write_failure_file
from sagemaker_semseg.errors import DataError, Fault, SemSegError, UserError
from sagemaker_semseg.sdk.inputs import MANIFEST_FILE
from sagemaker_semseg.sdk.local.backend import fetch
from sagemaker_semseg.sdk.local.endpoints import PORT_FILE, REPLY_SECONDS
from sagemaker_semseg.sdk.local.job_store import JobStore
from sagemaker_semseg.sdk.local.jobs import POLL_SECONDS
from sagemaker_semseg.sdk.local.manifest_file import read_manifest_file
from sagemaker_semseg.sdk.local.spec_json import read_spec
from sagemaker_semseg.sdk.specs import TransformSpec
from sagemaker_semseg.signals import catch_signals, watch_parent
from sagemaker_semseg.storage import FileInfo, FileSystem, filesystem_at, locate

DEFAULT_PAYLOAD_MB: Final = 6
MAX_TRIES: Final = 5
_MEGABYTE: Final = 2**20


def run(spec: TransformSpec, port_file: Path) -> int:
    """Transform all files of ``spec.data``; returns how many there were. Raises ``UserError`` with every fault."""
    faults: list[Fault] = []
    images = _images(spec, faults)
    if not images and not faults:
        raise DataError("There is nothing to transform:", [Fault(spec.data, "holds no file", "check the place")])
    assert spec.output_path is not None
    target = filesystem_at(spec.output_path.removeprefix("file://"))
    with _server(spec, port_file) as port:
        workers = spec.max_concurrent_transforms or 2
        results = _each(images, workers, lambda image: _one(spec, port, image, target))
        for done, (image, error) in enumerate(results, 1):
            if error:
                faults.extend(error.faults or [Fault(image.where, error.message)])
            print(f"{done}/{len(images)} {image.name} {'failed' if error else 'done'}", flush=True)
    if faults:
        raise DataError(f"{len(faults)} of {len(images)} files weren't transformed:", faults)
    return len(images)


@dataclass(frozen=True)
class _Image:
    """One file to transform. name: below the data's prefix. entry: None for one that a ``ManifestFile`` lists."""

    name: str
    where: str
    source: FileSystem | None = None
    entry: FileInfo | None = None

    def read(self, limit: int) -> bytes:
        source, entry = (self.source, self.entry) if self.source else locate(self.where.removeprefix("file://"))
        if not entry:
            raise DataError("a file can't be transformed:", [Fault(self.where, "no such file", "fix the list")])
        return source.read(entry, limit)


def _images(spec: TransformSpec, faults: list[Fault]) -> list[_Image]:
    if spec.data_type == MANIFEST_FILE:
        listed = read_manifest_file(fetch(spec.data), spec.data)
        return [_Image(name, place) for name, place in listed.items()]
    source, only = locate(spec.data.removeprefix("file://"))
    entries = [only] if only else source.files(_is_visible, faults)
    return [_Image(entry.name, source.where(entry.name), source, entry) for entry in entries]


def _is_visible(name: str) -> bool:
    return not any(part.startswith(".") for part in name.split("/"))


def _each(
    images: Sequence[_Image], workers: int, work: Callable[[_Image], None]
) -> Iterator[tuple[_Image, UserError | None]]:
    """Each image when ``work`` is done with it, and what was wrong with it. At most twice ``workers`` are in flight."""
    left = iter(images)
    pending: dict[Future[None], _Image] = {}
    with ThreadPoolExecutor(workers) as pool:
        while True:
            while len(pending) < 2 * workers and (image := next(left, None)):
                pending[pool.submit(work, image)] = image
            if not pending:
                return
            for future in wait(pending, return_when=FIRST_COMPLETED).done:
                image, error = pending.pop(future), None
                try:
                    future.result()
                except UserError as caught:
                    error = caught
                yield image, error


def _one(spec: TransformSpec, port: int, image: _Image, target: FileSystem) -> None:
    limit = DEFAULT_PAYLOAD_MB if spec.max_payload is None else spec.max_payload
    body = image.read(limit * _MEGABYTE if limit else sys.maxsize)
    headers = {"Content-Type": spec.content_type or "application/octet-stream"}
    if spec.accept:
        headers["Accept"] = spec.accept
    status, content, kind = _post(port, body, headers)
    if status != 200:
        text = content[:500].decode("utf-8", "replace")
        raise DataError("a file can't be transformed:", [Fault(image.where, f"{status}: {text}")])
    target.write(f"{image.name}.out", [content], kind)


def _post(port: int, body: bytes, headers: dict[str, str]) -> tuple[int, bytes, str]:
    """Status, body and content type of a reply; tried again for a while where the server has no room."""
    for tries in range(1, MAX_TRIES + 1):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=REPLY_SECONDS)
        try:
            connection.request("POST", "/invocations", body, headers)
            reply = connection.getresponse()
            content = reply.read()
        finally:
            connection.close()
        if reply.status != 503 or tries == MAX_TRIES:
            break
        time.sleep(tries)
    return reply.status, content, reply.headers.get("content-type", "")


@contextlib.contextmanager
def _server(spec: TransformSpec, port_file: Path) -> Iterator[int]:
    """Run a server with the model within the block; yields its port. Raises ``UserError`` if it doesn't start."""
    command = [
        sys.executable,
        "-m",
        "sagemaker_semseg.container.serve",
        spec.model.model_data,
        str(port_file),
        "--quiet",
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        try:
            while not port_file.exists():
                if process.poll() is not None:
                    raise UserError("The model can't be served; the log says why.")
                time.sleep(POLL_SECONDS)
            yield int(port_file.read_text(encoding="ascii"))
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
            process.kill()


def main(name: str) -> int:
    """Run the transform of this name; returns the exit status."""

    def stop(number: int) -> NoReturn:
        raise SystemExit(143)

    watch_parent()
    store = JobStore("transforms")
    folder, spec = store.folder(name), read_spec(TransformSpec, store.get(name).spec)
    assert spec is not None
    with catch_signals((signal.SIGTERM,), stop):
        try:
            print(f"{run(spec, folder / PORT_FILE)} files transformed", flush=True)
        except SemSegError as error:
            print(error, flush=True)
            write_failure_file(folder / "ml", error)
            return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

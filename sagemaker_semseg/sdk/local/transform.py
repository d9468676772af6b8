"""A batch transform on this machine: images in a folder or below an s3:// prefix come in, ``KEY.out`` goes out.

Its supervisor starts it as ``python -m sagemaker_semseg.sdk.local.transform NAME``. It starts a server of its own, as
SageMaker starts the container, and sends it every file, each as one request. A file that is refused doesn't keep the
others from being transformed; the job has failed then, and says which they were.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Final, NoReturn

from sagemaker_semseg.environment import job_variables
from sagemaker_semseg.errors import DataError, Fault, UserError
from sagemaker_semseg.sdk.local.endpoints import READY, REPLY_SECONDS
from sagemaker_semseg.sdk.local.job_store import JobStore
from sagemaker_semseg.sdk.local.specs import spec_of
from sagemaker_semseg.sdk.specs import TransformSpec
from sagemaker_semseg.storage import FileInfo, FileSystem, filesystem_at, locate

DEFAULT_PAYLOAD_MB: Final = 6
MOST_TRIES: Final = 5
_MEGABYTE: Final = 2**20


def run(spec: TransformSpec) -> int:
    """Transform everything below ``spec.data``; returns how many there were. Raises ``UserError`` with every fault."""
    source, only = locate(spec.data.removeprefix("file://"))
    faults: list[Fault] = []
    entries = [only] if only else list(source.files(_is_visible, faults))
    if not entries and not faults:
        raise DataError("There is nothing to transform:", [Fault(spec.data, "holds no file", "check the place")])
    assert spec.output_path is not None
    target = filesystem_at(spec.output_path.removeprefix("file://"))
    with _server(spec) as port:
        workers = spec.max_concurrent_transforms or 2
        results = _each(entries, workers, lambda entry: _one(spec, port, source, entry, target))
        for done, (entry, error) in enumerate(results, 1):
            if error:
                faults.extend(error.faults or [Fault(source.where(entry.name), error.message)])
            told = "failed" if error else "done"
            print(f"{done}/{len(entries)} {entry.name} {told}", flush=True)
    if faults:
        raise DataError(f"{len(faults)} of {len(entries)} files weren't transformed:", faults)
    return len(entries)


def _is_visible(name: str) -> bool:
    return not any(part.startswith(".") for part in name.split("/"))


def _each(
    entries: Sequence[FileInfo], workers: int, work: Callable[[FileInfo], None]
) -> Iterator[tuple[FileInfo, UserError | None]]:
    """Each entry when ``work`` is done with it, and what was wrong with it. At most twice ``workers`` are in hand."""
    left = iter(entries)
    pending: dict[Future[None], FileInfo] = {}
    with ThreadPoolExecutor(workers) as pool:
        while True:
            while len(pending) < 2 * workers and (entry := next(left, None)):
                pending[pool.submit(work, entry)] = entry
            if not pending:
                return
            for future in wait(pending, return_when=FIRST_COMPLETED).done:
                entry, error = pending.pop(future), None
                try:
                    future.result()
                except UserError as caught:
                    error = caught
                yield entry, error


def _one(spec: TransformSpec, port: int, source: FileSystem, entry: FileInfo, target: FileSystem) -> None:
    limit = DEFAULT_PAYLOAD_MB if spec.max_payload is None else spec.max_payload
    body = source.read(entry, limit * _MEGABYTE if limit else sys.maxsize)
    headers = {"Content-Type": spec.content_type or "application/octet-stream"}
    if spec.accept:
        headers["Accept"] = spec.accept
    status, content, kind = _post(port, body, headers)
    if status != 200:
        text = content[:500].decode("utf-8", "replace")
        raise DataError("a file can't be transformed:", [Fault(source.where(entry.name), f"{status}: {text}")])
    target.write(f"{entry.name}.out", [content], kind)


def _post(port: int, body: bytes, headers: dict[str, str]) -> tuple[int, bytes, str]:
    """Status, body and content type of a reply; tried again for a while where the server has no room."""
    for tries in range(1, MOST_TRIES + 1):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=REPLY_SECONDS)
        try:
            connection.request("POST", "/invocations", body, headers)
            reply = connection.getresponse()
            content = reply.read()
        finally:
            connection.close()
        if reply.status != 503 or tries == MOST_TRIES:
            break
        time.sleep(tries)
    return reply.status, content, reply.headers.get("content-type", "")


@contextlib.contextmanager
def _server(spec: TransformSpec) -> Iterator[int]:
    """The port of a server with the model, which ends with the block. Raises ``UserError`` if it doesn't start."""
    arguments = [sys.executable, "-m", "sagemaker_semseg", "serve", "--model", spec.model.model_data, "--port", "0"]
    variables = job_variables({"SAGEMAKER_BATCH": "true", "SAGEMAKER_MAX_PAYLOAD_IN_MB": str(spec.max_payload or 0)})
    with subprocess.Popen([*arguments, "--quiet"], stdout=subprocess.PIPE, text=True, env=variables) as process:
        try:
            assert process.stdout is not None
            found = re.match(READY, process.stdout.readline())
            if not found:
                raise UserError("The model can't be served; the log says why.")
            yield int(found[1])
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
            process.kill()


def main(name: str) -> int:
    from sagemaker_semseg.errors import SemSegError

    def stop(number: int, frame: object) -> NoReturn:
        raise SystemExit(143)

    signal.signal(signal.SIGTERM, stop)
    registry = JobStore("transforms")
    spec = spec_of("transforms", registry.get(name).spec)
    assert isinstance(spec, TransformSpec)
    try:
        print(f"{run(spec)} files transformed", flush=True)
    except SemSegError as error:
        print(error, flush=True)
        (registry.folder(name) / "ml" / "output").mkdir(parents=True, exist_ok=True)
        (registry.folder(name) / "ml" / "output" / "failure").write_text(f"{error.prefix}: {error}", encoding="utf-8")
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

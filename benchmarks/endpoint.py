"""An endpoint of ours as a user starts it: a server process with its workers, watched from outside.

Input: a model and flags of `sagemaker-semseg serve`. Output: its port, when it turned healthy, its memory and CPU time,
how it ended.
"""

import ctypes
import http.client
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import processes
from peers.worker import WorkerFailed

HOST = "127.0.0.1"
POLL_SECONDS = 0.01
END_SECONDS = 25.0
PR_SET_PDEATHSIG = 1


class EndpointFailed(WorkerFailed):
    """It did not start, died or did not end; the message has the last line that it wrote."""


class Endpoint:
    """Use it in a `with` statement: at the end the server is stopped, and killed if it does not."""

    def __init__(self, model: Path, flags: Sequence[str] = (), python: str = sys.executable) -> None:
        self.port = _free_port()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (close() closes it)
        command = [python, "-m", "sagemaker_semseg", "serve", "--model", str(model), "--port", str(self.port)]
        self._started = time.monotonic()
        self._process = subprocess.Popen(
            [*command, *flags], stdout=self._log, stderr=self._log, preexec_fn=_end_with_parent
        )

    def __enter__(self) -> "Endpoint":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait_until_healthy(self, timeout: float = 120.0) -> float:
        """Seconds from the process's start to the first `GET /ping` that was answered with 200."""
        while (passed := time.monotonic() - self._started) < timeout:
            if self.healthy():
                return time.monotonic() - self._started
            if self._process.poll() is not None:
                raise EndpointFailed(f"it ended with status {self._process.returncode}: {self.last_line()}")
            time.sleep(POLL_SECONDS)
        raise EndpointFailed(f"not healthy after {passed:.0f} s: {self.last_line()}")

    def healthy(self) -> bool:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=5)
        try:
            connection.request("GET", "/ping")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def metric(self, name: str, labels: str = "") -> float:
        """A figure of `GET /metrics`, 0 where there is none: `metric("semseg_seconds_sum", 'stage="encode"')`."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=5)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        pattern = rf"^{name}{re.escape('{' + labels + '}') if labels else ''} (\S+)$"
        found = re.search(pattern, text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def processes(self) -> list[int]:
        """The server's process id, then the workers'."""
        return processes.family(self._process.pid)

    def rss_mb(self) -> float:
        return sum(map(processes.rss_mb, self.processes()))

    def peak_rss_mb(self) -> float:
        return sum(map(processes.peak_rss_mb, self.processes()))

    def pss_mb(self) -> float:
        return sum(map(processes.pss_mb, self.processes()))

    def server_pss_mb(self) -> float:
        """Without the workers."""
        return processes.pss_mb(self._process.pid)

    def cpu_seconds(self) -> float:
        return sum(map(processes.cpu_seconds, self.processes()))

    def end(self) -> int:
        """Its exit status after SIGTERM."""
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            raise EndpointFailed(f"it did not end within {END_SECONDS:.0f} s of SIGTERM") from None

    def close(self) -> None:
        """Ends the process; safe to call at any time, more than once."""
        if self._process.poll() is None:
            try:
                self.end()
            except EndpointFailed:
                self._process.kill()
                self._process.wait()
        self._log.close()

    def last_line(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it wrote nothing")


def _end_with_parent() -> None:
    """Also where this script is killed, no server stays behind (Linux)."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as sock:
        return int(sock.getsockname()[1])

"""What the server has done and is doing: told after every request, it gives a line for the log and Prometheus' metrics.

``exchange`` tells it, ``app`` gives the metrics away, ``server`` makes it. Its registry is its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from starlette.types import Scope

from sagemaker_semseg.serving.pool import Answer, Pool

_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class Monitor:
    """tell: takes a line for the log, for every request but health checks that go well."""

    def __init__(self, pool: Pool, tell: Callable[[str], None]):
        self._tell = tell
        self._registry = CollectorRegistry()
        self._registry.register(_State(pool))

        def metric(kind: Any, name: str, text: str, labels: Iterable[str] = (), **more: Any) -> Any:
            return kind(f"semseg_{name}", text, labels, registry=self._registry, **more)

        self._invocations = metric(Counter, "invocations", "Invocations answered", ("status", "reply"))
        self._seconds = metric(Histogram, "seconds", "Time by stage", ("stage",), buckets=_SECONDS)
        self._received = metric(Counter, "received_bytes", "Bytes of requests' bodies")
        self._sent = metric(Counter, "sent_bytes", "Bytes of replies' bodies")

    def done(self, scope: Scope, status: int, received: int, sent: int, seconds: float) -> None:
        """A request has been answered. status: as sent; seconds: until the last byte was on its way."""
        self._received.inc(received)
        self._sent.inc(sent)
        invoked = scope["method"] == "POST" and scope.get("endpoint")
        if invoked:
            answer: Answer | None = scope["state"].get("answer")
            self._invocations.labels(status, answer.content_type if answer else "application/json").inc()
            for stage, length in (answer.seconds if answer else {}).items():
                self._seconds.labels(stage).observe(length)
            self._seconds.labels("total").observe(seconds)
        if scope["path"] != "/ping" or status != 200:
            # the raw path is ASCII without blanks; the path could forge a line
            path = scope.get("raw_path", b"").decode("ascii", "replace")[:200]
            size = f"{received} bytes in, {sent} bytes out"
            self._tell(f"{scope['method']} {path} {status} {1000 * seconds:.1f} ms, {size}")

    def metrics(self) -> tuple[bytes, str]:
        """In Prometheus' text format, and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST


class _State(Collector):
    """What the pool itself knows, looked up when it is asked for."""

    def __init__(self, pool: Pool):
        self._pool = pool

    def collect(self) -> Iterable[Metric]:
        pool = self._pool
        yield GaugeMetricFamily("semseg_queue_length", "Invocations that wait for a worker", pool.waiting)
        yield GaugeMetricFamily("semseg_workers_ready", "Workers that are ready", pool.ready)
        yield GaugeMetricFamily("semseg_workers_busy", "Workers at work", pool.busy)
        yield CounterMetricFamily("semseg_worker_restarts", "Workers that died and were replaced", pool.restarts)

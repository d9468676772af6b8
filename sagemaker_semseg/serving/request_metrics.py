"""Request metrics in Prometheus' format, and the log line of each request."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from starlette.types import Scope

from sagemaker_semseg.serving.pool import InferenceResponse, WorkerPool

_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class RequestMetrics:
    """Counts requests. log: writes a line for every request but successful health checks."""

    def __init__(self, pool: WorkerPool, log: Callable[[str], None]):
        self._log = log
        self._registry = CollectorRegistry()
        self._registry.register(_PoolMetrics(pool))

        def metric(kind: Any, name: str, text: str, labels: Iterable[str] = (), **more: Any) -> Any:
            return kind(f"semseg_{name}", text, labels, registry=self._registry, **more)

        self._invocations = metric(Counter, "invocations", "Invocations answered", ("status", "reply"))
        self._seconds = metric(Histogram, "seconds", "Time by stage", ("stage",), buckets=_SECONDS)
        self._received = metric(Counter, "received_bytes", "Bytes of requests' bodies")
        self._sent = metric(Counter, "sent_bytes", "Bytes of replies' bodies")

    def record(self, scope: Scope, status: int, received: int, sent: int, seconds: float) -> None:
        """Counts a finished request. status: as sent; seconds: until the last byte was written."""
        self._received.inc(received)
        self._sent.inc(sent)
        invoked = scope["method"] == "POST" and scope.get("endpoint")
        if invoked:
            response: InferenceResponse | None = scope["state"].get("response")
            self._invocations.labels(status, response.content_type if response else "application/json").inc()
            for stage, length in (response.seconds if response else {}).items():
                self._seconds.labels(stage).observe(length)
            self._seconds.labels("total").observe(seconds)
        if scope["path"] != "/ping" or status != 200:
            # the raw path is ASCII without blanks; the path could forge a line
            path = scope.get("raw_path", b"").decode("ascii", "replace")[:200]
            size = f"{received} bytes in, {sent} bytes out"
            self._log(f"{scope['method']} {path} {status} {1000 * seconds:.1f} ms, {size}")

    def render(self) -> tuple[bytes, str]:
        """Returns the metrics in Prometheus' text format, and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST


class _PoolMetrics(Collector):
    """The pool's own metrics, read at each scrape."""

    def __init__(self, pool: WorkerPool):
        self._pool = pool

    def collect(self) -> Iterable[Metric]:
        pool = self._pool
        yield GaugeMetricFamily("semseg_queue_length", "Invocations that wait for a worker", pool.waiting)
        yield GaugeMetricFamily("semseg_workers_ready", "Workers that are ready", pool.ready)
        yield GaugeMetricFamily("semseg_workers_busy", "Workers at work", pool.busy)
        yield CounterMetricFamily("semseg_worker_restarts", "Workers that died and were replaced", pool.restarts)

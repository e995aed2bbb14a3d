"""The figures of the queries for Prometheus, on a listener of their own: `--metrics HOST:PORT`.

Names: https://prometheus.io/docs/practices/naming/. Labels are query ids, topics, partitions and the reasons of
`streamguard_ksql.operators.base.Skip`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from http.server import ThreadingHTTPServer

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from streamguard_ksql.runtime.api import QueryStats, Runtime
from streamguard_ksql.server.probes import Readiness, start

_QUERY = ("query",)
STATES = ("RUNNING", "PAUSED", "ERROR")
_COUNTERS = (
    ("records_in", "consumed", "Records read."),
    ("bytes_in", "consumed_bytes", "Bytes read."),
    ("records_out", "produced", "Records written."),
    ("errors", "errors", "Failures, after which a query starts again or ends."),
)


class QueryMetrics:
    """What each persistent query has done since it was started, asked at each scrape."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def describe(self) -> Iterable[Metric]:
        """Nothing: queries are not asked at the start."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """As prometheus-client asks for it."""
        with self._runtime.lock:
            names = sorted(self._runtime.engine.queries)
        found = {name: self._runtime.stats(name) for name in names}
        state = GaugeMetricFamily(
            "streamguard_query_state", "1 for the state that a query is in.", labels=("query", "state")
        )
        for name, stats in found.items():
            for one in STATES:
                state.add_metric((name, one), float(stats.state == one))
        yield state
        for counter, field, text in _COUNTERS:
            family = CounterMetricFamily(f"streamguard_query_{counter}", text, labels=_QUERY)
            for name, stats in found.items():
                family.add_metric((name,), getattr(stats, field))
            yield family
        yield from _details(found)


def _details(found: dict[str, QueryStats]) -> Iterator[Metric]:
    skipped = CounterMetricFamily(
        "streamguard_query_skipped", "Records that were left out, by reason.", labels=("query", "reason")
    )
    lag = GaugeMetricFamily(
        "streamguard_query_lag_records", "Offsets that a query is behind.", labels=("query", "topic", "partition")
    )
    last = GaugeMetricFamily(
        "streamguard_query_last_event_timestamp_seconds",
        "The time of the record that a query last read.",
        labels=_QUERY,
    )
    for name, stats in found.items():
        for reason, count in sorted(stats.skipped.items()):
            skipped.add_metric((name, str(reason)), count)
        if stats.last_message_ms is not None:
            last.add_metric((name,), stats.last_message_ms / 1000)
        for topic, partitions in sorted(stats.offsets.items()):
            for one in partitions:
                lag.add_metric((name, topic, str(one.partition)), max(0, one.log_end - one.committed))
    yield from (skipped, lag, last)


def serve(runtime: Runtime, host: str, port: int, ready: Readiness) -> ThreadingHTTPServer:
    """Serve `/metrics`, `/healthz` and `/readyz` on a thread until the process ends. Raises OSError."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    registry.register(QueryMetrics(runtime))
    return start(port, host, registry, ready)

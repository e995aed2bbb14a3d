"""The figures of the queries for Prometheus, on a listener of their own: `--metrics HOST:PORT`.

Names: https://prometheus.io/docs/practices/naming/. Labels are query ids, topics, partitions and the reasons of
`streamguard_ksql.operators.base.Skip`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from streamguard_ksql.runtime.api import QueryStats, Runtime
from streamguard_ksql.server.probes import Readiness, start

log = logging.getLogger("streamguard_ksql.server")

_QUERY = ("query",)
STATES = ("RUNNING", "PAUSED", "ERROR")
_COUNTERS = (
    ("records_in", "consumed", "Records read."),
    ("bytes_in", "consumed_bytes", "Bytes read."),
    ("records_out", "produced", "Records written."),
    ("errors", "errors", "Failures, after which a query starts again or ends."),
)

_GAUGES = (
    ("state_entries", "state_entries", "Entries of its state."),
    ("state_bytes", "state_bytes", "Memory that its state takes, estimated."),
    ("commit_age_seconds", "uncommitted_s", "How long the oldest record that it has read waits to be committed."),
    ("event_lag_seconds", "event_lag_s", "From the time of the record that it last read to its reading."),
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
        found = self._runtime.all_stats()
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
        for gauge, field, text in _GAUGES:
            measured = GaugeMetricFamily(f"streamguard_query_{gauge}", text, labels=_QUERY)
            for name, stats in found.items():
                if (value := getattr(stats, field)) is not None:
                    measured.add_metric((name,), value)
            yield measured
        yield from _details(found)


def _details(found: Mapping[str, QueryStats]) -> Iterator[Metric]:
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


class Served:
    """Metrics and probes on a thread, and the file that tells Prometheus where; it goes on without what cannot be had."""

    def __init__(self, runtime: Runtime, host: str, port: int, ready: Readiness, file: Path | None = None) -> None:
        self._file = file
        self.port = 0
        """Where it listens; 0 where it does not."""
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        registry.register(QueryMetrics(runtime))
        for number in dict.fromkeys((port, 0)):
            try:
                server = start(number, host, registry, ready)
            except OSError as error:
                log.warning("metrics cannot be served on port %d of %s: %s", number, host, error.strerror or error)
                continue
            self.port = server.server_port
            log.info("metrics on http://%s:%d/metrics", _bracketed(host), self.port)
            self._tell(host)
            return

    def _tell(self, host: str) -> None:
        """https://prometheus.io/docs/prometheus/latest/configuration/configuration/#file_sd_config"""
        if self._file is None:
            return
        targets = [{"targets": [f"{_bracketed(host)}:{self.port}"], "labels": {"part": "ksqldb"}}]
        being_written = self._file.with_suffix(".tmp")
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            being_written.write_text(json.dumps(targets) + "\n", encoding="utf-8")
            being_written.replace(self._file)
        except OSError as error:
            log.warning("%s cannot be written (%s): Prometheus does not find the metrics", self._file, error.strerror)

    def close(self) -> None:
        """Take the file away, unless another process has written it since."""
        with suppress(OSError):
            if self._file is not None and f':{self.port}"' in self._file.read_text(encoding="utf-8"):
                self._file.unlink()


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host

"""What a sink counts: the records that it has, and when it got the last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

_PREFIX = "streamguard_sink"


class SinkMetrics:
    """Counters of one sink; `name` is its kind, such as jsonl."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._records: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._written_at_s = 0.0
        self._behind: dict[str, int] = {}
        self._outages = 0
        self._is_available = True
        self._unready: str | None = "it is starting"

    def ready(self) -> str | None:
        """Why no record is stored now; None where those that come are."""
        return self._unready

    @property
    def total(self) -> int:
        """The records of all topics that the sink has stored."""
        return self._records.total()

    def connected(self) -> bool:
        """Note that Kafka and the destination answer; whether the destination was unavailable.

        One that took nothing stays unavailable until it has a record, where there are any: it may answer with its disk full.
        """
        return (self._is_available or not any(self._behind.values())) and self._available()

    def behind(self, records: Mapping[str, int]) -> None:
        """Note how many records of each topic the sink does not have yet."""
        self._behind = dict(records)

    def written(self, sizes: Iterable[tuple[str, int]], now_s: float) -> bool:
        """Count records that the sink has: topic and bytes of each. Whether the destination was unavailable."""
        for topic, size in sizes:
            self._records[topic] += 1
            self._bytes[topic] += size
        self._written_at_s = now_s
        return self._available()

    def outage(self) -> None:
        """Count a time that Kafka was not there; it is tried again."""
        self._outages += 1
        self._unready = "Kafka is unavailable"

    def unavailable(self, why: str) -> bool:
        """Note that the destination takes nothing; whether that is new, and counts as an outage."""
        is_new, self._is_available = self._is_available, False
        self._outages += is_new
        self._unready = why
        return is_new

    def _available(self) -> bool:
        was_available = self._is_available
        self._unready, self._is_available = None, True
        return not was_available

    def describe(self) -> Iterable[Metric]:
        """Nothing: the names are those of `collect`."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """As prometheus-client asks for it."""
        for name, text, counts in (
            ("records_written", "Records that the sink has stored.", self._records),
            ("written_bytes", "Bytes of their keys and values.", self._bytes),
        ):
            family = CounterMetricFamily(f"{_PREFIX}_{name}", text, labels=["sink", "topic"])
            for topic, count in sorted(counts.items()):
                family.add_metric([self._name, topic], count)
            yield family
        yield self._one(
            CounterMetricFamily, "outages", "Times that Kafka or the destination was not there.", self._outages
        )
        behind = GaugeMetricFamily(
            f"{_PREFIX}_lag_records", "Offsets that the sink is behind.", labels=["sink", "topic"]
        )
        for topic, count in sorted(self._behind.items()):
            behind.add_metric([self._name, topic], count)
        yield behind
        yield self._one(
            GaugeMetricFamily, "destination_up", "Whether the destination takes records.", float(self._is_available)
        )
        yield self._one(
            GaugeMetricFamily,
            "last_written_timestamp_seconds",
            "When a record was last stored; 0 before the first.",
            self._written_at_s,
        )

    def _one(
        self, kind: type[CounterMetricFamily] | type[GaugeMetricFamily], name: str, text: str, value: float
    ) -> Metric:
        family = kind(f"{_PREFIX}_{name}", text, labels=["sink"])
        family.add_metric([self._name], value)
        return family

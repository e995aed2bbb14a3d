"""What the consumer counts: what it stored, decided and refused, and how long that took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from streamguard.metrics.latency import Latency
from streamguard.models import Transaction

OTHER = "other"
_BATCH_RECORDS = (1, 5, 10, 50, 100, 500, 1_000, 5_000, 10_000)
_BEGINNINGS = {
    "the record batch is corrupt": "corrupt batch",
    "the record has no key": "key",
    "the key ": "key",
    "transaction_id ": "repeated id",
    "the database rejects it": "rejected by the database",
    "not JSON": "no JSON",
    "not a JSON object": "no JSON",
    "the value is ": "no JSON",
}
"""How reasons begin that are not about a field."""


def kind_of(reason: str) -> str:
    """A dead letter's reason as a label: the field it is about, or one of a few kinds; never a value of the record."""
    begin = reason.partition(":")[0]
    if begin in Transaction.model_fields:
        return begin
    return next((kind for text, kind in _BEGINNINGS.items() if reason.startswith(text)), OTHER)


class ConsumerMetrics:
    """Counters of one member of the group. `rules` are the names that may be labels; any other counts as `other`."""

    def __init__(self, rules: Collection[str]) -> None:
        self._rules = frozenset(rules)
        self._stored: Counter[str] = Counter({"transaction": 0, "alert": 0})
        self._dead: Counter[tuple[str, str]] = Counter()
        self._decided: Counter[tuple[str, str]] = Counter()
        self._outages = 0
        self._stored_at_s = 0.0
        prefix = "streamguard_consumer"
        self._batch_records = Latency(f"{prefix}_batch_records", "Records of each batch.", _BATCH_RECORDS)
        self._batch_seconds = Latency(f"{prefix}_batch_seconds", "From a decoded batch to its commit.")
        self._to_row = Latency(f"{prefix}_event_to_row_seconds", "From a transaction's event time to its row.")
        self._to_decision = Latency(
            f"{prefix}_event_to_decision_seconds", "From the event time of an alert's transaction to its decision."
        )

    def batch(self, records: int, seconds: float) -> None:
        """Count a batch that was stored."""
        self._batch_records.add((records,))
        self._batch_seconds.add((seconds,))

    def stored(self, transactions: int, alerts: int, event_times_ms: Iterable[int], now_s: float) -> None:
        """Count what has become rows, at `now_s` (epoch seconds)."""
        self._stored["transaction"] += transactions
        self._stored["alert"] += alerts
        if transactions or alerts:
            self._stored_at_s = now_s
        self._to_row.add([now_s - at_ms / 1000 for at_ms in event_times_ms])

    def dead(self, topic: str, reason: str) -> None:
        """Count a dead letter."""
        self._dead[topic, kind_of(reason)] += 1

    def decided(self, rule: str, outcome: str, event_time_s: float | None, now_s: float) -> None:
        """Count a decision; `event_time_s` is that of the alert's transaction, None without one."""
        self._decided[rule if rule in self._rules else OTHER, outcome] += 1
        if event_time_s is not None:
            self._to_decision.add((now_s - event_time_s,))

    def refused(self, versions: int) -> None:
        """Count versions of alerts whose transaction was refused."""
        self._decided[OTHER, "refused"] += versions

    def outage(self) -> None:
        """Count a time that Kafka or the database was not there."""
        self._outages += 1

    def collect(self) -> Iterator[Metric]:
        """All of them, as prometheus-client asks for them."""
        prefix = "streamguard_consumer"
        stored = CounterMetricFamily(f"{prefix}_records_stored", "Records that became rows, by kind.", labels=["kind"])
        for kind, count in self._stored.items():
            stored.add_metric([kind], count)
        yield stored
        dead = CounterMetricFamily(
            f"{prefix}_dead_letters", "Records that could not be used, by kind of reason.", labels=["topic", "reason"]
        )
        for labels, count in sorted(self._dead.items()):
            dead.add_metric(labels, count)
        yield dead
        decided = CounterMetricFamily(
            f"{prefix}_decisions", "Versions of alerts decided, by rule and outcome.", labels=["rule", "outcome"]
        )
        for labels, count in sorted(self._decided.items()):
            decided.add_metric(labels, count)
        yield decided
        yield CounterMetricFamily(f"{prefix}_outages", "Times that Kafka or the database was not there.", self._outages)
        yield GaugeMetricFamily(
            f"{prefix}_last_stored_timestamp_seconds",
            "When a record last became a row; 0 before the first.",
            self._stored_at_s,
        )
        for latency in (self._batch_records, self._batch_seconds, self._to_row, self._to_decision):
            yield latency.family()

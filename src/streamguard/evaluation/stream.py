"""The scorecard: which kinds of injected fraud the rules found, how fast, and which honest habits they mistook for it.

The truth is in the headers of `transactions` (label, lookalike, incident), which no rule may read; the verdicts are the
records of `fraud_alerts`. An alert covers the transaction it names, and those of its account inside its window.

    caught        incidents of which at least one transaction is covered
    recall        caught / incidents
    delay         from the first transaction of a caught incident to the earliest alert on it, in event time
    false alerts  alerts that cover no fraudulent transaction, counted under the look-alike they cover, if any
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import orjson

from streamguard.config import Settings
from streamguard.kafka.topic_reader import TopicReader
from streamguard.models import BadRecord, FraudAlert
from streamguard.producer.errors import InputError
from streamguard.producer.record import Record


@dataclass
class KindScore:
    """What became of one kind of fraud. Delays are milliseconds of event time."""

    transactions: int = 0
    covered: int = 0
    incidents: int = 0
    caught: int = 0
    delays_ms: list[int] = field(default_factory=list)

    @property
    def recall(self) -> float:
        return self.caught / self.incidents if self.incidents else 0.0

    @property
    def median_delay_ms(self) -> float | None:
        return median(self.delays_ms) if self.delays_ms else None


@dataclass
class _Incident:
    kind: str
    first_ms: int
    alerted_ms: int | None = None


class Evaluation:
    """Takes all alerts first, then the transactions in any order; `scores` and `false_alerts` are the result."""

    def __init__(self, alerts: Iterable[FraudAlert]) -> None:
        # A later state of an incident replaces the earlier one, but it was raised when the first was.
        self._alerts: dict[str, FraudAlert] = {}
        self._raised_ms: dict[str, int] = {}
        for alert in alerts:
            self._alerts[alert.alert_id] = alert
            raised_ms = self._raised_ms.get(alert.alert_id, alert.detected_at)
            self._raised_ms[alert.alert_id] = min(raised_ms, alert.detected_at)
        self._by_transaction: defaultdict[str, list[str]] = defaultdict(list)
        self._windows: defaultdict[str, list[tuple[int, int, str]]] = defaultdict(list)
        for alert_id, alert in self._alerts.items():
            if alert.transaction_id:
                self._by_transaction[alert.transaction_id].append(alert_id)
            if alert.window_start is not None and alert.window_end is not None:
                self._windows[alert.account_id].append((alert.window_start, alert.window_end, alert_id))
        for windows in self._windows.values():
            windows.sort()
        self._longest_ms = max((end - start for w in self._windows.values() for start, end, _ in w), default=0)
        self._true: set[str] = set()
        self._mistaken_for: dict[str, str] = {}
        self._incidents: dict[str, _Incident] = {}
        self._kinds: defaultdict[str, KindScore] = defaultdict(KindScore)
        self._honest: defaultdict[str, set[str]] = defaultdict(set)
        self.transactions = 0

    def add(self, record: Record) -> None:
        """Count one transaction."""
        self.transactions += 1
        alerts = list(self._covering(record)) if self._alerts else []
        if record.label:
            self._add_fraud(record, alerts)
        else:
            if record.lookalike:
                self._honest[record.lookalike].add(record.incident or f"{record.key!r}@{record.event_time}")
            for alert_id in alerts:
                if record.lookalike or alert_id not in self._mistaken_for:
                    self._mistaken_for[alert_id] = record.lookalike or "ordinary"

    def _add_fraud(self, record: Record, alerts: list[str]) -> None:
        score = self._kinds[record.label]
        score.transactions += 1
        score.covered += bool(alerts)
        self._true.update(alerts)
        # Recorded data names no incidents; there each transaction is one.
        key = record.incident or f"{record.key!r}@{record.event_time}"
        incident = self._incidents.setdefault(key, _Incident(record.label, record.event_time))
        incident.first_ms = min(incident.first_ms, record.event_time)
        for alert_id in alerts:
            raised_ms = self._raised_ms[alert_id]
            if incident.alerted_ms is None or raised_ms < incident.alerted_ms:
                incident.alerted_ms = raised_ms

    def _covering(self, record: Record) -> Iterator[str]:
        """The alerts that cover a transaction."""
        named = self._by_transaction.get(_transaction_id(record), []) if self._by_transaction else []
        yield from named
        windows = self._windows.get(record.key.decode("utf-8", "replace"), [])
        last = bisect_right(windows, (record.event_time, 2**63, ""))
        for start, end, alert_id in reversed(windows[:last]):
            if record.event_time - start > self._longest_ms:
                return
            if record.event_time < end and alert_id not in named:
                yield alert_id

    @property
    def scores(self) -> dict[str, KindScore]:
        """The score of each kind of fraud that came up, in the order of their names."""
        scores = {kind: KindScore(score.transactions, score.covered) for kind, score in sorted(self._kinds.items())}
        for incident in self._incidents.values():
            score = scores[incident.kind]
            score.incidents += 1
            if incident.alerted_ms is not None:
                score.caught += 1
                score.delays_ms.append(max(0, incident.alerted_ms - incident.first_ms))
        return scores

    @property
    def false_alerts(self) -> Counter[str]:
        """Alerts without a fraudulent transaction, by what they were raised on; `unknown` where that was not read."""
        return Counter(
            self._mistaken_for.get(alert_id, "unknown") for alert_id in self._alerts if alert_id not in self._true
        )

    @property
    def lookalikes(self) -> dict[str, int]:
        """How many stories of each kind of look-alike there were, alerted on or not."""
        return {kind: len(stories) for kind, stories in sorted(self._honest.items())}

    def lines(self) -> list[str]:
        """The scorecard as a person reads it."""
        lines = [f"{self.transactions:,} transactions, {len(self._alerts):,} alerts"]
        lines.append(f"{'kind of fraud':<22}{'incidents':>10}{'caught':>8}{'recall':>9}{'median delay':>14}")
        for kind, score in self.scores.items():
            delay = "-" if score.median_delay_ms is None else f"{score.median_delay_ms / 1000:,.1f} s"
            lines.append(f"{kind:<22}{score.incidents:>10,}{score.caught:>8,}{100 * score.recall:>7.1f} %{delay:>14}")
        lines.append(f"{'false alerts on':<22}{'incidents':>10}{'alerts':>8}")
        false_alerts, lookalikes = self.false_alerts, self.lookalikes
        lines.extend(f"{kind:<22}{count:>10,}{false_alerts[kind]:>8,}" for kind, count in lookalikes.items())
        others = (item for item in false_alerts.most_common() if item[0] not in lookalikes)
        lines.extend(f"{kind:<22}{'-':>10}{count:>8,}" for kind, count in others)
        return lines

    def to_json(self) -> dict[str, Any]:
        """The scorecard for a machine."""
        kinds = {
            kind: {
                "transactions": score.transactions,
                "covered": score.covered,
                "incidents": score.incidents,
                "caught": score.caught,
                "recall": score.recall,
                "median_delay_ms": score.median_delay_ms,
            }
            for kind, score in self.scores.items()
        }
        result: dict[str, Any] = {"transactions": self.transactions, "alerts": len(self._alerts), "kinds": kinds}
        result["lookalikes"] = self.lookalikes
        return {**result, "false_alerts": dict(self.false_alerts)}


def _transaction_id(record: Record) -> str:
    try:
        return str(orjson.loads(record.value or b"")["transaction_id"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return ""


def evaluate_topics(settings: Settings) -> Evaluation:
    """The scorecard of what is in the topics now.

    Raises InputError if there is nothing to score, TopicNotRead and KafkaError where a topic cannot be read.
    """
    alerts = []
    for item in TopicReader(settings.kafka, settings.alerts_topic):
        try:
            alerts.append(FraudAlert.from_record(item.value, item.key))
        except BadRecord:
            continue
    evaluation = Evaluation(alerts)
    for item in TopicReader(settings.kafka, settings.transactions_topic):
        headers = {name: value.decode() for name, value in item.headers}
        event_time = _event_time(item.value)
        if event_time is not None and not headers.get("defect"):
            marks = (headers.get(name, "") for name in ("label", "lookalike", "incident"))
            evaluation.add(Record(item.key or b"", item.value, event_time, *marks))
    if not evaluation.transactions:
        raise InputError(f"topic {settings.transactions_topic} has no transactions to score")
    return evaluation


def _event_time(value: bytes | None) -> int | None:
    try:
        event_time = orjson.loads(value or b"")["event_time"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    return event_time if isinstance(event_time, int) else None

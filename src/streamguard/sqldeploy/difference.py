"""The alerts of the rules that run beside those of their shadow, on the transactions that both have read.

Both sides are read from their topics, as the rules have raised them: of each alert the newest version whose transaction lies
before the offsets that both were waited for. Of a rule that was replaced the alerts of the one that runs are meant.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from streamguard.config import Settings
from streamguard.kafka.topic_reader import TopicReader
from streamguard.models import BadRecord, FraudAlert
from streamguard.privacy.protection import Protection
from streamguard.sqldeploy.shadow import SHADOW_TOPIC

_AT_ONCE = 10_000

_PLACES = """
SELECT transaction_id, source_partition AS partition, source_offset AS offset_no FROM transactions
WHERE transaction_id = ANY(:ids)
UNION ALL
SELECT transaction_id, source_partition, source_offset FROM dead_letters
WHERE transaction_id = ANY(:ids) AND source_topic = :topic
"""

Offsets = Mapping[int, int]


@dataclass(frozen=True)
class RuleDifference:
    """One rule: its alerts on both sides, how many are only in the shadow (gained), only live (lost), or others (changed)."""

    rule: str
    live: int
    shadow: int
    gained: list[FraudAlert]
    lost: list[FraudAlert]
    changed: list[tuple[FraudAlert, FraudAlert]]


@dataclass(frozen=True)
class Difference:
    """All rules of the shadow; `unplaced` alerts are left out, for their transaction is not stored yet."""

    rules: list[RuleDifference]
    transactions: int
    unplaced: int


def difference(
    connection: Connection,
    settings: Settings,
    protection: Protection,
    rules: Collection[str],
    read: Offsets,
    written_from: Mapping[str, Offsets],
    since_ms: int = 0,
) -> Difference:
    """Compare the alerts of `rules` on the transactions before the offsets `read`, detected at `since_ms` or later.

    `written_from` has the first offsets of live alerts that count, by rule. Raises TopicNotRead, KafkaError.
    """
    live = _alerts(settings, settings.alerts_topic, protection, rules, written_from)
    shadow = _alerts(settings, SHADOW_TOPIC, protection, rules, {})
    versions = [alert for side in (live, shadow) for alert in side]
    before, unplaced = _before(connection, settings.transactions_topic, versions, read)
    ours, theirs = (_newest(alert for alert in side if alert.transaction_id in before) for side in (live, shadow))
    found = [_of_rule(rule, ours, theirs, since_ms) for rule in sorted(rules)]
    return Difference(found, sum(read.values()), unplaced)


def _alerts(
    settings: Settings,
    topic: str,
    protection: Protection,
    rules: Collection[str],
    written_from: Mapping[str, Offsets],
) -> list[FraudAlert]:
    """The alerts of some rules in a topic, protected as they are stored, in its order. What is none is a dead letter."""
    found = []
    for record in TopicReader(settings.kafka, topic):
        try:
            alert = FraudAlert.from_record(record.value, record.key)
        except BadRecord:
            continue
        if alert.rule in rules and record.offset >= written_from.get(alert.rule, {}).get(record.partition, 0):
            found.append(protection.alert(alert) if protection.active else alert)
    return found


def _before(
    connection: Connection, topic: str, alerts: Iterable[FraudAlert], read: Offsets
) -> tuple[set[str | None], int]:
    """The transactions of alerts that lie before offsets, and how many are neither stored nor refused yet."""
    ids = sorted({alert.transaction_id for alert in alerts if alert.transaction_id is not None})
    before: set[str | None] = {None}
    placed: set[str] = set()
    for first in range(0, len(ids), _AT_ONCE):
        rows: Any = connection.execute(text(_PLACES), {"ids": ids[first : first + _AT_ONCE], "topic": topic})
        for row in rows:
            placed.add(row.transaction_id)
            if row.offset_no < read.get(row.partition, 0):
                before.add(row.transaction_id)
    return before, len(ids) - len(placed)


def _newest(alerts: Iterable[FraudAlert]) -> dict[str, FraudAlert]:
    """Of each alert the version with the most transactions; of two with as many, the later one."""
    newest: dict[str, FraudAlert] = {}
    for alert in alerts:
        known = newest.get(alert.alert_id)
        if known is None or (alert.tx_count or 0) >= (known.tx_count or 0):
            newest[alert.alert_id] = alert
    return newest


def _of_rule(
    rule: str, live: Mapping[str, FraudAlert], shadow: Mapping[str, FraudAlert], since_ms: int
) -> RuleDifference:
    ours, theirs = (
        {key: alert for key, alert in side.items() if alert.rule == rule and alert.detected_at >= since_ms}
        for side in (live, shadow)
    )
    both = sorted(ours.keys() & theirs.keys())
    return RuleDifference(
        rule,
        len(ours),
        len(theirs),
        [theirs[key] for key in sorted(theirs.keys() - ours.keys())],
        [ours[key] for key in sorted(ours.keys() - theirs.keys())],
        [(ours[key], theirs[key]) for key in both if _facts(ours[key]) != _facts(theirs[key])],
    )


def _facts(alert: FraudAlert) -> tuple[Any, ...]:
    return (alert.amount, alert.tx_count, alert.window_start, alert.window_end)

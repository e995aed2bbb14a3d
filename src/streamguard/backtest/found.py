"""What a side finds: its alerts, each in its last version within the range, and the transactions that they cover."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import sha256
from typing import Any, NamedTuple

import orjson

from streamguard.evaluation.accounts import Kept
from streamguard.models import FraudAlert
from streamguard.rules import Decision
from streamguard.rules.decide import ACTIVE

_DIGITS = 256


class Place(NamedTuple):
    """Where a record is in its topic."""

    partition: int
    offset: int


class Covered(NamedTuple):
    """A transaction of an alert; `event_time` is epoch milliseconds."""

    partition: int
    offset: int
    transaction_id: str
    amount: Decimal
    currency: str
    merchant_id: str | None
    event_time: int


@dataclass(slots=True)
class Found:
    """An alert in its last version. Times are epoch milliseconds; `place` is that of its transaction, None without one."""

    alert_id: str
    rule: str
    account_id: str
    tx_count: int
    amount: Decimal | None
    window_start: int | None
    window_end: int | None
    detected_at: int
    outcome: str
    score: int
    reason: str
    mode: str
    event_time: int
    place: Place | None
    transactions: tuple[Covered, ...] = ()
    is_fraud: bool = False
    """Whether it covers a transaction that is labelled as fraud."""

    @property
    def compared(self) -> tuple[object, ...]:
        """What makes two versions of an alert different."""
        return (
            *(self.rule, self.tx_count, self.amount, self.window_start, self.window_end),
            *(self.outcome, self.score, self.mode),
        )

    @property
    def is_flagged(self) -> bool:
        """Whether it counts as fraud: raised by an active rule, and not dismissed."""
        return self.mode == ACTIVE and self.outcome != "dismiss"


@dataclass
class SideFound:
    """What one side has found; those of several processes are added up."""

    alerts: dict[str, Found] = field(default_factory=dict)
    caught: Counter[str] = field(default_factory=Counter)
    """Frauds of the range that the alerts of a rule cover; under `together` those that flagged alerts cover."""
    caught_amounts: dict[str, Decimal] = field(default_factory=dict)
    """By currency, the amounts of the frauds of the range that flagged alerts cover."""
    digest: int = 0
    """Of all versions of the range, whatever their order."""
    versions: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """Alerts that the consumer refuses, by reason."""
    ended: dict[str, str] = field(default_factory=dict)
    """Queries that ended, with the reason."""
    skipped: Counter[str] = field(default_factory=Counter)
    """What queries left out, by `QUERY: reason`."""

    def add(self, other: SideFound) -> None:
        """Take up what another process has found."""
        for alert_id, found in other.alerts.items():
            mine = self.alerts.get(alert_id)
            if mine is None or (mine.tx_count, mine.event_time) < (found.tx_count, found.event_time):
                self.alerts[alert_id] = found
        self.caught += other.caught
        for currency, amount in other.caught_amounts.items():
            self.caught_amounts[currency] = self.caught_amounts.get(currency, Decimal(0)) + amount
        self.digest = (self.digest + other.digest) % 2**_DIGITS
        self.versions += other.versions
        self.refused += other.refused
        self.ended |= other.ended
        self.skipped += other.skipped

    def note(self, found: Found) -> None:
        """Take up a version of the range."""
        parts = [*found.compared, found.alert_id, found.account_id, found.detected_at, found.reason, found.place]
        digest = sha256(orjson.dumps([str(part) for part in parts])).digest()
        self.digest = (self.digest + int.from_bytes(digest, "big")) % 2**_DIGITS
        self.versions += 1
        mine = self.alerts.get(found.alert_id)
        if mine is None or mine.tx_count <= found.tx_count:
            self.alerts[found.alert_id] = found


def found_of(
    alert: FraudAlert, decision: Decision, modes: Mapping[str, str], event_time: int, place: Place | None
) -> Found:
    """A version of an alert with the decision on it."""
    return Found(
        alert.alert_id,
        alert.rule,
        alert.account_id,
        alert.tx_count or 0,
        alert.amount,
        alert.window_start,
        alert.window_end,
        alert.detected_at,
        decision.outcome,
        decision.score,
        decision.reason,
        modes.get(alert.rule, ACTIVE),
        event_time,
        place,
    )


def covered(kept: Iterable[Kept]) -> tuple[Covered, ...]:
    """Transactions as they are shown, by their places."""
    found = []
    for one in kept:
        seen = one.seen()
        at_ms = round(seen.event_time.timestamp() * 1000)
        found.append(
            Covered(one.partition, one.offset, seen.transaction_id, seen.amount, seen.currency, seen.merchant_id, at_ms)
        )
    return tuple(sorted(found))


def json_of(found: Found) -> dict[str, Any]:
    """A side of an alert as the result has it, without its transactions."""
    return {
        "tx_count": found.tx_count,
        "amount": None if found.amount is None else str(found.amount),
        "window_start": found.window_start,
        "window_end": found.window_end,
        "detected_at": found.detected_at,
        "outcome": found.outcome,
        "score": found.score,
        "reason": found.reason,
        "mode": found.mode,
        "event_time": found.event_time,
        "partition": None if found.place is None else found.place.partition,
        "offset": None if found.place is None else found.place.offset,
    }

"""The result of a back-test as JSON: no clock and no host in it, so that the same inputs give the same bytes.

Amounts are texts, times epoch milliseconds, shares between 0 and 1 or null where nothing is known.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from importlib.metadata import version
from typing import Any

from streamguard.backtest.found import Found, SideFound, json_of
from streamguard.backtest.plan import Plan
from streamguard.backtest.run import TOGETHER, Outcome
from streamguard.backtest.sides import CHANGED, GAINED, KINDS, LOST, A, B
from streamguard.rules.catalogue import catalogue

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def encode(result: Mapping[str, Any]) -> str:
    """The bytes that are kept, as text."""
    return json.dumps(result, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def result_of(plan: Plan, outcome: Outcome, resolved: Mapping[str, bool], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that is kept of a back-test.

    `resolved` has what analysts made of alerts, true where they confirmed one; `inputs` is shown as it is.
    """
    differing = differences(outcome)
    truth = Truth(outcome, resolved)
    return {
        **inputs,
        "program": {"version": version("streamguard"), "rules": {rule.name: rule.version for rule in catalogue()}},
        "read": {
            "transactions": outcome.read,
            "in_range": outcome.transactions,
            "left_out": dict(outcome.left_out),
            "first": outcome.first_ms,
            "last": outcome.last_ms,
        },
        "labels": {"fraud": outcome.frauds[True], "honest": outcome.frauds[False], "resolved": len(resolved)},
        "unchanged": list(plan.unchanged),
        "rules": {name: _rule(name, outcome, differing, truth) for name in plan.run},
        "days": _days(outcome, differing),
        "sides": {name: _side(side, truth) for name, side in outcome.sides.items()},
        "together": _counts(differing) | _touched(differing),
        "alerts": {kind: [_alert(*pair) for pair in pairs] for kind, pairs in differing.items()},
    }


Pair = tuple[Found | None, Found | None]


def differences(outcome: Outcome) -> dict[str, list[Pair]]:
    """The alerts on which the sides differ, by kind, in the order of their ids: as A has them, as B has them."""
    a, b = (outcome.sides[name].alerts for name in (A, B))
    pairs = [(a.get(alert_id), b.get(alert_id)) for alert_id in sorted(a.keys() | b.keys())]
    return {
        GAINED: [pair for pair in pairs if pair[0] is None],
        LOST: [pair for pair in pairs if pair[1] is None],
        CHANGED: [(x, y) for x, y in pairs if x is not None and y is not None and x.compared != y.compared],
    }


class Truth:
    """What is known of alerts: analysts' word first, then the labels of the transactions that they cover."""

    def __init__(self, outcome: Outcome, resolved: Mapping[str, bool]) -> None:
        self._resolved = resolved
        self._labelled = bool(outcome.frauds)
        self._frauds = outcome.frauds[True]

    def of(self, found: Found) -> bool | None:
        """Whether an alert is right; None where nobody knows."""
        known = self._resolved.get(found.alert_id)
        return found.is_fraud if known is None and self._labelled else known

    def shares(self, alerts: Iterable[Found], caught: int) -> dict[str, float | None]:
        """Precision over the alerts of which something is known, and the share of the labelled frauds that they cover."""
        known = [right for found in alerts if (right := self.of(found)) is not None]
        return {
            "precision": round(sum(known) / len(known), 6) if known else None,
            "recall": round(caught / self._frauds, 6) if self._frauds else None,
        }


def _rule(name: str, outcome: Outcome, differing: Mapping[str, list[Pair]], truth: Truth) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for side, of in outcome.sides.items():
        alerts = [alert for alert in of.alerts.values() if alert.rule == name]
        found[side] = {"alerts": len(alerts), "frauds": of.caught[name], **truth.shares(alerts, of.caught[name])}
    mine = {kind: [pair for pair in pairs if _either(pair).rule == name] for kind, pairs in differing.items()}
    return {**found, **_counts(mine)}


def _side(side: SideFound, truth: Truth) -> dict[str, Any]:
    flagged = [found for found in side.alerts.values() if found.is_flagged]
    return {
        "alerts": len(side.alerts),
        "versions": side.versions,
        "digest": f"{side.digest:064x}",
        "outcomes": dict(Counter(found.outcome for found in side.alerts.values())),
        "flagged": len(flagged),
        "frauds": side.caught[TOGETHER],
        "fraud_amounts": {currency: f"{amount.normalize():f}" for currency, amount in side.caught_amounts.items()},
        **truth.shares(flagged, side.caught[TOGETHER]),
        "ended": dict(side.ended),
        "refused": dict(side.refused),
        "skipped": dict(side.skipped),
    }


def _counts(differing: Mapping[str, list[Pair]]) -> dict[str, int]:
    return {kind: len(pairs) for kind, pairs in differing.items()}


def _touched(differing: Mapping[str, list[Pair]]) -> dict[str, Any]:
    """The accounts and the money, by currency, of the transactions that the differing alerts cover."""
    accounts = set()
    money: dict[tuple[int, int], tuple[str, Decimal]] = {}
    for pair in (pair for pairs in differing.values() for pair in pairs):
        for found in pair:
            if found is not None:
                accounts.add(found.account_id)
                money |= {(t.partition, t.offset): (t.currency, t.amount) for t in found.transactions}
    sums: defaultdict[str, Decimal] = defaultdict(Decimal)
    for currency, amount in money.values():
        sums[currency] += amount
    return {
        "accounts": len(accounts),
        "transactions": len(money),
        "money": {currency: f"{amount.normalize():f}" for currency, amount in sums.items()},
    }


def _days(outcome: Outcome, differing: Mapping[str, list[Pair]]) -> dict[str, dict[str, int]]:
    days: defaultdict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys((A, B, *KINDS), 0))
    for name, side in outcome.sides.items():
        for found in side.alerts.values():
            days[day_of(found.event_time)][name] += 1
    for kind, pairs in differing.items():
        for pair in pairs:
            days[day_of(_either(pair).event_time)][kind] += 1
    return dict(days)


def _either(pair: Pair) -> Found:
    """The alert as B has it, or as A has it."""
    found = pair[1] or pair[0]
    assert found is not None
    return found


def _alert(a: Found | None, b: Found | None) -> dict[str, Any]:
    either = _either((a, b))
    return {
        "alert_id": either.alert_id,
        "rule": either.rule,
        "account_id": either.account_id,
        A: None if a is None else json_of(a),
        B: None if b is None else json_of(b),
        "transactions": {
            name: [] if found is None else [{**t._asdict(), "amount": str(t.amount)} for t in found.transactions]
            for name, found in ((A, a), (B, b))
        },
    }


def day_of(event_time: int) -> str:
    """The day, UTC, of epoch milliseconds."""
    return (_EPOCH + timedelta(milliseconds=event_time)).date().isoformat()

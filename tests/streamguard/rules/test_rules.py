"""Every Python rule by table: hits, misses, the exact limit, late and out-of-order events, missing fields.

A case is: the transaction, the earlier transactions as (minutes before, changes), what else is known, then the points
expected and a part of the reason (empty: it abstains). A case of a rule that reads the alert is: changes to the alert,
points, reason.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from streamguard.rules import REGISTRY, Alert, Context, Listed, StoredTransaction, decide
from streamguard.rules.base import rule

NOON = datetime(2025, 11, 21, 15, 0, tzinfo=timezone.utc)
"""Noon in Sao Paulo."""
TRANSACTION = StoredTransaction("t", Decimal(100), "BRL", "M1", "grocery", "BR", -46.6, "D1", "10.0.0.1", NOON)
ALERT = Alert("HIGH_AMOUNT:t", "HIGH_AMOUNT", "A", 1, Decimal(100), NOON, NOON, NOON)
USUAL: list[tuple[int, dict[str, Any]]] = [(1_440 * day, {}) for day in range(1, 7)]
TESTS: list[tuple[int, dict[str, Any]]] = [(10 * n, {"amount": Decimal(n)}) for n in (1, 2, 3)]
ENTRY = Listed("account", "A", "said so")


def days_ago(days: int) -> datetime:
    return NOON - timedelta(days=days)


Case = tuple[str, dict[str, Any], list[tuple[int, dict[str, Any]]], dict[str, Any], int, str]
CASES: list[Case] = [
    ("blacklist", {}, [], {}, 0, ""),
    ("blacklist", {}, [], {"listed": (ENTRY,)}, 100, "account A is blacklisted: said so"),
    ("allow_list", {}, [], {}, 0, ""),
    ("allow_list", {}, [], {"allowed": (ENTRY,)}, -50, "account A is allowed: said so"),
    ("usual_amount", {}, USUAL[:4], {}, 10, "4 earlier transactions"),
    ("usual_amount", {}, USUAL[:5], {}, -10, "1.0 times the average of 100.00 over 5 earlier"),
    ("usual_amount", {"amount": Decimal(200)}, USUAL, {}, -10, "2.0 times"),
    ("usual_amount", {"amount": Decimal("200.01")}, USUAL, {}, 0, "2.0 times"),
    ("usual_amount", {"amount": Decimal(500)}, USUAL, {}, 0, "5.0 times"),
    ("usual_amount", {"amount": Decimal("500.01")}, USUAL, {}, 10, "5.0 times the average of 100.00"),
    (
        "usual_amount",
        {"amount": Decimal("9000.0000"), "currency": "JPY"},
        [(at, {"currency": "JPY", "amount": Decimal("1000.5000")}) for at, _ in USUAL],
        {},
        10,
        "9,000 JPY is 9.0 times the average of 1,000 over 6",
    ),
    ("usual_amount", {"currency": "USD"}, USUAL, {}, 10, "little is known"),
    ("known_merchant", {}, USUAL[:2], {}, 0, ""),
    ("known_merchant", {}, USUAL[:3], {}, -10, "known from 3 earlier transactions"),
    ("known_merchant", {"merchant_id": "M2"}, USUAL[:4], {}, 0, ""),
    ("known_merchant", {"merchant_id": "M2"}, USUAL[:5], {}, 5, "merchant M2 is new"),
    ("known_merchant", {"merchant_id": None}, USUAL, {}, 0, ""),
    ("night", {}, [], {}, 0, ""),
    ("night", {"event_time": NOON.replace(hour=3)}, [], {}, 10, "about 00:00 local time"),
    ("night", {"event_time": NOON.replace(hour=2, minute=59)}, [], {}, 0, ""),
    ("night", {"event_time": NOON.replace(hour=7, minute=59)}, [], {}, 10, "about 04:59"),
    ("night", {"event_time": NOON.replace(hour=8)}, [], {}, 0, ""),
    ("night", {"event_time": NOON.replace(hour=3), "longitude": None}, [], {}, 0, ""),
    ("night", {"event_time": NOON.replace(hour=3), "longitude": 36.8}, [], {}, 0, ""),
    ("new_place", {}, USUAL, {}, 0, ""),
    ("new_place", {"country": "NG"}, USUAL, {}, 20, "first transaction in NG; so far in BR"),
    ("new_place", {"country": "NG"}, USUAL[:4], {}, 0, ""),
    ("new_place", {"country": None}, USUAL, {}, 0, ""),
    ("new_place", {"country": "NG"}, [(at, {"country": None}) for at, _ in USUAL], {}, 0, ""),
    ("new_device", {}, USUAL, {}, 0, ""),
    ("new_device", {"device_id": "D2"}, USUAL, {}, 15, "device D2 is new; 1 device known"),
    ("new_device", {"device_id": "D2"}, USUAL[:4], {}, 0, ""),
    ("new_device", {"device_id": None}, USUAL, {}, 0, ""),
    ("new_category", {}, USUAL, {}, 0, ""),
    ("new_category", {"merchant_category": "travel"}, USUAL[:5], {}, 20, "category travel is new; 1 category known"),
    ("new_category", {"merchant_category": "travel"}, USUAL[:4], {}, 0, ""),
    ("new_category", {"merchant_category": None}, USUAL, {}, 0, ""),
    ("new_category", {}, [(at, {"merchant_category": None}) for at, _ in USUAL], {}, 0, ""),
    (
        "new_category",
        {"merchant_category": "fuel"},
        [*USUAL, (5, {"merchant_category": "travel"})],
        {},
        20,
        "fuel is new; 2 categories known",
    ),
    ("card_testing", {"amount": Decimal(500)}, TESTS, {}, 40, "3 transactions of at most 10.00 within 60 minutes"),
    ("card_testing", {"amount": Decimal("499.99")}, TESTS, {}, 0, ""),
    ("card_testing", {"amount": Decimal(500)}, TESTS[:2], {}, 0, ""),
    ("card_testing", {"amount": Decimal(500)}, [*TESTS[:2], (60, {"amount": Decimal(10)})], {}, 40, "3 transactions"),
    ("card_testing", {"amount": Decimal(500)}, [*TESTS[:2], (61, {"amount": Decimal(10)})], {}, 0, ""),
    (
        "card_testing",
        {"amount": Decimal(500), "currency": "KWD"},
        TESTS,
        {},
        40,
        "at most 10.000 within 60 minutes before one of 500.000",
    ),
    ("card_testing", {"amount": Decimal(500)}, [*TESTS[:2], (5, {"amount": Decimal("10.01")})], {}, 0, ""),
    # Stored earlier, yet of a later event time: it does not come before the large one.
    ("card_testing", {"amount": Decimal(500)}, [*TESTS[:2], (-1, {"amount": Decimal(1)})], {}, 0, ""),
    ("card_testing", {"amount": Decimal(500)}, list(reversed(TESTS)), {}, 40, "3 transactions"),
    ("alert_history", {}, [], {}, 0, ""),
    ("alert_history", {}, [], {"confirmed_before": 1, "dismissed_before": 9}, 25, "1 alert of this account"),
    ("alert_history", {}, [], {"dismissed_before": 1}, 0, ""),
    ("alert_history", {}, [], {"dismissed_before": 2}, -15, "2 earlier alerts dismissed"),
]


AlertCase = tuple[str, dict[str, Any], int, str]
ALERT_CASES: list[AlertCase] = [
    ("repeated_anomaly", {}, 0, ""),
    ("repeated_anomaly", {"rule": "UNUSUAL_AMOUNT", "tx_count": 1}, 0, ""),
    ("repeated_anomaly", {"rule": "UNUSUAL_AMOUNT", "tx_count": 2}, 10, "1 unusual amount of this account"),
    ("repeated_anomaly", {"rule": "HIGH_FOR_ACCOUNT", "tx_count": 5}, 40, "4 unusual amounts"),
    ("repeated_anomaly", {"rule": "REPEATED_UNUSUAL", "tx_count": 9}, 40, "8 unusual amounts"),
    # Its tx_count are transactions of any amount.
    ("repeated_anomaly", {"rule": "HIGH_VELOCITY", "tx_count": 5}, 0, ""),
    ("merchant_frauds", {}, 0, ""),
    ("merchant_frauds", {"rule": "COMPROMISED_MERCHANT", "window_start": None}, 0, ""),
    ("merchant_frauds", {"rule": "COMPROMISED_MERCHANT", "window_start": days_ago(8)}, 0, "1 unexplained fraud at"),
    (
        "merchant_frauds",
        {"rule": "COMPROMISED_MERCHANT", "tx_count": 2, "window_start": days_ago(8)},
        55,
        "2 unexplained frauds at this merchant, the first 8 days ago",
    ),
    (
        "merchant_frauds",
        {"rule": "COMPROMISED_MERCHANT", "tx_count": 9, "window_start": days_ago(25) + timedelta(seconds=1)},
        55,
        "the first 24 days ago",
    ),
    (
        "merchant_frauds",
        {"rule": "COMPROMISED_MERCHANT", "tx_count": 9, "window_start": days_ago(25)},
        -5,
        "the first 25 days ago",
    ),
    (
        "merchant_frauds",
        {"rule": "COMPROMISED_MERCHANT", "window_start": days_ago(26)},
        -60,
        "the first 26 days ago",
    ),
    ("known_merchant", {}, -10, "known from 6 earlier transactions"),
    ("known_merchant", {"rule": "COMPROMISED_MERCHANT"}, 0, ""),
]


def history(earlier: list[tuple[int, dict[str, Any]]]) -> tuple[StoredTransaction, ...]:
    made = [
        replace(TRANSACTION, event_time=NOON - timedelta(minutes=minutes), **changes) for minutes, changes in earlier
    ]
    return tuple(sorted(made, key=lambda transaction: transaction.event_time, reverse=True))


@pytest.mark.parametrize(("name", "changes", "earlier", "known", "points", "said"), CASES)
def test_a_rule(
    name: str,
    changes: dict[str, Any],
    earlier: list[tuple[int, dict[str, Any]]],
    known: dict[str, Any],
    points: int,
    said: str,
) -> None:
    context = Context(replace(TRANSACTION, **changes), history(earlier), **known)
    verdict = REGISTRY[name].judge(ALERT, context)
    assert (verdict.points, bool(verdict.reason)) == (points, bool(said))
    assert said in verdict.reason


@pytest.mark.parametrize(("name", "changes", "points", "said"), ALERT_CASES)
def test_a_rule_that_reads_the_alert(name: str, changes: dict[str, Any], points: int, said: str) -> None:
    verdict = REGISTRY[name].judge(replace(ALERT, **changes), Context(TRANSACTION, history(USUAL)))
    assert (verdict.points, bool(verdict.reason)) == (points, bool(said))
    assert said in verdict.reason


@pytest.mark.parametrize("name", REGISTRY)
def test_every_rule_has_cases_and_bears_an_alert_without_its_transaction(name: str) -> None:
    assert sum(case[0] == name for case in [*CASES, *ALERT_CASES]) >= 2
    assert REGISTRY[name].judge(ALERT, Context(None)).outcome is None


def test_a_block_wins_over_everything_and_scores_stay_between_0_and_100() -> None:
    context = Context(TRANSACTION, history(USUAL), (ENTRY,), (ENTRY,))
    decision = decide(ALERT, context, REGISTRY.values(), {})
    assert (decision.outcome, decision.score) == ("block", 80)
    assert decide(ALERT, Context(TRANSACTION, (), (ENTRY,)), REGISTRY.values(), {}).score == 100
    allowed = decide(ALERT, Context(TRANSACTION, history(USUAL), (), (ENTRY,)), REGISTRY.values(), {})
    assert (allowed.outcome, allowed.score) == ("dismiss", 0)


def test_a_rule_in_shadow_is_recorded_and_without_effect_and_one_that_is_off_is_not_asked() -> None:
    context = Context(TRANSACTION, (), (ENTRY,))
    shadow = decide(ALERT, context, REGISTRY.values(), {"blacklist": "shadow", "night": "off"})
    assert shadow.outcome == "review"
    assert "blacklisted" not in shadow.reason
    records = {record["rule"]: record for record in shadow.verdicts}
    assert records["blacklist"]["mode"] == "shadow"
    assert (records["blacklist"]["outcome"], records["blacklist"]["version"]) == ("block", 1)
    assert "night" not in records


def test_limits_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    from streamguard.rules import RuleLimits

    monkeypatch.setenv("STREAMGUARD_RULES_REVIEW_AT", "70")
    context = Context(TRANSACTION, (), limits=RuleLimits())
    assert decide(ALERT, context, REGISTRY.values(), {}).outcome == "dismiss"


def test_a_name_can_be_registered_once() -> None:
    with pytest.raises(ValueError, match="registered twice"):
        rule("night", version=2)(lambda alert, context: REGISTRY["night"].judge(alert, context))

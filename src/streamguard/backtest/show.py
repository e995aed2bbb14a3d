"""A result as people read it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

from streamguard.backtest.errors import BacktestError
from streamguard.backtest.execute import instant
from streamguard.backtest.sides import KINDS, A, B
from streamguard.models.amounts import show_amount

_EXAMPLES = 3


def lines(result: Mapping[str, Any]) -> Iterable[str]:
    """The whole result, without its single alerts."""
    read, together = result["read"], result["together"]
    if result["unchanged"]:
        yield f"the same in A and B, not run: {', '.join(result['unchanged'])}"
    if not result["rules"]:
        yield "no difference: the rules of A and B mean the same"
        return
    yield (
        f"{read['in_range']:,} transactions in the range, {read['transactions']:,} read"
        f" ({instant(read['first'])} to {instant(read['last'])}, UTC)"
    )
    for reason, count in sorted(read["left_out"].items()):
        yield f"{count:,} records left out: {reason}"
    yield ""
    yield f"{'rule':<21}{'A':>9}{'B':>9}{'gained':>9}{'lost':>9}{'changed':>9}   precision A, B   frauds found A, B"
    for name, rule in result["rules"].items():
        if rule[A]["alerts"] or rule[B]["alerts"]:
            yield _row(name, rule, rule)
    sides = {name: {**side, "alerts": side["flagged"]} for name, side in result["sides"].items()}
    yield _row("flagged, all rules", sides, together)
    if silent := [name for name, rule in result["rules"].items() if not rule[A]["alerts"] and not rule[B]["alerts"]]:
        yield f"without an alert on either side: {', '.join(silent)}"
    yield ""
    yield from _days(result["days"])
    yield from _outcomes(result["sides"])
    yield (
        f"{together['accounts']:,} accounts and {together['transactions']:,} transactions touched:"
        f" {_money(together['money'])}"
    )
    amounts = {
        name: _money(side["fraud_amounts"]) for name, side in result["sides"].items() if side.get("fraud_amounts")
    }
    if amounts:
        yield "fraud found: " + ", ".join(f"{name.upper()} {amounts.get(name, 'none')}" for name in (A, B))
    yield from _notes(result)


def _row(name: str, sides: Mapping[str, Any], counts: Mapping[str, int]) -> str:
    numbers = "".join(
        f"{number:>9,}" for number in (sides[A]["alerts"], sides[B]["alerts"], *(counts[k] for k in KINDS))
    )
    shares = [", ".join(_share(sides[name][of]) for name in (A, B)) for of in ("precision", "recall")]
    return f"{name:<21}{numbers}   {shares[0]:<17}{shares[1]}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _days(days: Mapping[str, Mapping[str, int]]) -> Iterable[str]:
    differing = {day: counts for day, counts in days.items() if any(counts[kind] for kind in KINDS)}
    if differing:
        yield f"{'day':<21}{'A':>9}{'B':>9}{'gained':>9}{'lost':>9}{'changed':>9}"
    for day, counts in sorted(differing.items()):
        yield f"{day:<21}" + "".join(f"{counts[name]:>9,}" for name in (A, B, *KINDS))
    if same := len(days) - len(differing):
        yield f"{same:,} days with alerts and without a difference"


def _outcomes(sides: Mapping[str, Any]) -> Iterable[str]:
    for name, side in sides.items():
        counts = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(side["outcomes"].items()))
        yield f"outcomes of {name.upper()}: {counts or 'none'}"


def _money(money: Mapping[str, str]) -> str:
    return ", ".join(f"{show_amount(Decimal(a), c)} {c}" for c, a in sorted(money.items())) or "no money"


def _notes(result: Mapping[str, Any]) -> Iterable[str]:
    for name, side in result["sides"].items():
        for query, reason in sorted(side["ended"].items()):
            yield f"{name.upper()}: the query {query} has ended: {reason}"
        for reason, count in sorted(side["refused"].items()):
            yield f"{name.upper()}: {count:,} alerts that the consumer refuses: {reason}"
        for reason, count in sorted(side["skipped"].items()):
            yield f"{name.upper()}: {count:,} records left out by {reason}"


def examples(result: Mapping[str, Any], number: int) -> Iterable[str]:
    """How to look at single alerts."""
    for kind in KINDS:
        alerts = result["alerts"][kind]
        for alert in alerts[:_EXAMPLES]:
            yield f"{kind}: streamguard backtest show {number} {alert['alert_id']}"
        if len(alerts) > _EXAMPLES:
            yield f"  and {len(alerts) - _EXAMPLES:,} more {kind} (--json FILE has all)"


def alert_lines(result: Mapping[str, Any], alert_id: str) -> Iterable[str]:
    """One alert, on both sides. Raises BacktestError where it is none of those that differ."""
    kind, alert = _find(result, alert_id)
    yield f"{alert_id}: {kind}, rule {alert['rule']}, account {alert['account_id']}"
    for name in (A, B):
        side = alert[name]
        if side is None:
            yield f"{name.upper()}: no alert"
            continue
        window = f", window {instant(side['window_start'])} to {instant(side['window_end'])}" if _window(side) else ""
        shadow = "" if side["mode"] == "active" else f", {side['mode']}"
        yield (
            f"{name.upper()}: {side['outcome']}, score {side['score']}{shadow}, {side['tx_count']} transactions,"
            f" amount {side['amount'] or '-'}{window}"
        )
        yield f"   {side['reason']}"
        yield from map(_transaction, alert["transactions"][name])


def _window(side: Mapping[str, Any]) -> bool:
    return side["window_start"] is not None and side["window_end"] is not None


def _transaction(found: Mapping[str, Any]) -> str:
    amount = show_amount(Decimal(found["amount"]), found["currency"])
    return (
        f"   partition {found['partition']} offset {found['offset']}  {instant(found['event_time'])}"
        f"  {amount} {found['currency']}  {found['merchant_id'] or '-'}  {found['transaction_id']}"
    )


def _find(result: Mapping[str, Any], alert_id: str) -> tuple[str, Mapping[str, Any]]:
    ids: list[str] = []
    for kind in KINDS:
        alerts: Sequence[Mapping[str, Any]] = result["alerts"][kind]
        for alert in alerts:
            if alert["alert_id"] == alert_id:
                return kind, alert
            ids.append(alert["alert_id"])
    near = get_close_matches(alert_id, ids, n=1)
    raise BacktestError(
        f"{alert_id} is no alert on which A and B differ" + (f"; {near[0]} is the nearest one" if near else "")
    )

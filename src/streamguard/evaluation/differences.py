"""Where an alert as stored differs from what its rule raises: a sentence for each difference."""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal

from streamguard.alerts.claim import Claim
from streamguard.models import FraudAlert, in_coins, show_amount

NO_ALERT = "the rule raises no such alert from the topic"


def rank(differences: list[str]) -> tuple[bool, int]:
    """The lower, the nearer: an alert that differs is nearer than none."""
    return NO_ALERT in differences, len(differences)


def differences_of(claim: Claim, raised: list[FraudAlert], currency: str | None) -> list[str]:
    """Between an alert and the version of it that comes nearest of those `raised`, of the same count if there is one.

    A sentence each. Amounts differ by a coin of `currency` at least.
    """
    if not raised:
        return [NO_ALERT]
    same_count = [alert for alert in raised if (alert.tx_count or 0) == claim.tx_count]
    return min((_of_version(claim, alert, currency) for alert in same_count or raised[-1:]), key=len)


def _of_version(claim: Claim, alert: FraudAlert, currency: str | None) -> list[str]:
    found = []
    if (alert.tx_count or 0) != claim.tx_count:
        found.append(f"the rule counts {alert.tx_count or 0} from the topic, the alert states {claim.tx_count}")
    if alert.transaction_id != claim.transaction_id:
        found.append(
            f"the rule raises it on the transaction {alert.transaction_id}, the alert names {claim.transaction_id}"
        )
    if _coins(alert.amount, currency) != _coins(claim.amount, currency):
        amounts = (show_amount(amount, currency) or "none" for amount in (alert.amount, claim.amount))
        found.append("the amount from the topic is {}, the alert states {}".format(*amounts))
    window = (alert.window_start, alert.window_end)
    if window != (claim.start_ms, claim.end_ms):
        found.append(f"the window is {_window(*window)}, the alert states {_window(claim.start_ms, claim.end_ms)}")
    return found


def _coins(amount: Decimal | None, currency: str | None) -> Decimal | None:
    return None if amount is None else in_coins(amount, currency)


def _window(start_ms: int | None, end_ms: int | None) -> str:
    start, end = ("none" if ms is None else shown(ms) for ms in (start_ms, end_ms))
    return f"from {start} to {end}"


def shown(ms: int) -> str:
    """A time in epoch milliseconds, in UTC."""
    return (
        datetime.fromtimestamp(ms / 1000, timezone.utc)
        .isoformat(sep=" ", timespec="milliseconds")
        .removesuffix("+00:00")
    )

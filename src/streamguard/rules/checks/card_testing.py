"""Card testing: small transactions that try a card out, then a large one."""

from __future__ import annotations

from datetime import timedelta

from streamguard.models import show_amount
from streamguard.rules.base import ABSTAIN, Alert, Context, Verdict, rule


@rule(
    "card_testing",
    version=1,
    severity="high",
    limits=("testing_small_amount", "testing_large_amount", "testing_transactions", "testing_minutes"),
)
def card_testing(alert: Alert, context: Context) -> Verdict:
    """Raise the score when a large transaction follows several small ones within the hour, by event time."""
    transaction, limits = context.transaction, context.limits
    if transaction is None or transaction.amount < limits.testing_large_amount:
        return ABSTAIN
    since = transaction.event_time - timedelta(minutes=limits.testing_minutes)
    small = [
        earlier
        for earlier in context.history
        if earlier.amount <= limits.testing_small_amount and since <= earlier.event_time <= transaction.event_time
    ]
    if len(small) < limits.testing_transactions:
        return ABSTAIN
    most, amount = (
        show_amount(each, transaction.currency) for each in (limits.testing_small_amount, transaction.amount)
    )
    said = f"{len(small)} transactions of at most {most} within {limits.testing_minutes} minutes"
    return Verdict(40, f"{said} before one of {amount}", facts={"small_transactions": len(small)})

"""Card testing: small payments that try a card out, then a large one."""

from __future__ import annotations

from datetime import timedelta

from streamguard.rules.base import SILENT, Alert, Context, Verdict, rule


@rule("card_testing", version=1)
def card_testing(alert: Alert, context: Context) -> Verdict:
    """Raise the score when a large payment follows several small ones within the hour, by event time."""
    payment, limits = context.payment, context.limits
    if payment is None or payment.amount < limits.testing_large_amount:
        return SILENT
    since = payment.event_time - timedelta(minutes=limits.testing_minutes)
    small = [
        earlier
        for earlier in context.history
        if earlier.amount <= limits.testing_small_amount and since <= earlier.event_time <= payment.event_time
    ]
    if len(small) < limits.testing_payments:
        return SILENT
    said = (
        f"{len(small)} payments of at most {limits.testing_small_amount:,.2f} within {limits.testing_minutes} minutes"
    )
    return Verdict(40, f"{said} before one of {payment.amount:,.2f}", facts={"small_payments": len(small)})

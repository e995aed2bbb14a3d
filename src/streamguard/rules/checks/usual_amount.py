"""Usual amount: is this payment out of the ordinary for this very account?"""

from __future__ import annotations

from decimal import Decimal

from streamguard.rules.base import SILENT, Alert, Context, Verdict, rule


@rule("usual_amount", version=1)
def usual_amount(alert: Alert, context: Context) -> Verdict:
    """Raise the score far above the account's own average of the same currency, lower it well within."""
    payment = context.payment
    if payment is None:
        return SILENT
    amounts = [earlier.amount for earlier in context.history if earlier.currency == payment.currency]
    if len(amounts) < context.limits.enough_history:
        known = len(context.history)
        return Verdict(10, f"little is known of this account: {known} earlier payments", facts={"known": known})
    average = sum(amounts, Decimal(0)) / len(amounts)
    times = payment.amount / average
    facts = {"average": f"{average:.2f}", "payments": len(amounts), "times": f"{times:.1f}"}
    said = f"{payment.amount:,.2f} {payment.currency} is {times:.1f} times the average of {average:,.2f}"
    said += f" over {len(amounts)} earlier payments"
    if times > context.limits.far_above_times:
        return Verdict(30, said, facts=facts)
    if times <= context.limits.within_times:
        return Verdict(-10, said, facts=facts)
    return Verdict(0, said, facts=facts)

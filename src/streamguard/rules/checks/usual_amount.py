"""Usual amount: is this transaction out of the ordinary for this very account?"""

from __future__ import annotations

from decimal import Decimal

from streamguard.models import in_coins, show_amount
from streamguard.rules.base import ABSTAIN, Alert, Context, Verdict, rule


@rule("usual_amount", version=2, limits=("enough_history", "high_ratio", "normal_ratio"))
def usual_amount(alert: Alert, context: Context) -> Verdict:
    """Raise the score far above the account's own average of the same currency, lower it well within."""
    transaction = context.transaction
    if transaction is None:
        return ABSTAIN
    amounts = [earlier.amount for earlier in context.history if earlier.currency == transaction.currency]
    if len(amounts) < context.limits.enough_history:
        known = len(context.history)
        return Verdict(10, f"little is known of this account: {known} earlier transactions", facts={"known": known})
    average = sum(amounts, Decimal(0)) / len(amounts)
    times = transaction.amount / average
    currency = transaction.currency
    facts = {"average": str(in_coins(average, currency)), "transactions": len(amounts), "times": f"{times:.1f}"}
    said = f"{show_amount(transaction.amount, currency)} {currency} is {times:.1f} times the average of"
    said += f" {show_amount(average, currency)} over {len(amounts)} earlier transactions"
    if times > context.limits.high_ratio:
        return Verdict(10, said, facts=facts)
    if times <= context.limits.normal_ratio:
        return Verdict(-10, said, facts=facts)
    return Verdict(0, said, facts=facts)

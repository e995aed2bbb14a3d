"""Known merchant: has this account paid here before?"""

from __future__ import annotations

from streamguard.rules.base import SILENT, Alert, Context, Verdict, rule


@rule("known_merchant", version=1)
def known_merchant(alert: Alert, context: Context) -> Verdict:
    """Lower the score at a merchant the account knows well, raise it a little at one it never paid."""
    payment = context.payment
    if payment is None or payment.merchant_id is None:
        return SILENT
    times = sum(earlier.merchant_id == payment.merchant_id for earlier in context.history)
    facts = {"payments_there": times, "payments": len(context.history)}
    if times >= context.limits.known_merchant_payments:
        return Verdict(-10, f"merchant {payment.merchant_id} is known from {times} earlier payments", facts=facts)
    if times == 0 and len(context.history) >= context.limits.enough_history:
        return Verdict(5, f"merchant {payment.merchant_id} is new to this account", facts=facts)
    return SILENT

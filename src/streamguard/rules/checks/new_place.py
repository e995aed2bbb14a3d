"""New place: a country that this account was never seen in."""

from __future__ import annotations

from streamguard.rules.base import SILENT, Alert, Context, Verdict, rule


@rule("new_place", version=1)
def new_place(alert: Alert, context: Context) -> Verdict:
    """Raise the score when the country is none of those the account paid in before."""
    payment = context.payment
    if payment is None or payment.country is None:
        return SILENT
    seen = {earlier.country for earlier in context.history if earlier.country is not None}
    if len(context.history) < context.limits.enough_history or not seen or payment.country in seen:
        return SILENT
    usual = ", ".join(sorted(seen))
    return Verdict(20, f"first payment in {payment.country}; so far in {usual}", facts={"seen": sorted(seen)})

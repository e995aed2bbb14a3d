"""New place: a country that this account was never seen in."""

from __future__ import annotations

from streamguard.rules.base import ABSTAIN, Alert, Context, Verdict, rule


@rule("new_place", version=1, limits=("enough_history",))
def new_place(alert: Alert, context: Context) -> Verdict:
    """Raise the score when the country is none of those the account paid in before."""
    transaction = context.transaction
    if transaction is None or transaction.country is None:
        return ABSTAIN
    seen = {earlier.country for earlier in context.history if earlier.country is not None}
    if len(context.history) < context.limits.enough_history or not seen or transaction.country in seen:
        return ABSTAIN
    usual = ", ".join(sorted(seen))
    return Verdict(20, f"first transaction in {transaction.country}; so far in {usual}", facts={"seen": sorted(seen)})

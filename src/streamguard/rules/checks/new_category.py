"""New category: does this account pay in this kind of shop?"""

from __future__ import annotations

from streamguard.rules.base import ABSTAIN, Alert, Context, Verdict, rule


@rule("new_category", version=1, limits=("enough_history",))
def new_category(alert: Alert, context: Context) -> Verdict:
    """Raise the score when the merchant's category is none of those that the account used before."""
    transaction = context.transaction
    if transaction is None or transaction.merchant_category is None:
        return ABSTAIN
    seen = [earlier.merchant_category for earlier in context.history if earlier.merchant_category is not None]
    if len(seen) < context.limits.enough_history or transaction.merchant_category in seen:
        return ABSTAIN
    usual = sorted(set(seen))
    known = f"{len(usual)} categor{'ies' if len(usual) != 1 else 'y'} known"
    return Verdict(20, f"category {transaction.merchant_category} is new; {known}", facts={"known_categories": usual})

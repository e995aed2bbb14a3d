"""Known merchant: has this account paid here before?"""

from __future__ import annotations

from streamguard.rules.base import ABSTAIN, COMPROMISED_MERCHANT, Alert, Context, Verdict, rule


@rule("known_merchant", version=2, severity="low", limits=("enough_history", "known_merchant_transactions"))
def known_merchant(alert: Alert, context: Context) -> Verdict:
    """Lower the score at a merchant the account knows well, raise it a little at one it never paid.

    A merchant that is compromised harms whoever knows it as well: the rule abstains on such an alert.
    """
    transaction = context.transaction
    if transaction is None or transaction.merchant_id is None or alert.rule == COMPROMISED_MERCHANT:
        return ABSTAIN
    times = sum(earlier.merchant_id == transaction.merchant_id for earlier in context.history)
    facts = {"transactions_there": times, "transactions": len(context.history)}
    if times >= context.limits.known_merchant_transactions:
        return Verdict(
            -10, f"merchant {transaction.merchant_id} is known from {times} earlier transactions", facts=facts
        )
    if times == 0 and len(context.history) >= context.limits.enough_history:
        return Verdict(5, f"merchant {transaction.merchant_id} is new to this account", facts=facts)
    return ABSTAIN

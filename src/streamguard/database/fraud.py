"""What every writer of alerts shares beside `Lock.STORE`: the statement that makes `is_fraud` follow."""

from __future__ import annotations


def _mark(transactions: str) -> str:
    """The statement for the ids that a query selects as `transaction_id`."""
    return f"""
UPDATE transactions t SET is_fraud = f.is_fraud
FROM (
    SELECT i.transaction_id, coalesce(bool_or(
        a.status = 'confirmed'
        OR (a.status = 'open' AND a.outcome IS DISTINCT FROM 'dismiss' AND m.rule IS NULL)), FALSE) AS is_fraud
    FROM ({transactions}) i
    LEFT JOIN alert_transactions l USING (transaction_id)
    LEFT JOIN fraud_alerts a USING (alert_id)
    LEFT JOIN rule_modes m ON m.rule = a.rule AND m.mode <> 'active'
    GROUP BY i.transaction_id
) f
WHERE t.transaction_id = f.transaction_id AND t.is_fraud <> f.is_fraud
"""


MARK_FRAUD = _mark("SELECT unnest(%(transactions)s::TEXT[]) AS transaction_id")
"""Fraud is what is linked to an alert that an analyst confirmed, or to an open one of an active SQL rule that the Python rules
did not dismiss. `transactions` is a list of ids.

An alert whose newest version is refused was dismissed by nobody."""

MARK_FRAUD_OF_RULE = _mark(
    "SELECT DISTINCT l.transaction_id FROM alert_transactions l JOIN fraud_alerts USING (alert_id) WHERE rule = %(rule)s"
)
"""The same for all transactions of the alerts of one SQL rule, when its mode changes."""

"""What every writer of alerts shares: the lock that it takes, and the statement that makes `is_fraud` follow."""

from __future__ import annotations

STORE_LOCK = 5_347_002
"""Advisory lock of everybody who changes alerts. The consumer takes it exclusively for batches with alerts and shared for
batches without: otherwise two writers could store an alert and its transaction side by side, each without seeing the
other's rows, and the link between them would be missing for ever."""

MARK_FRAUD = """
UPDATE transactions t SET is_fraud = f.is_fraud
FROM (
    SELECT i.transaction_id, coalesce(
        bool_or(a.status = 'confirmed' OR (a.status = 'open' AND a.outcome IS DISTINCT FROM 'dismiss')), FALSE) AS is_fraud
    FROM unnest(%(transactions)s::TEXT[]) AS i (transaction_id)
    LEFT JOIN alert_transactions l USING (transaction_id)
    LEFT JOIN fraud_alerts a USING (alert_id)
    GROUP BY i.transaction_id
) f
WHERE t.transaction_id = f.transaction_id AND t.is_fraud <> f.is_fraud
"""
"""Fraud is what is linked to an alert that neither the rules nor an analyst dismissed. `transactions` is a list of ids.

An alert whose newest version is refused was dismissed by nobody."""

"""What every writer of alerts shares: the lock they take, and the statement that makes `is_fraud` follow."""

from __future__ import annotations

STORE_LOCK = 5_347_002
"""Advisory lock of everybody who changes incidents. The consumer holds it alone for batches with alerts and shares it
for batches without: otherwise two writers could store an alert and its transaction side by side, each blind to the
other's rows, and the link would be missing for good."""

MARK_FRAUD = """
UPDATE transactions t SET is_fraud = f.is_fraud
FROM (
    SELECT l.transaction_id,
        bool_or(a.status = 'confirmed' OR (a.status = 'open' AND a.outcome IS DISTINCT FROM 'dismiss')) AS is_fraud
    FROM alert_transactions l JOIN fraud_alerts a USING (alert_id)
    WHERE l.transaction_id = ANY({transactions})
    GROUP BY l.transaction_id
) f
WHERE t.transaction_id = f.transaction_id AND t.is_fraud <> f.is_fraud
"""
"""Fraud is what is linked to an incident that neither the rules nor an analyst dismissed."""

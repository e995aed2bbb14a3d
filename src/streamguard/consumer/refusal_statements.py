"""The SQL that settles versions of alerts whose transaction was refused, apart from the code that runs it."""

from __future__ import annotations

LETTERS, READ_BYTES = 10, 65_536
"""Of dead letters with one id so many are looked at, the earliest, and of each so many bytes at most: a sender may use an id
for all that it sends."""

# Of the alerts, the versions that are waiting or refused. Of the ids, those that are waiting, those for which there is an
# earlier dead letter, or perhaps one of their own account, than the one that they have; and those that are judged.
SUSPECTS = f"""
SELECT v.alert_id, v.tx_count, a.account_id, v.transaction_id, v.evidence,
    v.refused_topic, v.refused_partition, v.refused_offset,
    t.account_id AS stored_account, t.amount::FLOAT AS stored_amount,
    (extract(epoch FROM t.event_time) * 1000)::BIGINT AS stored_time,
    d.source_topic AS topic, d.source_partition AS partition, d.source_offset AS offset_no, d.reason,
    d.account_id AS dead_account,
    CASE WHEN t.transaction_id IS NOT NULL AND octet_length(d.raw_value) <= {READ_BYTES} THEN d.raw_value END AS raw_value
FROM (
    SELECT alert_id, tx_count FROM alert_versions
    WHERE alert_id = ANY(%(alerts)s) AND (NOT judged OR refused_topic IS NOT NULL)
    UNION
    SELECT v.alert_id, v.tx_count FROM alert_versions v JOIN fraud_alerts a USING (alert_id)
    WHERE v.transaction_id = ANY(%(ids)s) AND (NOT judged OR refused_topic IS NOT NULL)
      AND (NOT judged OR EXISTS (
        SELECT FROM dead_letters d
        WHERE d.transaction_id = v.transaction_id
          AND (d.source_topic, d.source_offset, d.source_partition)
            < (v.refused_topic, v.refused_offset, v.refused_partition)
      ) OR EXISTS (
        SELECT FROM dead_letters d
        WHERE d.source_topic = v.refused_topic AND d.source_offset = v.refused_offset
          AND d.source_partition = v.refused_partition AND d.account_id IS DISTINCT FROM a.account_id))
    UNION
    SELECT alert_id, tx_count FROM alert_transactions l JOIN alert_versions v USING (alert_id, transaction_id)
    WHERE l.transaction_id = ANY(%(ids)s) AND v.refused_topic IS NULL
) s
JOIN alert_versions v USING (alert_id, tx_count)
JOIN fraud_alerts a USING (alert_id)
CROSS JOIN LATERAL (
    SELECT * FROM dead_letters d WHERE d.transaction_id = v.transaction_id
    ORDER BY d.source_topic, d.source_offset, d.source_partition LIMIT {LETTERS}
) d
LEFT JOIN transactions t ON t.transaction_id = v.transaction_id
ORDER BY v.alert_id, v.tx_count, d.source_topic, d.source_offset, d.source_partition
"""

REOPEN = """
UPDATE alert_versions v SET judged = FALSE, refused_topic = NULL, refused_partition = NULL, refused_offset = NULL
FROM (VALUES %s) AS r (alert_id, tx_count) WHERE v.alert_id = r.alert_id AND v.tx_count = r.tx_count
"""
REFUSE = """
UPDATE alert_versions v
SET judged = TRUE, refused_topic = r.topic, refused_partition = r.partition, refused_offset = r.offset_no
FROM (VALUES %s) AS r (alert_id, tx_count, topic, partition, offset_no)
WHERE v.alert_id = r.alert_id AND v.tx_count = r.tx_count
"""
UNDECIDE = """
DELETE FROM decisions d USING (VALUES %s) AS r (alert_id, tx_count)
WHERE d.alert_id = r.alert_id AND d.tx_count = r.tx_count AND d.decided_by IN ('rules', 'consumer')
"""

# A stored transaction with the id belongs to the alert only if its window holds it, or another version names it.
UNLINK = """
DELETE FROM alert_transactions l
USING (VALUES %s) AS r (alert_id, transaction_id), fraud_alerts a, transactions t
WHERE l.alert_id = r.alert_id AND l.transaction_id = r.transaction_id
  AND a.alert_id = l.alert_id AND t.transaction_id = l.transaction_id
  AND (a.account_id = t.account_id AND t.event_time >= a.window_start AND t.event_time < a.window_end) IS NOT TRUE
  AND NOT EXISTS (
    SELECT FROM alert_versions v
    WHERE v.alert_id = l.alert_id AND v.transaction_id = l.transaction_id AND v.refused_topic IS NULL)
"""

UNSETTLED = """
SELECT DISTINCT alert_id FROM alert_versions v JOIN dead_letters d USING (transaction_id) WHERE NOT v.judged
"""
"""Alerts that wait for a transaction which was refused before there was this module."""

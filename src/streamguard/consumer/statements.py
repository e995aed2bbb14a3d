"""The SQL that stores a batch. Kept apart from the code that runs it, so that each can be read at one sitting.

A batch's transactions pass through a temporary table (COPY is the fastest way in, and it cannot say ON CONFLICT).
"""

from __future__ import annotations

from streamguard.database.fraud import MARK_FRAUD as _MARK_FRAUD
from streamguard.rules.base import HISTORY_LENGTH

STAGE_COLUMNS = (
    "transaction_id, account_id, amount, currency, transaction_type, channel, merchant_id, merchant_name, "
    "merchant_category, city, country, latitude, longitude, device_id, ip_address, event_ms, "
    "source_partition, source_offset"
)

MAKE_STAGE = """
CREATE TEMP TABLE IF NOT EXISTS stage (
    transaction_id TEXT, account_id TEXT, amount NUMERIC(15, 2), currency TEXT, transaction_type TEXT, channel TEXT,
    merchant_id TEXT, merchant_name TEXT, merchant_category TEXT, city TEXT, country TEXT,
    latitude DOUBLE PRECISION, longitude DOUBLE PRECISION, device_id TEXT, ip_address TEXT,
    event_ms BIGINT, source_partition INTEGER, source_offset BIGINT
) ON COMMIT DELETE ROWS
"""

COPY_STAGE = f"COPY stage ({STAGE_COLUMNS}) FROM STDIN WITH (FORMAT text, NULL E'\\x01')"

# Seconds and the rest apart: an interval is multiplied in double precision, which is exact only so.
_FROM_MS = "TIMESTAMPTZ 'epoch' + ({0} / 1000) * INTERVAL '1 second' + mod({0}, 1000) * INTERVAL '1 millisecond'"

# Of two rows with one id the first in the batch stays; TAKE_DUPLICATES finds the other.
INSERT_TRANSACTIONS = f"""
INSERT INTO transactions (
    transaction_id, account_id, amount, currency, transaction_type, channel, merchant_id, merchant_name,
    merchant_category, city, country, latitude, longitude, device_id, ip_address, event_time,
    source_partition, source_offset)
SELECT transaction_id, account_id, amount, currency, transaction_type, channel, merchant_id, merchant_name,
    merchant_category, city, country, latitude, longitude, device_id, ip_address,
    {_FROM_MS.format("event_ms")}, source_partition, source_offset
FROM stage
ON CONFLICT (transaction_id) DO NOTHING
"""

MAKE_MONTHS = "SELECT make_record_months(%(months)s)"

COPY_RECORDS = "COPY transaction_records (transaction_id, event_time, raw) FROM STDIN"

# What this database transaction stored has its number; the place alone would not do, for a log may have been wiped.
TAKE_DUPLICATES = """
DELETE FROM stage s USING transactions t
WHERE t.transaction_id = s.transaction_id
  AND (t.source_partition, t.source_offset, t.xmin)
      IS DISTINCT FROM (s.source_partition, s.source_offset, pg_current_xact_id()::XID)
RETURNING s.source_partition, s.source_offset, t.source_partition, t.source_offset
"""

# One UPDATE for all partitions: a row that does not hold the offset we expect belongs to another member by now.
ADVANCE_OFFSETS = """
UPDATE consumer_offsets o
SET next_offset = v.next_offset, records_read = o.records_read + v.records, updated_at = clock_timestamp()
FROM (VALUES %s) AS v (group_id, topic, partition_no, expected, next_offset, records)
WHERE o.group_id = v.group_id AND o.topic = v.topic AND o.partition_no = v.partition_no AND o.next_offset = v.expected
"""

INSERT_DEAD_LETTERS = """
INSERT INTO dead_letters AS old (source_topic, source_partition, source_offset, reason, raw_key, raw_value)
VALUES %s
ON CONFLICT (source_topic, source_partition, source_offset) DO UPDATE SET
    reason = excluded.reason, raw_key = excluded.raw_key, raw_value = excluded.raw_value,
    failed_at = excluded.failed_at, published = FALSE
WHERE (old.raw_key, old.raw_value) IS DISTINCT FROM (excluded.raw_key, excluded.raw_value)
RETURNING source_topic, source_partition, source_offset, old.xmax = 0
"""

UNCOUNT = """
UPDATE consumer_offsets o SET records_read = o.records_read - v.records
FROM (VALUES %s) AS v (group_id, topic, partition_no, records)
WHERE o.group_id = v.group_id AND o.topic = v.topic AND o.partition_no = v.partition_no
"""

# Which incidents do the batch's transactions belong to? By window, and by being the one that raised a version.
# LATERAL keeps the planner on the index: the temporary table has no statistics.
LINK_NEW_TRANSACTIONS = f"""
INSERT INTO alert_transactions (alert_id, transaction_id)
SELECT a.alert_id, s.transaction_id
FROM stage s
CROSS JOIN LATERAL (
    SELECT alert_id FROM fraud_alerts a
    WHERE a.account_id = s.account_id
      AND a.window_end > {_FROM_MS.format("s.event_ms")}
      AND a.window_start <= {_FROM_MS.format("s.event_ms")}
    OFFSET 0
) a
UNION
SELECT d.alert_id, s.transaction_id
FROM stage s
CROSS JOIN LATERAL (
    SELECT alert_id FROM decisions d WHERE d.transaction_id = s.transaction_id AND d.outcome IS NULL OFFSET 0
) d
ON CONFLICT DO NOTHING
RETURNING alert_id, transaction_id
"""

UPSERT_ALERTS = f"""
INSERT INTO fraud_alerts AS old (alert_id, rule, account_id, transaction_id, amount, tx_count, window_start, window_end,
    detected_at, source_partition, source_offset)
SELECT v.alert_id, v.rule, v.account_id, v.transaction_id, v.amount::NUMERIC, v.tx_count,
    {_FROM_MS.format("v.window_start::BIGINT")}, {_FROM_MS.format("v.window_end::BIGINT")},
    {_FROM_MS.format("v.detected_at")}, v.source_partition, v.source_offset
FROM (VALUES %s) AS v (alert_id, rule, account_id, transaction_id, amount, tx_count, window_start, window_end,
    detected_at, source_partition, source_offset)
ON CONFLICT (alert_id) DO UPDATE SET
    transaction_id = excluded.transaction_id, amount = excluded.amount, tx_count = excluded.tx_count,
    window_start = excluded.window_start, window_end = excluded.window_end, detected_at = excluded.detected_at,
    source_partition = excluded.source_partition, source_offset = excluded.source_offset,
    updated_at = clock_timestamp()
WHERE (excluded.tx_count, excluded.source_offset) > (old.tx_count, old.source_offset)
"""

INSERT_VERSIONS = """
INSERT INTO decisions (alert_id, tx_count, decided_by, transaction_id, evidence)
VALUES %s ON CONFLICT DO NOTHING
"""

LINK_NEW_ALERTS = """
INSERT INTO alert_transactions (alert_id, transaction_id)
SELECT a.alert_id, t.transaction_id
FROM fraud_alerts a
CROSS JOIN LATERAL (
    SELECT transaction_id FROM transactions t
    WHERE t.account_id = a.account_id AND t.event_time >= a.window_start AND t.event_time < a.window_end
    OFFSET 0
) t
WHERE a.alert_id = ANY(%(alerts)s)
UNION
SELECT d.alert_id, t.transaction_id
FROM decisions d JOIN transactions t USING (transaction_id)
WHERE d.alert_id = ANY(%(alerts)s)
ON CONFLICT DO NOTHING
RETURNING alert_id, transaction_id
"""

# Versions that wait for their transaction, and the transaction, where it is there now.
DECIDABLE = """
SELECT d.alert_id, d.tx_count, a.rule, a.account_id, d.evidence, t.transaction_id, t.amount, t.currency, t.merchant_id,
    t.merchant_category, t.country, t.longitude, t.device_id, t.ip_address, t.event_time,
    t.source_partition, t.source_offset
FROM decisions d
JOIN fraud_alerts a USING (alert_id)
LEFT JOIN transactions t ON t.transaction_id = d.transaction_id
WHERE d.outcome IS NULL AND d.decided_by = 'rules'
  AND (t.transaction_id IS NOT NULL OR d.transaction_id IS NULL)
  AND d.alert_id = ANY(%(alerts)s)
ORDER BY d.alert_id, d.tx_count
"""

# The account's payments that stood before each candidate in the log: the same rows however the batches fell.
HISTORY = f"""
SELECT c.no, h.transaction_id, h.amount, h.currency, h.merchant_id, h.merchant_category, h.country, h.longitude,
    h.device_id, h.ip_address, h.event_time
FROM (VALUES %s) AS c (no, account_id, source_partition, source_offset)
CROSS JOIN LATERAL (
    SELECT * FROM transactions t
    WHERE t.account_id = c.account_id AND t.source_partition = c.source_partition AND t.source_offset < c.source_offset
    ORDER BY t.event_time DESC, t.source_offset DESC
    LIMIT {HISTORY_LENGTH}
) h
ORDER BY c.no, h.event_time DESC, h.source_offset DESC
"""

LISTED = """
SELECT 'blacklist', kind, value, reason, expires_at FROM blacklist WHERE value = ANY(%(values)s)
UNION ALL
SELECT 'allowlist', kind, value, reason, expires_at FROM allowlist WHERE value = ANY(%(values)s)
"""

RULE_MODES = "SELECT rule, mode FROM rule_modes"

# What analysts made of the accounts' incidents.
RESOLVED = """
SELECT account_id, count(*) FILTER (WHERE status = 'confirmed'), count(*) FILTER (WHERE status = 'dismissed')
FROM fraud_alerts WHERE account_id = ANY(%(accounts)s) AND status <> 'open' GROUP BY account_id
"""

SAVE_DECISIONS = """
UPDATE decisions d
SET outcome = v.outcome, score = v.score, reason = v.reason, verdicts = v.verdicts::JSONB,
    decided_at = clock_timestamp()
FROM (VALUES %s) AS v (alert_id, tx_count, outcome, score, reason, verdicts)
WHERE d.alert_id = v.alert_id AND d.tx_count = v.tx_count AND d.decided_by = 'rules'
"""

# The incident shows what was decided on its newest judged version.
SHOW_OUTCOME = """
UPDATE fraud_alerts a
SET outcome = d.outcome, score = d.score
FROM (
    SELECT DISTINCT ON (alert_id) alert_id, outcome, score FROM decisions
    WHERE alert_id = ANY(%(alerts)s) AND decided_by = 'rules' AND outcome IS NOT NULL
    ORDER BY alert_id, tx_count DESC
) d
WHERE a.alert_id = d.alert_id AND (a.outcome, a.score) IS DISTINCT FROM (d.outcome, d.score)
RETURNING a.alert_id
"""

TRANSACTIONS_OF = "SELECT transaction_id FROM alert_transactions WHERE alert_id = ANY(%(alerts)s)"

MARK_FRAUD = _MARK_FRAUD.format(transactions="%(transactions)s")

"""The SQL that stores a batch. Kept apart from the code that runs it, so that each can be read at one sitting.

A batch's transactions pass through a temporary table (COPY is the fastest way in, and it has no ON CONFLICT). Its columns,
and those of every statement on `transactions`, are made from the mapped table.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import TIMESTAMP

from streamguard.database.rows import columns_of
from streamguard.database.tables import TRANSACTION_COLUMNS
from streamguard.rules.base import HISTORY_LENGTH, StoredTransaction


def _is_instant(column: Column[Any]) -> bool:
    return isinstance(column.type, TIMESTAMP)


def _from_ms(expression: str) -> str:
    """Epoch milliseconds as a timestamp. Seconds and the rest apart: an interval is multiplied in double precision, which is
    exact only so."""
    seconds = f"({expression} / 1000) * INTERVAL '1 second'"
    return f"TIMESTAMPTZ 'epoch' + {seconds} + mod({expression}, 1000) * INTERVAL '1 millisecond'"


def _stage_type(column: Column[Any]) -> str:
    """Instants arrive as epoch milliseconds."""
    return (BigInteger() if _is_instant(column) else column.type).compile(postgresql.dialect())  # type: ignore[no-untyped-call]


FIELDS = tuple(column.name for column in TRANSACTION_COLUMNS)
"""The fields of a transaction, in the order in which COPY takes them; partition, offset and `raw_is_row` follow."""

_COLUMNS = ", ".join((*FIELDS, "source_partition", "source_offset", "raw_is_row"))
_STAGED = ", ".join(_from_ms(c.name) if _is_instant(c) else c.name for c in TRANSACTION_COLUMNS)

MAKE_STAGE = f"""
CREATE TEMP TABLE IF NOT EXISTS stage (
    {", ".join(f"{c.name} {_stage_type(c)}" for c in TRANSACTION_COLUMNS)},
    source_partition INTEGER, source_offset BIGINT, raw_is_row BOOLEAN
) ON COMMIT DELETE ROWS
"""

COPY_STAGE = f"COPY stage ({_COLUMNS}) FROM STDIN WITH (FORMAT text, NULL E'\\x01')"

# Of two rows with one id the first in the batch stays; TAKE_DUPLICATES finds the other.
INSERT_TRANSACTIONS = f"""
INSERT INTO transactions ({_COLUMNS})
SELECT {_STAGED}, source_partition, source_offset, raw_is_row
FROM stage
ON CONFLICT (transaction_id) DO NOTHING
"""

MAKE_MONTHS = "SELECT make_record_months(%(months)s)"

COPY_RECORDS = "COPY transaction_records (transaction_id, event_time, raw) FROM STDIN"

# What this database transaction stored has its number; the offset alone would not do, for a topic may have been made anew.
TAKE_DUPLICATES = """
WITH found AS (
    SELECT s.ctid AS place, t.source_partition AS first_partition, t.source_offset AS first_offset
    FROM stage s
    CROSS JOIN LATERAL (
        SELECT source_partition, source_offset, xmin AS stored_by FROM transactions t
        WHERE t.transaction_id = s.transaction_id
        OFFSET 0
    ) t
    WHERE (t.source_partition, t.source_offset, t.stored_by)
        IS DISTINCT FROM (s.source_partition, s.source_offset, pg_current_xact_id()::XID)
)
DELETE FROM stage s USING found f WHERE s.ctid = f.place
RETURNING s.source_partition AS partition, s.source_offset AS offset_no, f.first_partition, f.first_offset
"""

# One UPDATE for all partitions: a row with another offset than the expected one belongs to another member by now.
ADVANCE_OFFSETS = """
UPDATE consumer_offsets o
SET next_offset = v.next_offset, records_read = o.records_read + v.records, updated_at = clock_timestamp(),
    newest_event_ms = coalesce(v.newest::BIGINT, o.newest_event_ms)
FROM (VALUES %s) AS v (group_id, topic, partition_no, expected, next_offset, records, newest)
WHERE o.group_id = v.group_id AND o.topic = v.topic AND o.partition_no = v.partition_no AND o.next_offset = v.expected
"""

OFFSETS = """
SELECT topic, partition_no, next_offset, newest_event_ms FROM consumer_offsets WHERE group_id = %(group)s
"""

INSERT_OFFSETS = """
INSERT INTO consumer_offsets (group_id, topic, partition_no, next_offset) VALUES %s ON CONFLICT DO NOTHING
"""

INSERT_DEAD_LETTERS = """
INSERT INTO dead_letters AS old (source_topic, source_partition, source_offset, reason, raw_key, raw_value,
    transaction_id, account_id)
VALUES %s
ON CONFLICT (source_topic, source_partition, source_offset) DO UPDATE SET
    reason = excluded.reason, raw_key = excluded.raw_key, raw_value = excluded.raw_value,
    failed_at = excluded.failed_at, transaction_id = excluded.transaction_id, account_id = excluded.account_id,
    retry_id = NULL, retried_at = NULL, retried_by = NULL, retried_partition = NULL, retried_offset = NULL
WHERE (old.raw_key, old.raw_value) IS DISTINCT FROM (excluded.raw_key, excluded.raw_value)
RETURNING source_topic AS topic, source_partition AS partition, source_offset AS offset_no,
    (extract(epoch FROM failed_at) * 1000)::BIGINT AS failed_at, old.xmax = 0 AS is_new
"""

DECREMENT_RECORDS_READ = """
UPDATE consumer_offsets o SET records_read = o.records_read - v.records
FROM (VALUES %s) AS v (group_id, topic, partition_no, records)
WHERE o.group_id = v.group_id AND o.topic = v.topic AND o.partition_no = v.partition_no
"""

# Which alerts do the batch's transactions belong to? By window, and by being the one that raised a version.
# LATERAL keeps the planner on the index: the temporary table has no statistics.
LINK_NEW_TRANSACTIONS = f"""
INSERT INTO alert_transactions (alert_id, transaction_id)
SELECT a.alert_id, s.transaction_id
FROM stage s
CROSS JOIN LATERAL (
    SELECT alert_id FROM fraud_alerts a
    WHERE a.account_id = s.account_id
      AND a.window_end > {_from_ms("s.event_time")}
      AND a.window_start <= {_from_ms("s.event_time")}
    OFFSET 0
) a
UNION
SELECT v.alert_id, s.transaction_id
FROM stage s
CROSS JOIN LATERAL (
    SELECT alert_id FROM alert_versions v
    WHERE v.transaction_id = s.transaction_id AND (NOT v.judged OR v.refused_topic IS NOT NULL)
    OFFSET 0
) v
ON CONFLICT DO NOTHING
RETURNING alert_id, transaction_id
"""

UPSERT_ALERTS = f"""
INSERT INTO fraud_alerts AS old (alert_id, rule, account_id, transaction_id, amount, tx_count, window_start, window_end,
    detected_at, source_partition, source_offset)
SELECT v.alert_id, v.rule, v.account_id, v.transaction_id, v.amount::NUMERIC, v.tx_count,
    {_from_ms("v.window_start::BIGINT")}, {_from_ms("v.window_end::BIGINT")},
    {_from_ms("v.detected_at")}, v.source_partition, v.source_offset
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
INSERT INTO alert_versions (alert_id, tx_count, transaction_id, evidence, source_partition, source_offset)
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
SELECT v.alert_id, t.transaction_id
FROM alert_versions v JOIN transactions t USING (transaction_id)
WHERE v.alert_id = ANY(%(alerts)s) AND v.refused_topic IS NULL
ON CONFLICT DO NOTHING
RETURNING alert_id, transaction_id
"""

# Versions that wait for their transaction, where it is stored now.
JUDGEABLE = """
SELECT v.alert_id, v.tx_count, a.rule, a.account_id, v.evidence, v.transaction_id,
    t.source_partition, t.source_offset
FROM alert_versions v
JOIN fraud_alerts a USING (alert_id)
LEFT JOIN transactions t ON t.transaction_id = v.transaction_id
WHERE NOT v.judged
  AND (t.transaction_id IS NOT NULL OR v.transaction_id IS NULL)
  AND v.alert_id = ANY(%(alerts)s)
ORDER BY v.alert_id, v.tx_count
"""

TRANSACTIONS_BY_ID = f"""
SELECT {columns_of(StoredTransaction)} FROM transactions WHERE transaction_id = ANY(%(transactions)s)
"""

# The account's transactions before each candidate in its partition: the same rows however the batches fell.
HISTORY = f"""
SELECT c.candidate, {columns_of(StoredTransaction, "h.")}
FROM (VALUES %s) AS c (candidate, account_id, source_partition, source_offset)
CROSS JOIN LATERAL (
    SELECT * FROM transactions t
    WHERE t.account_id = c.account_id AND t.source_partition = c.source_partition AND t.source_offset < c.source_offset
    ORDER BY t.event_time DESC, t.source_offset DESC
    LIMIT {HISTORY_LENGTH}
) h
ORDER BY c.candidate, h.event_time DESC, h.source_offset DESC
"""

# With the state of the lists that this is: one row at least, without an entry.
LISTED = """
SELECT s.list_change_no, list, kind, value, reason, expires_at
FROM (SELECT coalesce(max(change_no), 0) AS list_change_no FROM list_history) s
LEFT JOIN lists ON value = ANY(%(values)s)
"""

# With the last change of the SQL that is deployed: one row at least, without a rule.
RULE_MODES = """
SELECT s.deployment_no, rule, mode
FROM (SELECT coalesce(max(deployment_no), 0) AS deployment_no FROM deployed_rules) s
LEFT JOIN rule_modes ON TRUE
"""

# What analysts made of the accounts' alerts.
RESOLVED = """
SELECT account_id, count(*) FILTER (WHERE status = 'confirmed') AS confirmed,
    count(*) FILTER (WHERE status = 'dismissed') AS dismissed
FROM fraud_alerts WHERE account_id = ANY(%(accounts)s) AND status <> 'open' GROUP BY account_id
"""

MARK_JUDGED = """
UPDATE alert_versions v SET judged = TRUE
FROM (VALUES %s) AS d (alert_id, tx_count)
WHERE v.alert_id = d.alert_id AND v.tx_count = d.tx_count
"""

# The alert shows what was decided on its newest version that is judged or refused.
SHOW_OUTCOME = """
UPDATE fraud_alerts a
SET outcome = d.outcome, score = d.score, updated_at = clock_timestamp()
FROM (
    SELECT DISTINCT ON (alert_id) alert_id, outcome, score FROM decisions
    WHERE alert_id = ANY(%(alerts)s) AND decided_by IN ('rules', 'consumer')
    ORDER BY alert_id, tx_count DESC
) d
WHERE a.alert_id = d.alert_id AND (a.outcome, a.score) IS DISTINCT FROM (d.outcome, d.score)
RETURNING a.alert_id
"""

ACCOUNTS_OF = """
SELECT account_id FROM fraud_alerts WHERE alert_id = ANY(%(alerts)s)
UNION
SELECT account_id FROM transactions WHERE transaction_id = ANY(%(transactions)s)
"""

TRANSACTIONS_OF = "SELECT transaction_id FROM alert_transactions WHERE alert_id = ANY(%(alerts)s)"

"""The SQL that decides alerts around the replacement of their rule, apart from the code that runs it."""

from __future__ import annotations

PLACES = 10
"""Of the dead letters with one id so many are looked at, the latest: a sender may use an id for all that it sends."""

REPLACEMENTS = """
SELECT replacement_no, rule, start, first_offsets, alert_offsets FROM rule_replacements
WHERE applies AND rule = ANY(%(rules)s) ORDER BY rule, replacement_no
"""

# Where the transactions of alerts are, as rows or as dead letters.
PLACES_OF = f"""
SELECT transaction_id, source_partition AS partition, source_offset AS offset_no
FROM transactions WHERE transaction_id = ANY(%(ids)s)
UNION ALL
SELECT i.transaction_id, d.source_partition, d.source_offset
FROM unnest(%(ids)s::TEXT[]) AS i (transaction_id)
CROSS JOIN LATERAL (
    SELECT source_partition, source_offset FROM dead_letters d
    WHERE d.transaction_id = i.transaction_id AND d.source_topic = %(topic)s
    ORDER BY d.source_offset DESC LIMIT {PLACES}
) d
"""

READ = """
SELECT partition_no AS partition, next_offset FROM consumer_offsets WHERE group_id = %(group)s AND topic = %(topic)s
"""

KNOWN = """
SELECT alert_id, tx_count FROM alert_versions JOIN (VALUES %s) AS v (alert_id, tx_count) USING (alert_id, tx_count)
"""

COUNT = """
UPDATE rule_replacements r SET left_out = r.left_out + v.left_out, superseded = r.superseded + v.superseded
FROM (VALUES %s) AS v (replacement_no, left_out, superseded) WHERE r.replacement_no = v.replacement_no
"""

HOLD = """
INSERT INTO held_alerts (source_partition, source_offset, rule, alert) VALUES %s
ON CONFLICT (source_partition, source_offset) DO UPDATE SET rule = excluded.rule, alert = excluded.alert
"""

ANY_HELD = "SELECT EXISTS (SELECT FROM held_alerts) AS any_held"

TAKE_HELD = "DELETE FROM held_alerts RETURNING source_partition AS partition, source_offset AS offset, alert"

FORGET = "UPDATE rule_replacements SET applies = FALSE WHERE applies AND alert_offsets IS NOT NULL"

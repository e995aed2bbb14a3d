-- `decisions` held versions of alerts that wait for their transaction beside what was decided. Versions get a table of their own.

CREATE TABLE alert_versions (
    alert_id       TEXT NOT NULL REFERENCES fraud_alerts (alert_id) ON DELETE CASCADE,
    tx_count       BIGINT NOT NULL,
    transaction_id TEXT,
    evidence       JSONB NOT NULL DEFAULT '{}',
    judged         BOOLEAN NOT NULL DEFAULT FALSE,
    PRIMARY KEY (alert_id, tx_count)
);
COMMENT ON TABLE alert_versions IS 'each count of transactions at which an alert was raised';
COMMENT ON COLUMN alert_versions.transaction_id IS 'the transaction that raised this version; it may not be stored yet';
COMMENT ON COLUMN alert_versions.evidence IS 'what the SQL rule reported: amount, window, time';
COMMENT ON COLUMN alert_versions.judged IS 'false while the transaction that raised this version is not stored';

INSERT INTO alert_versions (alert_id, tx_count, transaction_id, evidence, judged)
SELECT alert_id, tx_count, transaction_id, evidence, outcome IS NOT NULL FROM decisions WHERE decided_by = 'rules';

-- An analyst decides on the version of the moment, which the rules have seen too; should one be missing, it is made here.
INSERT INTO alert_versions (alert_id, tx_count, judged)
SELECT DISTINCT alert_id, tx_count, TRUE FROM decisions ON CONFLICT DO NOTHING;

DELETE FROM decisions WHERE outcome IS NULL;
UPDATE decisions SET decided_at = clock_timestamp() WHERE decided_at IS NULL;

DROP INDEX decisions_pending;
ALTER TABLE decisions
    ADD COLUMN status_before TEXT CHECK (status_before IN ('open', 'confirmed', 'dismissed')),
    ALTER COLUMN outcome SET NOT NULL,
    ALTER COLUMN decided_at SET NOT NULL,
    ALTER COLUMN decided_at SET DEFAULT clock_timestamp();
UPDATE decisions SET status_before = evidence ->> 'before' WHERE decided_by <> 'rules';
ALTER TABLE decisions DROP COLUMN evidence;
ALTER TABLE decisions
    ADD CONSTRAINT decisions_version FOREIGN KEY (alert_id, tx_count) REFERENCES alert_versions ON DELETE CASCADE;
ALTER TABLE decisions DROP CONSTRAINT decisions_alert_id_fkey;

-- What a rule adds to the score is called points.
UPDATE decisions SET verdicts = (
    SELECT jsonb_agg((verdict - 'score') || jsonb_build_object('points', verdict -> 'score') ORDER BY place)
    FROM jsonb_array_elements(verdicts) WITH ORDINALITY AS v (verdict, place))
WHERE jsonb_array_length(verdicts) > 0;

COMMENT ON TABLE decisions IS 'what the rules or an analyst decided on a version of an alert';
COMMENT ON COLUMN decisions.decided_by IS 'rules, or analyst:NAME';
COMMENT ON COLUMN decisions.action_no IS 'counts the actions of analysts on the alert; 0 for the rules';
COMMENT ON COLUMN decisions.tx_count IS 'the version of the alert that was judged: its count of transactions';
COMMENT ON COLUMN decisions.outcome IS 'dismiss, review or block by the rules; confirmed, dismissed or reopened by an analyst';
COMMENT ON COLUMN decisions.verdicts IS 'one object per Python rule: rule, version, mode, points, outcome, reason, facts';
COMMENT ON COLUMN decisions.status_before IS 'the status of the alert that an analyst changed';

CREATE INDEX alert_versions_waiting ON alert_versions (transaction_id) WHERE NOT judged;

-- The words of the present: an alert was called an incident, a transaction a payment.
UPDATE retention_cuts SET what = 'transactions' WHERE what = 'payments';
COMMENT ON TABLE fraud_alerts IS 'one row per alert: its newest version; an older one never overwrites a newer one';
COMMENT ON COLUMN consumer_offsets.records_read IS 'always equal to the rows stored plus the dead letters plus the transactions cut';
COMMENT ON TABLE retention_cuts IS 'records read = rows stored + dead letters + the transactions cut here';

-- An alert about what another alert of the account is about already: decided by naming that one. It counts neither as fraud
-- found nor as a false alarm.

ALTER TABLE fraud_alerts
    ADD COLUMN duplicate_of TEXT,
    DROP CONSTRAINT fraud_alerts_status_check,
    ADD CONSTRAINT fraud_alerts_status_check CHECK (status IN ('open', 'confirmed', 'dismissed', 'duplicate')),
    ADD CONSTRAINT fraud_alerts_duplicate CHECK ((status = 'duplicate') = (duplicate_of IS NOT NULL));
COMMENT ON COLUMN fraud_alerts.duplicate_of IS 'the alert of the account that says the same, where an analyst named it; null otherwise';

-- The original of a duplicate shows what repeats it.
CREATE INDEX fraud_alerts_duplicate_of ON fraud_alerts (duplicate_of) WHERE duplicate_of IS NOT NULL;

ALTER TABLE decisions
    DROP CONSTRAINT decisions_outcome_check,
    ADD CONSTRAINT decisions_outcome_check
        CHECK (outcome IN ('dismiss', 'review', 'block', 'refused', 'confirmed', 'dismissed', 'duplicate', 'reopened')),
    DROP CONSTRAINT decisions_status_before_check,
    ADD CONSTRAINT decisions_status_before_check
        CHECK (status_before IN ('open', 'confirmed', 'dismissed', 'duplicate'));
COMMENT ON COLUMN decisions.outcome IS 'dismiss, review or block by the rules; refused by the consumer; confirmed, dismissed, duplicate or reopened by an analyst';

CREATE OR REPLACE VIEW account_risk_profile AS
SELECT t.account_id,
       count(*)                                              AS transactions,
       sum(t.amount)                                         AS total_amount,
       round(avg(t.amount), 4)                               AS average_amount,
       max(t.amount)                                         AS highest_amount,
       count(*) FILTER (WHERE t.is_fraud)                    AS fraud_transactions,
       round(count(*) FILTER (WHERE t.is_fraud)::NUMERIC / count(*), 4) AS fraud_rate,
       coalesce(max(a.alerts), 0)                            AS alerts,
       min(t.event_time)                                     AS first_seen,
       max(t.event_time)                                     AS last_seen
FROM transactions t
LEFT JOIN (
    SELECT account_id, count(*) AS alerts FROM fraud_alerts WHERE status IN ('open', 'confirmed') GROUP BY account_id
) a ON a.account_id = t.account_id
GROUP BY t.account_id;

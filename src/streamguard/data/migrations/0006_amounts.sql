-- Amounts with the decimal places of any currency: dinars have three, and a sum below 10^15 has room.

-- A column that a view reads cannot change its type.
DROP VIEW account_risk_profile;

ALTER TABLE transactions ALTER COLUMN amount TYPE NUMERIC(19, 4);
ALTER TABLE fraud_alerts ALTER COLUMN amount TYPE NUMERIC(19, 4);

CREATE VIEW account_risk_profile AS
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
    SELECT account_id, count(*) AS alerts FROM fraud_alerts WHERE status <> 'dismissed' GROUP BY account_id
) a ON a.account_id = t.account_id
GROUP BY t.account_id;
COMMENT ON VIEW account_risk_profile IS 'fraud_rate is a share between 0 and 1';

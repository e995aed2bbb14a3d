-- Confirmed fraud feeds back: chargebacks, days late, build a table of fraud per merchant; a payment at a merchant with
-- recent confirmed fraud becomes an alert. Reads the sources of queries.sql.

-- How long a merchant stays compromised after its last chargeback, in milliseconds (14 days), and after how many.
DEFINE compromised_ms = '1209600000';
DEFINE compromised_count = '1';

{{ valid_variables() }}

CREATE STREAM fraud_labels (
  account_id VARCHAR KEY,
  transaction_id VARCHAR,
  merchant_id VARCHAR,
  amount DECIMAL(19, 4),
  is_fraud BOOLEAN,
  reason VARCHAR,
  event_time BIGINT,
  reported_at BIGINT
) WITH (KAFKA_TOPIC='fraud_labels', VALUE_FORMAT='JSON', PARTITIONS=3, TIMESTAMP='reported_at');

CREATE TABLE merchant_fraud WITH (KAFKA_TOPIC='merchant_fraud', VALUE_FORMAT='JSON') AS
SELECT merchant_id, COUNT(*) AS frauds, MAX(reported_at) AS last_reported
FROM fraud_labels
WHERE is_fraud AND merchant_id IS NOT NULL
GROUP BY merchant_id
EMIT CHANGES;

INSERT INTO fraud_alerts WITH (QUERY_ID='compromised_merchant')
{{ alert('COMPROMISED_MERCHANT', of='t.', count='m.frauds') }}
FROM transactions t
JOIN merchant_fraud m ON t.merchant_id = m.merchant_id
WHERE m.frauds >= ${compromised_count} AND t.event_time >= m.last_reported AND t.event_time - m.last_reported < ${compromised_ms}
  AND {{ valid('t.') }}
PARTITION BY t.account_id
EMIT CHANGES;

{% set recent = "FILTER(m.times, x => x > t.event_time - ${run_ms})" -%}
-- Confirmed fraud feeds back: chargebacks, days late. Where a card was used against its owner's habits, the chargeback says
-- nothing of the merchant; the others say that cards are copied there. Reads the sources of queries.sql and amount-rules.sql.

-- The limits, once, in milliseconds: how long a merchant stays compromised from its first fraud (28 days), how long after
-- one fraud alone (10), how long a fraud is remembered (35), how long before it an unusual amount explains it (14).
DEFINE compromised_ms = '2419200000';
DEFINE single_ms = '864000000';
DEFINE run_ms = '3024000000';
DEFINE explained_ms = '1209600000';

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

CREATE STREAM unexplained_fraud WITH (KAFKA_TOPIC='unexplained_fraud', VALUE_FORMAT='JSON') AS
SELECT l.merchant_id AS merchant_id, l.transaction_id AS transaction_id, l.event_time AS event_time
FROM fraud_labels l
LEFT JOIN account_unusual u ON l.account_id = u.account
WHERE l.is_fraud AND l.merchant_id IS NOT NULL AND l.event_time IS NOT NULL
  AND (u.times IS NULL OR ARRAY_LENGTH(FILTER(u.times, x => x >= l.event_time - ${explained_ms})) = 0)
PARTITION BY l.merchant_id
EMIT CHANGES;

CREATE TABLE merchant_fraud WITH (KAFKA_TOPIC='merchant_fraud', VALUE_FORMAT='JSON') AS
SELECT merchant_id, LATEST_BY_OFFSET(event_time, 40) AS times
FROM unexplained_fraud
GROUP BY merchant_id
EMIT CHANGES;

-- Rule: a payment where cards are copied. `tx_count` counts the frauds, the window is from the first of them.
INSERT INTO fraud_alerts WITH (QUERY_ID='compromised_merchant')
{{ alert('COMPROMISED_MERCHANT', of='t.', count='CAST(ARRAY_LENGTH(' ~ recent ~ ') AS BIGINT)',
         start='ARRAY_MIN(' ~ recent ~ ')', end='t.event_time', at='t.event_time') }}
FROM transactions t
-- What has no merchant meets none, and is not left out for want of a key.
JOIN merchant_fraud m ON COALESCE(t.merchant_id, '') = m.merchant_id
WHERE ARRAY_LENGTH({{ recent }}) > 0
  AND ARRAY_MIN({{ recent }}) > t.event_time - ${compromised_ms}
  AND (ARRAY_LENGTH({{ recent }}) > 1 OR ARRAY_MIN({{ recent }}) > t.event_time - ${single_ms})
  AND {{ valid('t.') }}
PARTITION BY t.account_id
EMIT CHANGES;

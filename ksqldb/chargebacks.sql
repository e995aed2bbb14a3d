-- Confirmed fraud feeds back: chargebacks, days late, build a table of fraud per merchant; a payment at a merchant with
-- recent confirmed fraud becomes an alert. Reads the sources of queries.sql.

-- How long a merchant stays compromised after its last chargeback, in milliseconds (14 days), and after how many.
DEFINE compromised_ms = '1209600000';
DEFINE compromised_count = '1';

CREATE STREAM fraud_labels (
  account_id VARCHAR KEY,
  transaction_id VARCHAR,
  is_fraud BOOLEAN,
  reason VARCHAR,
  event_time BIGINT,
  reported_at BIGINT
) WITH (KAFKA_TOPIC='fraud_labels', VALUE_FORMAT='JSON', PARTITIONS=3, TIMESTAMP='reported_at');

-- A chargeback names the payment only: where was it made?
CREATE TABLE payment_merchant WITH (KAFKA_TOPIC='payment_merchant', VALUE_FORMAT='JSON') AS
SELECT transaction_id, LATEST_BY_OFFSET(merchant_id) AS merchant_id
FROM transactions
GROUP BY transaction_id
EMIT CHANGES;

CREATE STREAM confirmed_fraud WITH (KAFKA_TOPIC='confirmed_fraud', VALUE_FORMAT='JSON') AS
SELECT transaction_id, reported_at
FROM fraud_labels
WHERE is_fraud
PARTITION BY transaction_id
EMIT CHANGES;

CREATE STREAM fraud_at_merchant WITH (KAFKA_TOPIC='fraud_at_merchant', VALUE_FORMAT='JSON') AS
SELECT p.merchant_id AS merchant_id, f.transaction_id AS transaction_id, f.reported_at AS reported_at
FROM confirmed_fraud f
JOIN payment_merchant p ON f.transaction_id = p.transaction_id
PARTITION BY p.merchant_id
EMIT CHANGES;

CREATE TABLE merchant_fraud WITH (KAFKA_TOPIC='merchant_fraud', VALUE_FORMAT='JSON') AS
SELECT merchant_id, COUNT(*) AS frauds, MAX(reported_at) AS last_reported
FROM fraud_at_merchant
GROUP BY merchant_id
EMIT CHANGES;

CREATE STREAM transactions_by_merchant WITH (KAFKA_TOPIC='transactions_by_merchant', VALUE_FORMAT='JSON') AS
SELECT merchant_id, account_id, transaction_id, amount, event_time
FROM transactions
PARTITION BY merchant_id
EMIT CHANGES;

INSERT INTO fraud_alerts WITH (QUERY_ID='compromised_merchant')
SELECT t.account_id AS account_id,
       CONCAT('COMPROMISED_MERCHANT:', t.transaction_id) AS alert_id,
       'COMPROMISED_MERCHANT' AS rule,
       t.transaction_id AS transaction_id,
       t.amount AS amount,
       m.frauds AS tx_count,
       t.event_time AS window_start,
       t.event_time AS window_end,
       t.event_time AS detected_at
FROM transactions_by_merchant t
JOIN merchant_fraud m ON t.merchant_id = m.merchant_id
WHERE m.frauds >= ${compromised_count} AND t.event_time >= m.last_reported AND t.event_time - m.last_reported < ${compromised_ms}
PARTITION BY t.account_id
EMIT CHANGES;

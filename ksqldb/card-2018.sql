-- The two core rules with limits that fit real card payments of 2018 (the Fraud Detection Handbook's data, replayed):
-- `streamguard deploy ksqldb/card-2018.sql`, then `generate_transactions.py replay FILE`. The sources are those of
-- queries.sql; the rules run beside the ones there, under names of their own. A file of its own, because the size of a
-- window cannot be a variable in ksqlDB 0.29.

-- The limits, once. Amounts in the currency of the transaction; more than the count is a hit.
DEFINE card_amount = '220';
DEFINE card_hour_count = '2';

CREATE STREAM transactions (
  account_id VARCHAR KEY,
  transaction_id VARCHAR,
  amount DOUBLE,
  currency VARCHAR,
  transaction_type VARCHAR,
  channel VARCHAR,
  merchant_id VARCHAR,
  merchant_name VARCHAR,
  merchant_category VARCHAR,
  city VARCHAR,
  country VARCHAR,
  latitude DOUBLE,
  longitude DOUBLE,
  device_id VARCHAR,
  ip_address VARCHAR,
  event_time BIGINT
) WITH (KAFKA_TOPIC='transactions', VALUE_FORMAT='JSON', PARTITIONS=3, TIMESTAMP='event_time');

-- One schema for the alerts of all rules. The window is [window_start, window_end), in epoch milliseconds.
CREATE STREAM fraud_alerts (
  account_id VARCHAR KEY,
  alert_id VARCHAR,
  rule VARCHAR,
  transaction_id VARCHAR,
  amount DOUBLE,
  tx_count BIGINT,
  window_start BIGINT,
  window_end BIGINT,
  detected_at BIGINT
) WITH (KAFKA_TOPIC='fraud_alerts', VALUE_FORMAT='JSON', PARTITIONS=3);

-- Rule 1: a single payment above the limit.
INSERT INTO fraud_alerts WITH (QUERY_ID='card_high_amount')
SELECT account_id,
       CONCAT('HIGH_AMOUNT:', transaction_id) AS alert_id,
       'HIGH_AMOUNT' AS rule,
       transaction_id,
       amount,
       CAST(1 AS BIGINT) AS tx_count,
       event_time AS window_start,
       event_time AS window_end,
       event_time AS detected_at
FROM transactions
WHERE amount > ${card_amount}
EMIT CHANGES;

-- Rule 2: more payments of one account within an hour than the limit. The table counts...
CREATE TABLE card_velocity WITH (KAFKA_TOPIC='card_velocity', VALUE_FORMAT='JSON') AS
SELECT account_id,
       AS_VALUE(account_id) AS account,
       COUNT(*) AS tx_count,
       SUM(amount) AS total_amount,
       LATEST_BY_OFFSET(transaction_id) AS transaction_id,
       COLLECT_LIST(transaction_id) AS transaction_ids,
       WINDOWSTART AS window_start,
       WINDOWEND AS window_end
FROM transactions
WINDOW TUMBLING (SIZE 1 HOUR, GRACE PERIOD 10 SECONDS)
GROUP BY account_id
HAVING COUNT(*) > ${card_hour_count}
EMIT CHANGES;

-- ...and its changes, read back as a stream (a windowed key cannot be partitioned by, hence KEY_FORMAT NONE)...
CREATE STREAM card_velocity_changes (
  account VARCHAR,
  tx_count BIGINT,
  total_amount DOUBLE,
  transaction_id VARCHAR,
  transaction_ids ARRAY<VARCHAR>,
  window_start BIGINT,
  window_end BIGINT
) WITH (KAFKA_TOPIC='card_velocity', KEY_FORMAT='NONE', VALUE_FORMAT='JSON');

-- ...become alerts: one id per account and window, so that a further payment grows the incident.
INSERT INTO fraud_alerts WITH (QUERY_ID='card_high_velocity')
SELECT account AS account_id,
       CONCAT('HIGH_VELOCITY:', account, ':', CAST(window_start AS VARCHAR)) AS alert_id,
       'HIGH_VELOCITY' AS rule,
       transaction_id,
       total_amount AS amount,
       tx_count,
       window_start,
       window_end,
       ROWTIME AS detected_at
FROM card_velocity_changes
PARTITION BY account
EMIT CHANGES;

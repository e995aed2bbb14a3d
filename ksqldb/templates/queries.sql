-- The sources and the two core rules of StreamGuard. `streamguard deploy` runs this file over REST, on the embedded
-- engine and on ksqlDB 0.29 alike; running it again changes nothing. Further rules stand in files beside it.

-- The limits, once. Amounts in the currency of the transaction; more than the count is a hit.
DEFINE high_amount = '3000';
DEFINE velocity_count = '3';

{{ valid_variables() }}

CREATE STREAM transactions (
  account_id VARCHAR KEY,
  transaction_id VARCHAR,
  amount DECIMAL(19, 4),
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
  amount DECIMAL(19, 4),
  tx_count BIGINT,
  window_start BIGINT,
  window_end BIGINT,
  detected_at BIGINT
) WITH (KAFKA_TOPIC='fraud_alerts', VALUE_FORMAT='JSON', PARTITIONS=3);

-- Rule 1: a single payment above the limit.
INSERT INTO fraud_alerts WITH (QUERY_ID='high_amount')
{{ alert('HIGH_AMOUNT') }}
FROM transactions
WHERE amount > ${high_amount}
  AND {{ valid() }}
EMIT CHANGES;

-- Rule 2: more payments of one account within a minute than the limit. The table counts...
CREATE TABLE account_velocity WITH (KAFKA_TOPIC='account_velocity', VALUE_FORMAT='JSON') AS
SELECT account_id,
       AS_VALUE(account_id) AS account,
       COUNT(*) AS tx_count,
       {{ total() }} AS total_amount,
       LATEST_BY_OFFSET(transaction_id) AS transaction_id,
       COLLECT_LIST(transaction_id) AS transaction_ids,
       WINDOWSTART AS window_start,
       WINDOWEND AS window_end
FROM transactions
WINDOW TUMBLING (SIZE 1 MINUTE, GRACE PERIOD 10 SECONDS)
WHERE {{ valid() }}
GROUP BY account_id
HAVING COUNT(*) > ${velocity_count}
EMIT CHANGES;

-- ...and its changes, read back as a stream (a windowed key cannot be partitioned by, hence KEY_FORMAT NONE)...
CREATE STREAM account_velocity_changes (
  account VARCHAR,
  tx_count BIGINT,
  total_amount DECIMAL(38, 4),
  transaction_id VARCHAR,
  transaction_ids ARRAY<VARCHAR>,
  window_start BIGINT,
  window_end BIGINT
) WITH (KAFKA_TOPIC='account_velocity', KEY_FORMAT='NONE', VALUE_FORMAT='JSON');

-- ...become alerts: one id per account and window, so that a further payment grows the incident.
INSERT INTO fraud_alerts WITH (QUERY_ID='high_velocity')
{{ window_alert('HIGH_VELOCITY') }}
FROM account_velocity_changes
PARTITION BY account
EMIT CHANGES;

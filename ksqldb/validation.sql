-- Validation as a stream: well-formed payments go to transactions_clean, the others to error_logs with the reason.
-- (What is no JSON, or lacks a field, never becomes a row: the consumer keeps it in dead_letters.)
-- Reads the sources of queries.sql.

-- How far an event may lie before or after the moment the log received it, in milliseconds.
DEFINE future_ms = '300000';
DEFINE old_ms = '604800000';

-- The same topic once more, without TIMESTAMP: ROWTIME is then the moment the record was made, not its event time.
CREATE STREAM transactions_received (
  account_id VARCHAR KEY,
  transaction_id VARCHAR,
  amount DECIMAL(19, 4),
  currency VARCHAR,
  channel VARCHAR,
  merchant_id VARCHAR,
  country VARCHAR,
  latitude DOUBLE,
  longitude DOUBLE,
  device_id VARCHAR,
  event_time BIGINT
) WITH (KAFKA_TOPIC='transactions', VALUE_FORMAT='JSON', PARTITIONS=3);

CREATE STREAM transactions_checked WITH (KAFKA_TOPIC='transactions_checked', VALUE_FORMAT='JSON') AS
SELECT account_id,
       transaction_id,
       amount,
       currency,
       channel,
       merchant_id,
       country,
       latitude,
       longitude,
       device_id,
       event_time,
       ROWTIME AS received_at,
       CASE
         WHEN transaction_id IS NULL OR transaction_id = '' THEN 'transaction_id is missing'
         WHEN amount IS NULL THEN 'amount is missing'
         WHEN amount <= 0 THEN 'amount is not above 0'
         WHEN event_time IS NULL THEN 'event_time is missing'
         WHEN event_time > ROWTIME + ${future_ms} THEN 'event_time lies in the future'
         WHEN event_time < ROWTIME - ${old_ms} THEN 'event_time is too old'
         WHEN latitude IS NULL AND longitude IS NOT NULL THEN 'a longitude without latitude'
         WHEN latitude IS NOT NULL AND longitude IS NULL THEN 'a latitude without longitude'
         WHEN latitude < -90 OR latitude > 90 OR longitude < -180 OR longitude > 180 THEN 'no such place on earth'
         WHEN latitude = 0 AND longitude = 0 THEN 'a place of all zeros'
         WHEN device_id = '' THEN 'device_id is empty'
         ELSE 'ok'
       END AS verdict
FROM transactions_received
EMIT CHANGES;

CREATE STREAM transactions_clean WITH (KAFKA_TOPIC='transactions_clean', VALUE_FORMAT='JSON') AS
SELECT account_id, transaction_id, amount, currency, channel, merchant_id, country, latitude, longitude, device_id,
       event_time
FROM transactions_checked
WHERE verdict = 'ok'
EMIT CHANGES;

CREATE STREAM error_logs WITH (KAFKA_TOPIC='error_logs', VALUE_FORMAT='JSON') AS
SELECT account_id, transaction_id, verdict AS reason, amount, event_time, received_at
FROM transactions_checked
WHERE verdict <> 'ok'
EMIT CHANGES;

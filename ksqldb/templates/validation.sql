{% set reason -%}
CASE
         WHEN LEN(account_id) IS NULL OR NOT (LEN(account_id) BETWEEN 1 AND 255) THEN 'account_id is missing or too long'
         WHEN LEN(transaction_id) IS NULL OR NOT (LEN(transaction_id) BETWEEN 1 AND 255) THEN 'transaction_id is missing or too long'
         WHEN amount IS NULL THEN 'amount is missing'
         WHEN NOT (amount > 0) THEN 'amount is not above 0'
         WHEN NOT (amount < 1000000000000) THEN 'amount is too large'
         WHEN currency IS NULL OR LEN(UCASE(currency)) <> 3 OR INSTR('${currencies}', UCASE(currency)) % 4 <> 1 THEN 'currency is not in ISO 4217'
         WHEN amount <> CASE WHEN INSTR('${no_places}', UCASE(currency)) > 0 THEN ROUND(amount, 0)
                             WHEN INSTR('${three_places}', UCASE(currency)) > 0 THEN ROUND(amount, 3) ELSE ROUND(amount, 2) END
           THEN 'amount has more decimal places than its currency'
         WHEN event_time IS NULL THEN 'event_time is missing'
         WHEN event_time < {{ min_time_ms }} THEN 'event_time is too early, or no milliseconds'
         WHEN event_time > UNIX_TIMESTAMP() + ${max_ahead_ms} THEN 'event_time lies in the future'
         WHEN country IS NOT NULL AND (LEN(country) <> 2 OR INSTR('${countries}', country) % 3 <> 1) THEN 'country is not in ISO 3166'
         WHEN latitude < -90 OR latitude > 90 OR longitude < -180 OR longitude > 180 THEN 'no such place on earth'
         ELSE 'ok'
       END
{%- endset -%}
-- Validation as a stream: the transactions that the rules see go to transactions_clean, the others to error_logs with the
-- reason. (What is no JSON never becomes a row: the consumer keeps it in dead_letters.) Reads the topic of queries.sql.

{{ valid_variables() }}

-- The same topic once more, without TIMESTAMP: a record without event_time is a row here.
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

CREATE STREAM transactions_clean WITH (KAFKA_TOPIC='transactions_clean', VALUE_FORMAT='JSON') AS
SELECT account_id, transaction_id, amount, currency, channel, merchant_id, country, latitude, longitude, device_id,
       event_time
FROM transactions_received
WHERE {{ valid() }}
EMIT CHANGES;

CREATE STREAM error_logs WITH (KAFKA_TOPIC='error_logs', VALUE_FORMAT='JSON') AS
SELECT account_id,
       transaction_id,
       {{ reason }} AS reason,
       amount,
       event_time,
       ROWTIME AS received_at
FROM transactions_received
WHERE {{ reason }} <> 'ok'
EMIT CHANGES;

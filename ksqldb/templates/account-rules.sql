{% macro within(milliseconds) -%}
ARRAY_LENGTH(FILTER(times, t => t > times[-1] - {{ milliseconds }} AND t <= times[-1]))
{%- endmacro -%}
-- Rules that look back over an account's own payments, without the borders of windows. Reads the sources of queries.sql.

-- The limits, once. Times in milliseconds, amounts in the currency of the transaction, distances in kilometres.
DEFINE lookback_count = '3';
DEFINE lookback_ms = '60000';
DEFINE burst_count = '5';
DEFINE burst_ms = '120000';
DEFINE travel_km = '50';
DEFINE travel_ms = '300000';
DEFINE spend_amount = '10000';

{{ valid_variables() }}

-- What an account did last, by the order of the topic; the newest stands at the end. Only where so many of these are as late
-- as the longer of the two times allows: without that neither rule can be met, and most payments are alone in it.
CREATE TABLE account_recent WITH (KAFKA_TOPIC='account_recent', VALUE_FORMAT='JSON') AS
SELECT account_id,
       AS_VALUE(account_id) AS account,
       LATEST_BY_OFFSET(event_time, 20) AS times,
       LATEST_BY_OFFSET(transaction_id) AS transaction_id,
       LATEST_BY_OFFSET(amount) AS amount
FROM transactions
WHERE {{ valid() }}
GROUP BY account_id
HAVING ARRAY_SORT(LATEST_BY_OFFSET(event_time, 20), 'DESC')[LEAST(${lookback_count}, ${burst_count}) + 1]
    > LATEST_BY_OFFSET(event_time) - GREATEST(${lookback_ms}, ${burst_ms})
EMIT CHANGES;

CREATE STREAM account_recent_changes (
  account VARCHAR,
  times ARRAY<BIGINT>,
  transaction_id VARCHAR,
  amount DECIMAL(19, 4)
) WITH (KAFKA_TOPIC='account_recent', KEY_FORMAT='NONE', VALUE_FORMAT='JSON');

-- Rule: more payments than the limit in the minute that ends with this one. `amount` is that of the last payment.
INSERT INTO fraud_alerts WITH (QUERY_ID='lookback_velocity')
{{ alert('LOOKBACK_VELOCITY', account='account', count='CAST(' ~ within('${lookback_ms}') ~ ' AS BIGINT)',
         start='times[-1] - ${lookback_ms} + 1', end='times[-1] + 1', at='times[-1]') }}
FROM account_recent_changes
WHERE {{ within('${lookback_ms}') }} > ${lookback_count}
PARTITION BY account
EMIT CHANGES;

-- Rule: the second limit, over two minutes.
INSERT INTO fraud_alerts WITH (QUERY_ID='lookback_burst')
{{ alert('LOOKBACK_BURST', account='account', count='CAST(' ~ within('${burst_ms}') ~ ' AS BIGINT)',
         start='times[-1] - ${burst_ms} + 1', end='times[-1] + 1', at='times[-1]') }}
FROM account_recent_changes
WHERE {{ within('${burst_ms}') }} > ${burst_count}
PARTITION BY account
EMIT CHANGES;

-- The last two places of an account, where they were soon after each other. Payments without a place say nothing about travel.
CREATE TABLE account_places WITH (KAFKA_TOPIC='account_places', VALUE_FORMAT='JSON') AS
SELECT account_id,
       AS_VALUE(account_id) AS account,
       LATEST_BY_OFFSET(event_time, 2) AS times,
       LATEST_BY_OFFSET(latitude, 2) AS latitudes,
       LATEST_BY_OFFSET(longitude, 2) AS longitudes,
       LATEST_BY_OFFSET(transaction_id) AS transaction_id,
       LATEST_BY_OFFSET(amount) AS amount
FROM transactions
WHERE latitude IS NOT NULL AND longitude IS NOT NULL
  AND {{ valid() }}
GROUP BY account_id
HAVING COUNT(*) > 1
   AND ABS(LATEST_BY_OFFSET(event_time, 2)[2] - LATEST_BY_OFFSET(event_time, 2)[1]) < ${travel_ms}
EMIT CHANGES;

CREATE STREAM account_places_changes (
  account VARCHAR,
  times ARRAY<BIGINT>,
  latitudes ARRAY<DOUBLE>,
  longitudes ARRAY<DOUBLE>,
  transaction_id VARCHAR,
  amount DECIMAL(19, 4)
) WITH (KAFKA_TOPIC='account_places', KEY_FORMAT='NONE', VALUE_FORMAT='JSON');

-- Rule: two places further apart than anybody travels in the time between.
INSERT INTO fraud_alerts WITH (QUERY_ID='impossible_travel')
{{ alert('IMPOSSIBLE_TRAVEL', account='account', count='CAST(2 AS BIGINT)',
         start='LEAST(times[1], times[2])', end='GREATEST(times[1], times[2]) + 1', at='times[2]') }}
FROM account_places_changes
WHERE ARRAY_LENGTH(times) = 2
  AND ABS(times[2] - times[1]) < ${travel_ms}
  AND GEO_DISTANCE(latitudes[1], longitudes[1], latitudes[2], longitudes[2], 'KM') > ${travel_km}
PARTITION BY account
EMIT CHANGES;

-- Rule: much money in five minutes, whatever the number of payments.
CREATE TABLE account_spend WITH (KAFKA_TOPIC='account_spend', VALUE_FORMAT='JSON') AS
SELECT account_id,
       AS_VALUE(account_id) AS account,
       COUNT(*) AS tx_count,
       {{ total() }} AS total_amount,
       LATEST_BY_OFFSET(transaction_id) AS transaction_id,
       WINDOWSTART AS window_start,
       WINDOWEND AS window_end
FROM transactions
WINDOW TUMBLING (SIZE 5 MINUTES, GRACE PERIOD 10 SECONDS)
WHERE {{ valid() }}
GROUP BY account_id
HAVING {{ total() }} > ${spend_amount}
EMIT CHANGES;

CREATE STREAM account_spend_changes (
  account VARCHAR,
  tx_count BIGINT,
  total_amount DECIMAL(38, 4),
  transaction_id VARCHAR,
  window_start BIGINT,
  window_end BIGINT
) WITH (KAFKA_TOPIC='account_spend', KEY_FORMAT='NONE', VALUE_FORMAT='JSON');

INSERT INTO fraud_alerts WITH (QUERY_ID='window_amount')
{{ window_alert('WINDOW_AMOUNT') }}
FROM account_spend_changes
PARTITION BY account
EMIT CHANGES;

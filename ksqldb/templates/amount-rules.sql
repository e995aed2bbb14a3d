{% macro earlier() -%}
ARRAY_LENGTH(FILTER(GENERATE_SERIES(1, ARRAY_LENGTH(times) - 1), i => times[i] >= times[-1] - ${repeat_ms}
    AND {{ above_average('amounts[i]', '${unusual_times}') }}))
{%- endmacro -%}
{% macro count() -%}
CAST(CASE WHEN tx_count > 1 THEN 1 + {{ earlier() }} ELSE 1 END AS BIGINT)
{%- endmacro -%}
{% macro unusual() -%}
tx_count > ${known_after} AND {{ above_average('amount', '${unusual_times}') }}
  AND {{ above_spread() }}
{%- endmacro -%}
{% macro high() -%}
amount > ${account_amount} AND INSTR('${account_currencies}', UCASE(currency)) > 0
  AND (tx_count <= ${known_after} OR {{ above_spread() }})
{%- endmacro -%}
-- Rules on amounts that are unusual for the account itself, once and again. Reads the sources of queries.sql.

-- The limits, once: how many times the average of the account's earlier payments, how many of their standard deviations
-- above it, and after how many payments these are known; an amount, and the currencies in which it says something; how
-- long an unusual payment is remembered, in milliseconds.
DEFINE known_after = '5';
DEFINE anomaly_times = '10';
DEFINE unusual_times = '3';
DEFINE spread = '2';
DEFINE account_amount = '220';
DEFINE account_currencies = 'EUR USD GBP';
DEFINE repeat_times = '2';
DEFINE repeat_ms = '259200000';

{{ valid_variables() }}

-- What an account has paid, by the order of the topic, the newest at the end: where the newest is raised at all, for most
-- payments are not.
CREATE TABLE account_amounts WITH (KAFKA_TOPIC='account_amounts', VALUE_FORMAT='JSON') AS
SELECT account_id,
       AS_VALUE(account_id) AS account,
       LATEST_BY_OFFSET(event_time, 11) AS times,
       LATEST_BY_OFFSET(amount, 11) AS amounts,
       LATEST_BY_OFFSET(transaction_id) AS transaction_id,
       LATEST_BY_OFFSET(amount) AS amount,
       LATEST_BY_OFFSET(currency) AS currency,
       COUNT(*) AS tx_count,
       {{ total() }} AS total_amount,
       SUM(CAST(amount AS DOUBLE) * CAST(amount AS DOUBLE)) AS total_square
FROM transactions
WHERE {{ valid() }}
GROUP BY account_id
HAVING (LATEST_BY_OFFSET(amount) > ${account_amount} AND INSTR('${account_currencies}', UCASE(LATEST_BY_OFFSET(currency))) > 0)
    OR (COUNT(*) > ${known_after}
        AND LATEST_BY_OFFSET(amount) * (COUNT(*) - 1) > ${repeat_times} * ({{ total() }} - LATEST_BY_OFFSET(amount)))
EMIT CHANGES;

CREATE STREAM account_amounts_changes (
  account VARCHAR,
  times ARRAY<BIGINT>,
  amounts ARRAY<DECIMAL(19, 4)>,
  transaction_id VARCHAR,
  amount DECIMAL(19, 4),
  currency VARCHAR,
  tx_count BIGINT,
  total_amount DECIMAL(38, 4),
  total_square DOUBLE
) WITH (KAFKA_TOPIC='account_amounts', KEY_FORMAT='NONE', VALUE_FORMAT='JSON');

-- Rule: a payment many times the account's own average before it, once there are enough of them.
INSERT INTO fraud_alerts WITH (QUERY_ID='amount_anomaly')
{{ alert('AMOUNT_ANOMALY', account='account', start='times[-1]') }}
FROM account_amounts_changes
WHERE tx_count > ${known_after} AND {{ above_average('amount', '${anomaly_times}') }}
PARTITION BY account
EMIT CHANGES;

-- Rule: several times the average, and beyond the spread. `tx_count` counts the unusual payments lately, with this one.
INSERT INTO fraud_alerts WITH (QUERY_ID='unusual_amount')
{{ alert('UNUSUAL_AMOUNT', account='account', count=count(), start='times[-1]') }}
FROM account_amounts_changes
WHERE {{ unusual() }}
PARTITION BY account
EMIT CHANGES;

-- Rule: above an amount that the account does not usually reach, or of an account that little is known of.
INSERT INTO fraud_alerts WITH (QUERY_ID='high_for_account')
{{ alert('HIGH_FOR_ACCOUNT', account='account', count=count(), start='times[-1]') }}
FROM account_amounts_changes
WHERE {{ high() }}
PARTITION BY account
EMIT CHANGES;

-- Rule: raised again, soon after an unusual payment.
INSERT INTO fraud_alerts WITH (QUERY_ID='repeated_unusual')
{{ alert('REPEATED_UNUSUAL', account='account', count=count(), start='times[-1]') }}
FROM account_amounts_changes
WHERE tx_count > ${known_after} AND {{ above_average('amount', '${repeat_times}') }}
  AND {{ earlier() }} >= 1
PARTITION BY account
EMIT CHANGES;

-- When an account paid unusual amounts: what a chargeback of it is compared with (chargebacks.sql).
CREATE TABLE account_unusual WITH (KAFKA_TOPIC='account_unusual', VALUE_FORMAT='JSON') AS
SELECT account, LATEST_BY_OFFSET(times[-1], 10) AS times
FROM account_amounts_changes
WHERE ({{ unusual() }})
   OR ({{ high() }})
GROUP BY account
EMIT CHANGES;

{% set times = "GENERATE_SERIES(1, ARRAY_LENGTH(times) - 1)" -%}
{% macro earlier() -%}
ARRAY_LENGTH(FILTER({{ times }}, i => times[i] > times[-1] - ${repeat_ms}
    AND {{ above_average('amounts[i]', '${unusual_times}') }}))
{%- endmacro -%}
{% macro unusual() -%}
tx_count > ${unusual_after} AND {{ above_average('amount', '${unusual_times}') }}
  AND {{ above_spread('${unusual_deviations}') }}
{%- endmacro -%}
{% macro high() -%}
amount > ${account_amount}
  AND (tx_count <= ${unusual_after} OR {{ above_spread('${account_deviations}') }})
{%- endmacro -%}
-- Rules on amounts that are unusual for the account itself, once and again. They read what account-rules.sql keeps of it.

-- The limits, once: how many times the average of the account's earlier payments, and how many of their standard
-- deviations above it; after how many payments an average is known; how long a payment is remembered, in milliseconds.
DEFINE unusual_times = '3';
DEFINE unusual_deviations = '2.5';
DEFINE unusual_after = '5';
DEFINE account_amount = '220';
DEFINE account_deviations = '2';
DEFINE repeat_ms = '172800000';
DEFINE repeat_times = '1.75';
DEFINE spree_count = '3';

-- Rule: an amount that the account does not usually pay. `tx_count` counts the unusual ones lately, with this one.
INSERT INTO fraud_alerts WITH (QUERY_ID='unusual_amount')
{{ alert('UNUSUAL_AMOUNT', account='account', count='CAST(1 + ' ~ earlier() ~ ' AS BIGINT)', start='times[-1]') }}
FROM account_recent_changes
WHERE {{ unusual() }}
PARTITION BY account
EMIT CHANGES;

-- Rule: an amount above a limit that the account does not usually reach, or of an account that little is known of.
INSERT INTO fraud_alerts WITH (QUERY_ID='high_for_account')
{{ alert('HIGH_FOR_ACCOUNT', account='account', count='CAST(CASE WHEN tx_count > 1 THEN 1 + ' ~ earlier() ~ ' ELSE 1 END AS BIGINT)', start='times[-1]') }}
FROM account_recent_changes
WHERE {{ high() }}
PARTITION BY account
EMIT CHANGES;

-- Rule: above the usual again, soon after an unusual amount.
INSERT INTO fraud_alerts WITH (QUERY_ID='repeated_unusual')
{{ alert('REPEATED_UNUSUAL', account='account', count='CAST(1 + ' ~ earlier() ~ ' AS BIGINT)', start='times[-1]') }}
FROM account_recent_changes
WHERE tx_count > ${unusual_after} AND {{ above_average('amount', '${repeat_times}') }}
  AND {{ earlier() }} >= 1
PARTITION BY account
EMIT CHANGES;

-- Rule: whatever is paid after several unusual amounts within the time.
INSERT INTO fraud_alerts WITH (QUERY_ID='unusual_spree')
{{ alert('UNUSUAL_SPREE', account='account', count='CAST(' ~ earlier() ~ ' AS BIGINT)', start='times[-1]') }}
FROM account_recent_changes
WHERE tx_count > ${unusual_after} AND {{ earlier() }} > ${spree_count}
PARTITION BY account
EMIT CHANGES;

-- When an account paid unusual amounts: what a chargeback of it is compared with (chargebacks.sql).
CREATE TABLE account_unusual WITH (KAFKA_TOPIC='account_unusual', VALUE_FORMAT='JSON') AS
SELECT account, LATEST_BY_OFFSET(times[-1], 10) AS times
FROM account_recent_changes
WHERE ({{ unusual() }}) OR ({{ high() }})
GROUP BY account
EMIT CHANGES;

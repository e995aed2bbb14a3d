{% macro rate(name) %}CAST('${commission_{{ name }}}' AS DECIMAL(7, 6)){% endmacro -%}
{% macro band(number) %}CAST('${commission_band_{{ number }}}' AS DECIMAL(19, 4)){% endmacro -%}
{% macro exact(value) %}CAST({{ value }} AS DECIMAL(38, 10)){% endmacro -%}
{% set nothing = 'CAST(0 AS DECIMAL(7, 6))' -%}
{% set earns_nothing = "INSTR('${no_commission}', CONCAT(' ', LCASE(COALESCE(transaction_type, '')), ' ')) > 0" -%}
-- Live figures: what valid transactions come to by the minute, and the commission on them in four ways. They raise no
-- alert and are deployed when asked for: docs/analytics.md says how, and what each figure is. Reads the sources of queries.sql.

-- The rates, once: shares of an amount, of at most six places. The limits of the bands are amounts in the currency of the
-- transaction. The batch jobs read them here too.
DEFINE commission_flat = '0.02';
DEFINE commission_band_1 = '100';
DEFINE commission_band_2 = '1000';
DEFINE commission_rate_1 = '0.01';
DEFINE commission_rate_2 = '0.02';
DEFINE commission_rate_3 = '0.03';

-- Rates of categories of merchants; every other category has the flat one.
{% for category, value in commission_categories.items() %}
DEFINE commission_category_{{ category }} = '{{ value }}';
{% endfor %}

-- Types of transactions that earn no commission, in lower case between spaces: cash, and money that goes back.
DEFINE no_commission = ' cash_in cash_out chargeback deposit refund reversal withdraw withdrawal ';

{{ valid_variables() }}

-- Each valid transaction with its commission: flat at one rate; progressive, each part of the amount at the rate of its
-- band, as an income tax; tiered, the whole amount at the rate of its band, small ones dearest; by the category of the
-- merchant. A rate times an amount has ten places at most: nothing is rounded. What a transaction does not say is the empty
-- text, for no row is grouped by NULL; names are cut at 255 characters.
CREATE STREAM commissions WITH (KAFKA_TOPIC='commissions', VALUE_FORMAT='JSON') AS
SELECT account_id,
       AS_VALUE(account_id) AS account,
       transaction_id,
       event_time,
       UCASE(currency) AS currency,
       SUBSTRING(COALESCE(transaction_type, ''), 1, 255) AS transaction_type,
       SUBSTRING(COALESCE(channel, ''), 1, 255) AS channel,
       SUBSTRING(COALESCE(merchant_category, ''), 1, 255) AS merchant_category,
       SUBSTRING(COALESCE(city, ''), 1, 255) AS city,
       SUBSTRING(COALESCE(merchant_id, ''), 1, 255) AS merchant_id,
       SUBSTRING(merchant_name, 1, 255) AS merchant_name,
       CAST(amount AS DECIMAL(38, 4)) AS amount,
       CASE WHEN {{ earns_nothing }} THEN CAST(0 AS DECIMAL(38, 4)) ELSE CAST(amount AS DECIMAL(38, 4)) END AS earning,
       {{ exact('amount * CASE WHEN ' ~ earns_nothing ~ ' THEN ' ~ nothing ~ '
            ELSE ' ~ rate('flat') ~ ' END') }} AS flat,
       CASE WHEN {{ earns_nothing }} THEN {{ exact('0') }}
            WHEN amount <= {{ band(1) }} THEN {{ exact('amount * ' ~ rate('rate_1')) }}
            WHEN amount <= {{ band(2) }} THEN {{ exact(band(1) ~ ' * ' ~ rate('rate_1') ~ '
              + (amount - ' ~ band(1) ~ ') * ' ~ rate('rate_2')) }}
            ELSE {{ exact(band(1) ~ ' * ' ~ rate('rate_1') ~ '
              + (' ~ band(2) ~ ' - ' ~ band(1) ~ ') * ' ~ rate('rate_2') ~ '
              + (amount - ' ~ band(2) ~ ') * ' ~ rate('rate_3')) }} END AS progressive,
       {{ exact('amount * CASE WHEN ' ~ earns_nothing ~ ' THEN ' ~ nothing ~ '
            WHEN amount < ' ~ band(1) ~ ' THEN ' ~ rate('rate_3') ~ '
            WHEN amount < ' ~ band(2) ~ ' THEN ' ~ rate('rate_2') ~ '
            ELSE ' ~ rate('rate_1') ~ ' END') }} AS tiered,
       CAST(amount * CASE WHEN {{ earns_nothing }} THEN {{ nothing }}
{% for category in commission_categories %}
            WHEN merchant_category = '{{ category }}' THEN {{ rate('category_' ~ category) }}
{% endfor %}
            ELSE {{ rate('flat') }} END AS DECIMAL(38, 10)) AS by_category
FROM transactions
WHERE {{ valid() }}
EMIT CHANGES;

-- Tables by the minute. A transaction that comes more than five minutes late is in none of them.
{{ figures('type', 'transaction_type') }}

{{ figures('channel', 'channel') }}

{{ figures('category', 'merchant_category') }}

{{ figures('city', 'city') }}

{{ figures('account', 'account') }}

{{ figures('merchant', 'merchant_id', label='merchant_name') }}

-- What each merchant brings in five minutes: those that bring most are the top merchants of the window.
{{ figures('merchant_5m', 'merchant_id', 'TUMBLING (SIZE 5 MINUTES', label='merchant_name') }}

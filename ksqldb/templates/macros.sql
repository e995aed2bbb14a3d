{#- What the SQL files have in common. ksqlDB has no views, and a variable stands for a literal or a name only. -#}

{#- The variables that `valid` reads. -#}
{%- macro valid_variables() -%}
-- What makes a transaction valid, the same in every rule (docs/sql-rules.md): how far its time may be ahead of the
-- clock, the codes of ISO 4217 and ISO 3166, and the currencies without decimal places and with three of them.
DEFINE max_ahead_ms = '{{ max_ahead_ms }}';
DEFINE currencies = '{{ currencies }}';
DEFINE no_places = '{{ no_places }}';
DEFINE three_places = '{{ three_places }}';
DEFINE countries = '{{ countries }}';
{%- endmacro -%}

{#- The condition of a valid transaction; `of` is the alias of the stream with its dot, where there are several. -#}
{%- macro valid(of='') -%}
LEN({{ of }}account_id) BETWEEN 1 AND 255 AND LEN({{ of }}transaction_id) BETWEEN 1 AND 255
  AND {{ of }}amount > 0 AND {{ of }}amount < 1000000000000
  AND {{ of }}amount = CASE WHEN INSTR('${no_places}', UCASE({{ of }}currency)) > 0 THEN ROUND({{ of }}amount, 0)
                    WHEN INSTR('${three_places}', UCASE({{ of }}currency)) > 0 THEN ROUND({{ of }}amount, 3) ELSE ROUND({{ of }}amount, 2) END
  AND {{ of }}event_time BETWEEN {{ min_time_ms }} AND UNIX_TIMESTAMP() + ${max_ahead_ms}
  AND LEN(UCASE({{ of }}currency)) = 3 AND INSTR('${currencies}', UCASE({{ of }}currency)) % 4 = 1
  AND ({{ of }}country IS NULL OR (LEN({{ of }}country) = 2 AND INSTR('${countries}', {{ of }}country) % 3 = 1))
  AND ({{ of }}latitude IS NULL OR {{ of }}latitude BETWEEN -90 AND 90) AND ({{ of }}longitude IS NULL OR {{ of }}longitude BETWEEN -180 AND 180)
{%- endmacro -%}

{#- A column under a name; the name alone where they are the same. -#}
{%- macro named(expression, name) -%}
{{ expression }}{{ '' if expression == name else ' AS ' ~ name }}
{%- endmacro -%}

{#- An alert's columns, in the order of the stream fraud_alerts. `id` is what the alert is about, by default its
    transaction; `transaction`, `amount` and `account` are columns or expressions; a window is [start, end). -#}
{%- macro alert(rule, of='', id=none, account='account_id', transaction='transaction_id', amount='amount',
                count='CAST(1 AS BIGINT)', start=none, end=none, at=none) -%}
SELECT {{ named(of ~ account, 'account_id') }},
       CONCAT('{{ rule }}:', {{ id or of ~ transaction }}) AS alert_id,
       '{{ rule }}' AS rule,
       {{ named(of ~ transaction, 'transaction_id') }},
       {{ named(of ~ amount, 'amount') }},
       {{ named(count, 'tx_count') }},
       {{ named(start or of ~ 'event_time', 'window_start') }},
       {{ named(end or start or of ~ 'event_time', 'window_end') }},
       {{ named(at or start or of ~ 'event_time', 'detected_at') }}
{%- endmacro -%}

{#- The alert on a window of an account: one id for the window, which grows with each further transaction. -#}
{%- macro window_alert(rule) -%}
{{ alert(rule, account='account', id="account, ':', CAST(window_start AS VARCHAR)", amount='CAST(total_amount AS DECIMAL(19, 4))',
         count='tx_count', start='window_start', end='window_end', at='ROWTIME') }}
{%- endmacro -%}

{#- A sum of amounts. A SUM beyond its DECIMAL ends the query for good: this one has room for 10^22 transactions. -#}
{%- macro total() -%}
SUM(CAST(amount AS DECIMAL(38, 4)))
{%- endmacro -%}

{#- Over account_amounts_changes: whether an amount is above so many times the account's average before the newest. -#}
{%- macro above_average(of, times) -%}
{{ of }} * (tx_count - 1) > {{ times }} * (total_amount - amount)
{%- endmacro -%}

{#- The same, whether the newest amount is `spread` standard deviations above that average. -#}
{%- macro above_spread() -%}
CAST(amount * (tx_count - 1) - (total_amount - amount) AS DOUBLE) > ${spread} * SQRT(GREATEST(CAST(0 AS DOUBLE),
      (tx_count - 1) * (total_square - CAST(amount AS DOUBLE) * CAST(amount AS DOUBLE))
      - CAST(total_amount - amount AS DOUBLE) * CAST(total_amount - amount AS DOUBLE)))
{%- endmacro -%}

{#- Live figures by a column of the stream commissions and by currency, in windows; `label` is a column that says more of it. -#}
{%- macro figures(by, column, windows='TUMBLING (SIZE 1 MINUTE', label=none) -%}
CREATE TABLE figures_by_{{ by }} WITH (KAFKA_TOPIC='figures_by_{{ by }}', KEY_FORMAT='JSON', VALUE_FORMAT='JSON') AS
SELECT {{ column }},
       currency,
       AS_VALUE({{ column }}) AS name,
       AS_VALUE(currency) AS currency_code,
{% if label %}
       LATEST_BY_OFFSET({{ label }}) AS label,
{% endif %}
       COUNT(*) AS tx_count,
       SUM(amount) AS total_amount,
       SUM(earning) AS earning,
       SUM(flat) AS flat,
       SUM(progressive) AS progressive,
       SUM(tiered) AS tiered,
       SUM(by_category) AS by_category,
       WINDOWSTART AS window_start,
       WINDOWEND AS window_end
FROM commissions
WINDOW {{ windows }}, GRACE PERIOD 5 MINUTES)
GROUP BY {{ column }}, currency
EMIT CHANGES;
{%- endmacro -%}

-- A limit per currency, kept in a table that can be changed live:
--   ksql -e "INSERT INTO currency_limits (currency, limit_amount) VALUES ('KES', 120000);"
-- Reads the sources of queries.sql. The first limits are those of currency-limits-values.sql, sent once, to an empty table.

{{ valid_variables() }}

CREATE TABLE currency_limits (
  currency VARCHAR PRIMARY KEY,
  limit_amount DECIMAL(19, 4)
) WITH (KAFKA_TOPIC='currency_limits', VALUE_FORMAT='JSON', PARTITIONS=3);

INSERT INTO fraud_alerts WITH (QUERY_ID='currency_limit')
{{ alert('CURRENCY_LIMIT', of='t.') }}
FROM transactions t
JOIN currency_limits l ON UCASE(t.currency) = l.currency
WHERE t.amount > l.limit_amount
  AND {{ valid('t.') }}
PARTITION BY t.account_id
EMIT CHANGES;

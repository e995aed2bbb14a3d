-- A limit per currency, kept in a table that can be changed live:
--   ksql -e "INSERT INTO currency_limits (currency, limit_amount) VALUES ('KES', 120000);"
-- Reads the sources of queries.sql. Set the first limits after the deploy:
--   .venv/bin/ksql -f ksqldb/currency-limits-values.sql

CREATE TABLE currency_limits (
  currency VARCHAR PRIMARY KEY,
  limit_amount DOUBLE
) WITH (KAFKA_TOPIC='currency_limits', VALUE_FORMAT='JSON', PARTITIONS=3);

-- A join needs both sides keyed alike.
CREATE STREAM transactions_by_currency WITH (KAFKA_TOPIC='transactions_by_currency', VALUE_FORMAT='JSON') AS
SELECT currency, account_id, transaction_id, amount, event_time
FROM transactions
PARTITION BY currency
EMIT CHANGES;

INSERT INTO fraud_alerts WITH (QUERY_ID='currency_limit')
SELECT t.account_id AS account_id,
       CONCAT('CURRENCY_LIMIT:', t.transaction_id) AS alert_id,
       'CURRENCY_LIMIT' AS rule,
       t.transaction_id AS transaction_id,
       t.amount AS amount,
       CAST(1 AS BIGINT) AS tx_count,
       t.event_time AS window_start,
       t.event_time AS window_end,
       t.event_time AS detected_at
FROM transactions_by_currency t
JOIN currency_limits l ON t.currency = l.currency
WHERE t.amount > l.limit_amount
PARTITION BY t.account_id
EMIT CHANGES;

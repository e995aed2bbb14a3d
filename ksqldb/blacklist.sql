-- Payments of blacklisted accounts, merchants and devices. `streamguard blacklist` writes the compacted topic: the key is
-- KIND:VALUE, a tombstone takes an entry off. Reads the sources of queries.sql.

CREATE TABLE blacklist (
  entry VARCHAR PRIMARY KEY,
  reason VARCHAR,
  expires_at BIGINT
) WITH (KAFKA_TOPIC='blacklist', VALUE_FORMAT='JSON', PARTITIONS=3);

-- Every payment once per kind under which it could be listed.
CREATE STREAM payment_entries (
  entry VARCHAR KEY,
  account_id VARCHAR,
  transaction_id VARCHAR,
  amount DOUBLE,
  event_time BIGINT
) WITH (KAFKA_TOPIC='payment_entries', VALUE_FORMAT='JSON', PARTITIONS=3, TIMESTAMP='event_time');

INSERT INTO payment_entries WITH (QUERY_ID='payment_accounts')
SELECT CONCAT('account:', account_id) AS entry, AS_VALUE(account_id) AS account_id, transaction_id, amount, event_time
FROM transactions
PARTITION BY CONCAT('account:', account_id)
EMIT CHANGES;

INSERT INTO payment_entries WITH (QUERY_ID='payment_merchants')
SELECT CONCAT('merchant:', merchant_id) AS entry, account_id, transaction_id, amount, event_time
FROM transactions
WHERE merchant_id IS NOT NULL
PARTITION BY CONCAT('merchant:', merchant_id)
EMIT CHANGES;

INSERT INTO payment_entries WITH (QUERY_ID='payment_devices')
SELECT CONCAT('device:', device_id) AS entry, account_id, transaction_id, amount, event_time
FROM transactions
WHERE device_id IS NOT NULL
PARTITION BY CONCAT('device:', device_id)
EMIT CHANGES;

INSERT INTO fraud_alerts WITH (QUERY_ID='blacklisted')
SELECT p.account_id AS account_id,
       CONCAT('BLACKLISTED:', p.transaction_id) AS alert_id,
       'BLACKLISTED' AS rule,
       p.transaction_id AS transaction_id,
       p.amount AS amount,
       CAST(1 AS BIGINT) AS tx_count,
       p.event_time AS window_start,
       p.event_time AS window_end,
       p.event_time AS detected_at
FROM payment_entries p
JOIN blacklist b ON p.entry = b.entry
WHERE b.expires_at IS NULL OR b.expires_at > p.event_time
PARTITION BY p.account_id
EMIT CHANGES;

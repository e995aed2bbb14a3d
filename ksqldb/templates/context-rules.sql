{% set hour = '((event_time + ROUND(longitude / 15) * 3600000) % 86400000) / 3600000' %}
-- Rules on the circumstances of a payment: the hour where it was made, and the device it was made with. Neither is
-- suspicious by itself; each becomes an alert with an amount. Reads the sources of queries.sql.

-- The limits, once. Hours by the sun (15 degrees of longitude are an hour), amounts in the currency of the transaction.
DEFINE night_from_hour = '0';
DEFINE night_until_hour = '5';
DEFINE night_amount = '1000';
DEFINE new_device_after = '5';
DEFINE new_device_amount = '500';

{{ valid_variables() }}

-- Rule: much money while people sleep where it is spent. Without a longitude nothing is said: UTC's night is another
-- place's noon. A night across midnight (22 to 5) needs OR in the place of AND.
INSERT INTO fraud_alerts WITH (QUERY_ID='night_amount')
{{ alert('NIGHT_AMOUNT') }}
FROM transactions
WHERE amount > ${night_amount}
  AND longitude IS NOT NULL
  AND {{ hour }} >= ${night_from_hour}
  AND {{ hour }} < ${night_until_hour}
  AND {{ valid() }}
EMIT CHANGES;

-- The devices of an account's last payments, the newest at the end: where the newest is of so much money that a new device
-- would matter. Payments without a device say nothing about devices.
CREATE TABLE account_devices WITH (KAFKA_TOPIC='account_devices', VALUE_FORMAT='JSON') AS
SELECT account_id,
       AS_VALUE(account_id) AS account,
       LATEST_BY_OFFSET(device_id, 50) AS devices,
       LATEST_BY_OFFSET(transaction_id) AS transaction_id,
       LATEST_BY_OFFSET(amount) AS amount,
       LATEST_BY_OFFSET(event_time) AS event_time,
       COUNT(*) AS tx_count
FROM transactions
WHERE device_id IS NOT NULL
  AND {{ valid() }}
GROUP BY account_id
HAVING COUNT(*) > ${new_device_after} AND LATEST_BY_OFFSET(amount) > ${new_device_amount}
EMIT CHANGES;

CREATE STREAM account_devices_changes (
  account VARCHAR,
  devices ARRAY<VARCHAR>,
  transaction_id VARCHAR,
  amount DECIMAL(19, 4),
  event_time BIGINT,
  tx_count BIGINT
) WITH (KAFKA_TOPIC='account_devices', KEY_FORMAT='NONE', VALUE_FORMAT='JSON');

-- Rule: much money from a device that none of the account's last 49 payments came from, once there are enough of them.
INSERT INTO fraud_alerts WITH (QUERY_ID='new_device')
{{ alert('NEW_DEVICE', account='account') }}
FROM account_devices_changes
WHERE tx_count > ${new_device_after}
  AND amount > ${new_device_amount}
  AND ARRAY_LENGTH(FILTER(devices, d => d = devices[-1])) = 1
PARTITION BY account
EMIT CHANGES;

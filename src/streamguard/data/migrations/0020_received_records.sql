-- The JSON of a record that says no more than its row is not kept a second time.

ALTER TABLE transactions ADD COLUMN raw_is_row BOOLEAN NOT NULL DEFAULT FALSE;
COMMENT ON COLUMN transactions.raw_is_row IS 'the record was an object of exactly these fields and values: it is not in transaction_records';

CREATE VIEW received_records AS
SELECT t.transaction_id, t.event_time, coalesce(r.raw, CASE WHEN t.raw_is_row THEN jsonb_build_object(
    'transaction_id', t.transaction_id, 'account_id', t.account_id, 'amount', trim_scale(t.amount),
    'currency', t.currency, 'transaction_type', t.transaction_type, 'channel', t.channel,
    'merchant_id', t.merchant_id, 'merchant_name', t.merchant_name, 'merchant_category', t.merchant_category,
    'city', t.city, 'country', t.country, 'latitude', t.latitude, 'longitude', t.longitude,
    'device_id', t.device_id, 'ip_address', t.ip_address,
    'event_time', (extract(epoch FROM t.event_time) * 1000)::BIGINT
) END) AS raw
FROM transactions t LEFT JOIN transaction_records r USING (event_time, transaction_id);
COMMENT ON VIEW received_records IS 'the JSON of each transaction as it was received, personal data protected; null where it is not kept';

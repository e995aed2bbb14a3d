-- Payments of blacklisted accounts, merchants and devices. `streamguard blacklist` writes the compacted topic: the key is
-- KIND:VALUE, a tombstone takes an entry off. Reads the sources of queries.sql.

{{ valid_variables() }}

CREATE TABLE blacklist (
  entry VARCHAR PRIMARY KEY,
  reason VARCHAR,
  expires_at BIGINT
) WITH (KAFKA_TOPIC='blacklist', VALUE_FORMAT='JSON', PARTITIONS=3);

{% for kind in ('account', 'merchant', 'device') %}
-- A join needs the key of its table: the {{ kind }} as it is listed.
INSERT INTO fraud_alerts WITH (QUERY_ID='blacklisted_{{ kind }}')
{{ alert('BLACKLISTED', of='t.') }}
FROM transactions t
JOIN blacklist b ON CONCAT('{{ kind }}:', t.{{ kind }}_id) = b.entry
WHERE (b.expires_at IS NULL OR b.expires_at > t.event_time)
  AND {{ valid('t.') }}
PARTITION BY t.account_id
EMIT CHANGES;

{% endfor -%}

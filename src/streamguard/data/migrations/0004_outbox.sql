-- Records on their way from the database to a topic: written with the rows that they tell of, removed once acknowledged.

CREATE TABLE outbox (
    record_no  BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id         UUID NOT NULL DEFAULT gen_random_uuid(),
    topic      TEXT NOT NULL,
    key        BYTEA,
    value      BYTEA NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE outbox IS 'records that their topic does not have yet, or that nobody has seen acknowledged';
COMMENT ON COLUMN outbox.id IS 'header "id" of the record: after a crash the end of the topic says which were sent';

CREATE TABLE outbox_positions (
    topic        TEXT NOT NULL,
    partition_no INTEGER NOT NULL,
    next_offset  BIGINT NOT NULL CHECK (next_offset >= 0),
    PRIMARY KEY (topic, partition_no)
);
COMMENT ON TABLE outbox_positions IS 'from here on a topic may hold records that are in the outbox still';

-- Dead letters that were stored and not sent. Decisions of before stay where they are: the topic begins with the next one.
INSERT INTO outbox (topic, key, value)
SELECT 'dead_letters', raw_key, convert_to(json_build_object(
    'topic', source_topic, 'partition', source_partition, 'offset', source_offset, 'reason', reason,
    'key', translate(encode(raw_key, 'base64'), E'\n', ''), 'value', translate(encode(raw_value, 'base64'), E'\n', ''),
    'failed_at', (extract(epoch FROM failed_at) * 1000)::BIGINT)::TEXT, 'UTF8')
FROM dead_letters WHERE NOT published
ORDER BY source_topic, source_partition, source_offset;

ALTER TABLE dead_letters DROP COLUMN published;
COMMENT ON TABLE dead_letters IS 'records that could not be used, whole, with the reason';

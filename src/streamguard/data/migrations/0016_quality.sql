-- The quality of what the sources send, by the minute in which it was stored.

-- Two objects of counts, added key by key.
CREATE FUNCTION add_counts(one JSONB, other JSONB) RETURNS JSONB LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(jsonb_object_agg(key, total), '{}') FROM (
        SELECT key, sum(value::BIGINT) AS total FROM (
            SELECT * FROM jsonb_each_text(one) UNION ALL SELECT * FROM jsonb_each_text(other)
        ) AS both_of_them GROUP BY key
    ) AS totals
$$;

CREATE TABLE quality_minutes (
    minute       TIMESTAMPTZ NOT NULL,
    topic        TEXT NOT NULL,
    lane         INTEGER NOT NULL,
    records      BIGINT NOT NULL,
    dead_letters BIGINT NOT NULL,
    duplicates   BIGINT NOT NULL,
    late         BIGINT NOT NULL,
    ages         JSONB NOT NULL,
    age_sum_s    DOUBLE PRECISION NOT NULL,
    age_max_s    DOUBLE PRECISION NOT NULL,
    filled       JSONB NOT NULL,
    PRIMARY KEY (minute, topic, lane)
);
COMMENT ON TABLE quality_minutes IS 'what the consumer read in a minute, written with its batches; cut by age';
COMMENT ON COLUMN quality_minutes.lane IS 'the lowest partition of a batch: members of the group have rows of their own';
COMMENT ON COLUMN quality_minutes.records IS 'records stored or made dead letters';
COMMENT ON COLUMN quality_minutes.duplicates IS 'those of the dead letters whose id was stored before';
COMMENT ON COLUMN quality_minutes.late IS 'stored records that were too late for the windows of the SQL rules';
COMMENT ON COLUMN quality_minutes.ages IS 'stored records by the seconds from event to row, up to the key; "older" beyond';
COMMENT ON COLUMN quality_minutes.filled IS 'stored records in which a field that may be absent is there';

-- How far the time of a partition has come: what is much older comes late.
ALTER TABLE consumer_offsets ADD COLUMN newest_event_ms BIGINT;
COMMENT ON COLUMN consumer_offsets.newest_event_ms IS 'the newest event time that the partition had, epoch milliseconds';

-- Dead letters of the last hours, by reason.
CREATE INDEX dead_letters_failed ON dead_letters (failed_at);

-- Webhooks: where decisions are posted to, and each delivery until it is done.

CREATE TABLE webhooks (
    hook_no       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    url           TEXT NOT NULL,
    description   TEXT NOT NULL DEFAULT '',
    outcomes      JSONB NOT NULL DEFAULT '[]',
    rules         JSONB NOT NULL DEFAULT '[]',
    secret        TEXT NOT NULL,
    secret_before TEXT,
    rotated_at    TIMESTAMPTZ,
    is_on         BOOLEAN NOT NULL DEFAULT TRUE,
    off_reason    TEXT,
    created_by    TEXT NOT NULL,
    created_at    TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    failures      INTEGER NOT NULL DEFAULT 0,
    failing_since TIMESTAMPTZ,
    held_until    TIMESTAMPTZ,
    last_error    TEXT
);
COMMENT ON TABLE webhooks IS 'addresses that decisions are posted to; while one is off, its deliveries wait';
COMMENT ON COLUMN webhooks.outcomes IS 'the outcomes that it gets; empty for all';
COMMENT ON COLUMN webhooks.rules IS 'the rules of alerts whose decisions it gets; empty for all';
COMMENT ON COLUMN webhooks.secret IS 'what signs its deliveries: whsec_ and base64';
COMMENT ON COLUMN webhooks.secret_before IS 'signs as well for a day after rotated_at, so that the receiver can change over';
COMMENT ON COLUMN webhooks.failures IS 'failed attempts in a row';
COMMENT ON COLUMN webhooks.held_until IS 'after several failures in a row: nothing is tried before';

CREATE TABLE webhook_deliveries (
    delivery_no   BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hook_no       BIGINT NOT NULL REFERENCES webhooks (hook_no) ON DELETE CASCADE,
    message_id    UUID NOT NULL DEFAULT gen_random_uuid(),
    topic         TEXT,
    partition_no  INTEGER,
    record_offset BIGINT,
    payload       BYTEA NOT NULL,
    status        TEXT NOT NULL DEFAULT 'waiting' CHECK (status IN ('waiting', 'delivered', 'given_up')),
    attempts      INTEGER NOT NULL DEFAULT 0,
    created_at    TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    next_at       TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    first_at      TIMESTAMPTZ,
    last_at       TIMESTAMPTZ,
    last_ms       INTEGER,
    last_status   INTEGER,
    last_error    TEXT,
    CONSTRAINT webhook_deliveries_source CHECK (num_nulls(topic, partition_no, record_offset) IN (0, 3))
);
COMMENT ON TABLE webhook_deliveries IS 'a decision on its way to a webhook, and how it went; kept for 30 days after it is done';
COMMENT ON COLUMN webhook_deliveries.message_id IS 'the same at every attempt: receivers tell repetitions by it';
COMMENT ON COLUMN webhook_deliveries.topic IS 'with partition_no and record_offset the record of the decision; null for a test';
COMMENT ON COLUMN webhook_deliveries.next_at IS 'not tried before; a sender that takes it moves this on, so that it is tried again if that sender dies';
COMMENT ON COLUMN webhook_deliveries.first_at IS 'the first attempt: after a day of failures it is given up';
COMMENT ON COLUMN webhook_deliveries.last_status IS 'the HTTP status of the last attempt; null where there was no answer';

CREATE INDEX webhook_deliveries_waiting ON webhook_deliveries (hook_no, delivery_no) WHERE status = 'waiting';
CREATE INDEX webhook_deliveries_given_up ON webhook_deliveries (hook_no, delivery_no) WHERE status = 'given_up';
CREATE INDEX webhook_deliveries_hook ON webhook_deliveries (hook_no, delivery_no);
-- What is done is removed by age.
CREATE INDEX webhook_deliveries_done ON webhook_deliveries (created_at) WHERE status <> 'waiting';

CREATE TABLE webhook_offsets (
    topic        TEXT NOT NULL,
    partition_no INTEGER NOT NULL,
    next_offset  BIGINT NOT NULL CHECK (next_offset >= 0),
    left_out     BIGINT NOT NULL DEFAULT 0,
    updated_at   TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (topic, partition_no)
);
COMMENT ON TABLE webhook_offsets IS 'how far decisions were read for webhooks, written with their deliveries; empty while there is no webhook';
COMMENT ON COLUMN webhook_offsets.left_out IS 'offsets that were removed or corrupt before they were read';

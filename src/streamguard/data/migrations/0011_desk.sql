-- People: who may log in to the desk, what they did, and how alerts are handled between them.

CREATE TABLE users (
    user_name       TEXT PRIMARY KEY CHECK (user_name ~ '^[a-z0-9][a-z0-9._-]{0,63}$'),
    role            TEXT NOT NULL CHECK (role IN ('viewer', 'analyst', 'lead', 'admin')),
    password_hash   TEXT NOT NULL,
    must_change     BOOLEAN NOT NULL DEFAULT FALSE,
    created_by      TEXT NOT NULL,
    created_at      TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    password_set_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    disabled_at     TIMESTAMPTZ
);
COMMENT ON TABLE users IS 'people who log in to the desk; a name is never given away again, so that the audit log stays true';
COMMENT ON COLUMN users.password_hash IS 'argon2id, with its own parameters and salt';
COMMENT ON COLUMN users.must_change IS 'the password was made by somebody else: nothing but changing it is allowed';

CREATE TABLE desk_sessions (
    token_hash BYTEA PRIMARY KEY,
    user_name  TEXT NOT NULL REFERENCES users (user_name) ON DELETE CASCADE,
    csrf_token TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    used_at    TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE desk_sessions IS 'who is logged in; the cookie has the token, the table its SHA-256';
CREATE INDEX desk_sessions_user ON desk_sessions (user_name);

CREATE TABLE audit_log (
    entry_no     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    done_at      TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    done_by      TEXT NOT NULL,
    action       TEXT NOT NULL,
    subject      TEXT NOT NULL,
    reason       TEXT,
    value_before JSONB,
    value_after  JSONB
);
COMMENT ON TABLE audit_log IS 'what people did at the desk, written in the database transaction that did it';
CREATE INDEX audit_log_subject ON audit_log (subject, entry_no);
CREATE INDEX audit_log_by ON audit_log (done_by, entry_no);

CREATE TABLE alert_handling (
    alert_id      TEXT PRIMARY KEY REFERENCES fraud_alerts (alert_id) ON DELETE CASCADE,
    assignee      TEXT REFERENCES users (user_name),
    snoozed_until TIMESTAMPTZ,
    escalated_by  TEXT,
    escalated_at  TIMESTAMPTZ
);
COMMENT ON TABLE alert_handling IS 'who works on an alert, until when it is put aside, and whether a lead is asked';
CREATE INDEX alert_handling_assignee ON alert_handling (assignee) WHERE assignee IS NOT NULL;

CREATE TABLE alert_notes (
    note_no    BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert_id   TEXT NOT NULL REFERENCES fraud_alerts (alert_id) ON DELETE CASCADE,
    written_by TEXT NOT NULL,
    written_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    note       TEXT NOT NULL CHECK (length(note) BETWEEN 1 AND 4000)
);
COMMENT ON TABLE alert_notes IS 'what analysts wrote on an alert; never changed';
CREATE INDEX alert_notes_alert ON alert_notes (alert_id, note_no);

CREATE TABLE saved_views (
    user_name TEXT NOT NULL REFERENCES users (user_name) ON DELETE CASCADE,
    name      TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 40),
    filters   TEXT NOT NULL,
    PRIMARY KEY (user_name, name)
);
COMMENT ON TABLE saved_views IS 'filters of the queue under a name; `filters` is the query string of the page';

-- Whoever watches reads what changed since it last looked, in this order.
CREATE INDEX fraud_alerts_updated ON fraud_alerts (updated_at);
-- The queue: what is open, the worst first.
CREATE INDEX fraud_alerts_queue ON fraud_alerts (score DESC NULLS LAST, detected_at DESC, alert_id) WHERE status = 'open';
-- A rule's alerts by time.
CREATE INDEX fraud_alerts_rule ON fraud_alerts (rule, detected_at);
-- Other accounts with the same device, address or merchant.
CREATE INDEX transactions_device ON transactions (device_id, event_time) WHERE device_id IS NOT NULL;
CREATE INDEX transactions_merchant ON transactions (merchant_id, event_time) WHERE merchant_id IS NOT NULL;

-- Tells everybody who listens that alerts have changed, when the change is there for all.
CREATE FUNCTION notify_alerts() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('fraud_alerts', '');
    RETURN NULL;
END $$;
CREATE TRIGGER fraud_alerts_notify AFTER INSERT OR UPDATE ON fraud_alerts
    FOR EACH STATEMENT EXECUTE FUNCTION notify_alerts();

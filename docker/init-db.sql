-- The schema of a new database. Databases that are there already get the numbered files of
-- src/streamguard/data/migrations instead; tests/streamguard/database/test_migrations.py holds both ends equal.
-- src/streamguard/database/tables.py maps it; tests/streamguard/database/test_schema.py holds the two together.
--
-- One database transaction of the consumer writes rows, decisions, links and offsets, so that every record read has its
-- effect exactly once. Columns named source_* are the partition and offset of the record that a row came from.

CREATE TABLE schema_version (
    version    INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    applied_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE schema_version IS 'the migrations that this database has';
INSERT INTO schema_version (version, name) VALUES
    (1, 'baseline'),
    (2, 'alert_versions'),
    (3, 'lists'),
    (4, 'outbox'),
    (5, 'personal_data'),
    (6, 'amounts'),
    (7, 'refused_alerts'),
    (8, 'rule_mode_history'),
    (9, 'rule_replacements'),
    (10, 'backtests'),
    (11, 'desk'),
    (12, 'api'),
    (13, 'duplicates'),
    (14, 'webhooks'), (15, 'audit_and_lineage'),
    (16, 'quality'),
    (17, 'analytics'),
    (18, 'schedules'),
    (19, 'alerts_to_check'),
    (20, 'received_records');

CREATE TABLE transactions (
    transaction_id    TEXT PRIMARY KEY,
    account_id        TEXT NOT NULL,
    amount            NUMERIC(19, 4) NOT NULL CHECK (amount > 0),
    currency          TEXT NOT NULL,
    transaction_type  TEXT,
    channel           TEXT,
    merchant_id       TEXT,
    merchant_name     TEXT,
    merchant_category TEXT,
    city              TEXT,
    country           TEXT,
    latitude          DOUBLE PRECISION,
    longitude         DOUBLE PRECISION,
    device_id         TEXT,
    ip_address        TEXT,
    event_time        TIMESTAMPTZ NOT NULL,
    is_fraud          BOOLEAN NOT NULL DEFAULT FALSE,
    source_partition  INTEGER NOT NULL,
    source_offset     BIGINT NOT NULL,
    stored_at         TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    raw_is_row        BOOLEAN NOT NULL DEFAULT FALSE
);
COMMENT ON COLUMN transactions.raw_is_row IS 'the record was an object of exactly these fields and values: it is not in transaction_records';
COMMENT ON COLUMN transactions.is_fraud IS 'linked to an alert that an analyst confirmed, or to an open one of an active rule that nobody dismissed';

-- Links and account context look an account up by time.
CREATE INDEX transactions_account_time ON transactions (account_id, event_time);
-- The figures of the README and the desk ask for fraud only.
CREATE INDEX transactions_fraud ON transactions (event_time) WHERE is_fraud;

-- Retention cuts by time.
CREATE INDEX transactions_time ON transactions (event_time);

-- The record of each transaction, beside its row: a month is a table of its own, so that an old one can be dropped whole.
-- `transactions` itself cannot be partitioned: its unique key would have to hold the time. A record is written together
-- with its row and only when the row is new, so an id is here at most once as well. No unique index enforces it: one was
-- measured to cost the store 5 % of its speed.
CREATE TABLE transaction_records (
    transaction_id TEXT NOT NULL,
    event_time     TIMESTAMPTZ NOT NULL,
    raw            JSONB NOT NULL
) PARTITION BY RANGE (event_time);
-- For looking one up beside its row, and for cutting the month that the limit falls in.
CREATE INDEX transaction_records_time ON transaction_records (event_time);
COMMENT ON TABLE transaction_records IS 'records as they were read, personal data protected; cut by age';

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

-- Make what is missing of the tables that hold these months (the first day of each; limits are UTC). Times before 2000 and
-- after 2049 share a table at either end: a stream of nonsense must not make a table per record.
-- Made apart and attached: that waits for no reader, as PARTITION OF would.
CREATE FUNCTION make_record_months(months DATE[]) RETURNS VOID LANGUAGE plpgsql AS $$
DECLARE
    first_day DATE;
    month     TEXT;
    bounds    TEXT;
BEGIN
    FOREACH first_day IN ARRAY months LOOP
        month := 'transaction_records_' || CASE
            WHEN first_day < '2000-01-01' THEN 'early'
            WHEN first_day >= '2050-01-01' THEN 'late'
            ELSE to_char(first_day, 'YYYY_MM') END;
        CONTINUE WHEN is_record_month(month);
        -- Another may be making it just now: ask again once it is done.
        PERFORM pg_advisory_xact_lock(5347003);
        CONTINUE WHEN is_record_month(month);
        bounds := CASE
            WHEN first_day < '2000-01-01' THEN $b$(MINVALUE) TO ('2000-01-01 00:00:00+00')$b$
            WHEN first_day >= '2050-01-01' THEN $b$('2050-01-01 00:00:00+00') TO (MAXVALUE)$b$
            ELSE format('(%L) TO (%L)', to_char(first_day, 'YYYY-MM-DD 00:00:00+00'),
                        to_char(first_day + INTERVAL '1 month', 'YYYY-MM-DD 00:00:00+00')) END;
        EXECUTE format('CREATE TABLE %I (LIKE transaction_records INCLUDING CONSTRAINTS)', month);
        EXECUTE format('ALTER TABLE transaction_records ATTACH PARTITION %I FOR VALUES FROM %s', month, bounds);
    END LOOP;
END $$;

CREATE FUNCTION is_record_month(name TEXT) RETURNS BOOLEAN LANGUAGE sql AS $$
    SELECT EXISTS (SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                   WHERE i.inhparent = 'transaction_records'::regclass AND c.relname = name)
$$;

CREATE TABLE fraud_alerts (
    alert_id         TEXT PRIMARY KEY,
    rule             TEXT NOT NULL,
    account_id       TEXT NOT NULL,
    transaction_id   TEXT,
    amount           NUMERIC(19, 4),
    tx_count         BIGINT NOT NULL,
    window_start     TIMESTAMPTZ,
    window_end       TIMESTAMPTZ,
    detected_at      TIMESTAMPTZ NOT NULL,
    outcome          TEXT CHECK (outcome IN ('dismiss', 'review', 'block', 'refused')),
    score            INTEGER CHECK (score BETWEEN 0 AND 100),
    status           TEXT NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'confirmed', 'dismissed', 'duplicate')),
    source_partition INTEGER NOT NULL,
    source_offset    BIGINT NOT NULL,
    created_at       TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    updated_at       TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    duplicate_of     TEXT,
    CONSTRAINT fraud_alerts_duplicate CHECK ((status = 'duplicate') = (duplicate_of IS NOT NULL))
);
COMMENT ON TABLE fraud_alerts IS 'one row per alert: its newest version; an older one never overwrites a newer one';
COMMENT ON COLUMN fraud_alerts.outcome IS 'what the rules decided on the newest version, or refused where its transaction is a dead letter; null until its transaction is stored';
COMMENT ON COLUMN fraud_alerts.status IS 'what an analyst made of it; open until then';
COMMENT ON COLUMN fraud_alerts.duplicate_of IS 'the alert of the account that says the same, where an analyst named it; null otherwise';

-- A new transaction is linked to the alerts of its account whose window holds it.
CREATE INDEX fraud_alerts_account ON fraud_alerts (account_id, window_end);
CREATE INDEX fraud_alerts_detected ON fraud_alerts (detected_at);
-- The original of a duplicate shows what repeats it.
CREATE INDEX fraud_alerts_duplicate_of ON fraud_alerts (duplicate_of) WHERE duplicate_of IS NOT NULL;

-- No foreign key to transactions: an alert may be stored before its transactions.
CREATE TABLE alert_transactions (
    alert_id       TEXT NOT NULL REFERENCES fraud_alerts (alert_id) ON DELETE CASCADE,
    transaction_id TEXT NOT NULL,
    PRIMARY KEY (alert_id, transaction_id)
);
CREATE INDEX alert_transactions_transaction ON alert_transactions (transaction_id);

-- What the SQL rules reported of an alert, version by version. A version waits until its transaction is stored, or refused.
CREATE TABLE alert_versions (
    alert_id          TEXT NOT NULL REFERENCES fraud_alerts (alert_id) ON DELETE CASCADE,
    tx_count          BIGINT NOT NULL,
    transaction_id    TEXT,
    evidence          JSONB NOT NULL DEFAULT '{}',
    judged            BOOLEAN NOT NULL DEFAULT FALSE,
    refused_topic     TEXT,
    refused_partition INTEGER,
    refused_offset    BIGINT,
    source_partition  INTEGER,
    source_offset     BIGINT,
    stored_at         TIMESTAMPTZ DEFAULT clock_timestamp(),
    PRIMARY KEY (alert_id, tx_count),
    CONSTRAINT alert_versions_refused
        CHECK (num_nulls(refused_topic, refused_partition, refused_offset) IN (0, 3))
);
COMMENT ON TABLE alert_versions IS 'each count of transactions at which an alert was raised';
COMMENT ON COLUMN alert_versions.transaction_id IS 'the transaction that raised this version; it may not be stored yet';
COMMENT ON COLUMN alert_versions.evidence IS 'what the SQL rule reported: amount, window, time';
COMMENT ON COLUMN alert_versions.judged IS 'false while the transaction that raised this version is neither stored nor a dead letter';
COMMENT ON COLUMN alert_versions.refused_topic IS 'with partition and offset the dead letter that the transaction became; null where it is stored or waited for';
COMMENT ON COLUMN alert_versions.source_offset IS 'with source_partition the record of the alert; null for a version that was stored before this was kept';

-- A version that is refused is judged after all when its transaction is stored later.
CREATE INDEX alert_versions_waiting ON alert_versions (transaction_id) WHERE NOT judged OR refused_topic IS NOT NULL;

-- A row per version that the rules judged or the consumer refused, and a row per action of an analyst.
CREATE TABLE decisions (
    alert_id       TEXT NOT NULL,
    tx_count       BIGINT NOT NULL,
    decided_by     TEXT NOT NULL,
    action_no      INTEGER NOT NULL DEFAULT 0,
    transaction_id TEXT,
    outcome        TEXT NOT NULL
        CHECK (outcome IN ('dismiss', 'review', 'block', 'refused', 'confirmed', 'dismissed', 'duplicate', 'reopened')),
    score          INTEGER CHECK (score BETWEEN 0 AND 100),
    reason         TEXT,
    verdicts       JSONB NOT NULL DEFAULT '[]',
    decided_at     TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    status_before  TEXT CHECK (status_before IN ('open', 'confirmed', 'dismissed', 'duplicate')),
    rule_set_no    INTEGER,
    list_change_no BIGINT,
    PRIMARY KEY (alert_id, tx_count, decided_by, action_no),
    CONSTRAINT decisions_version FOREIGN KEY (alert_id, tx_count) REFERENCES alert_versions ON DELETE CASCADE
);
COMMENT ON TABLE decisions IS 'what the rules or an analyst decided on a version of an alert';
COMMENT ON COLUMN decisions.decided_by IS 'rules, consumer (a version whose transaction it refused), or analyst:NAME';
COMMENT ON COLUMN decisions.action_no IS 'counts the actions of analysts on the alert; 0 for the rules';
COMMENT ON COLUMN decisions.tx_count IS 'the version of the alert that was judged: its count of transactions';
COMMENT ON COLUMN decisions.outcome IS 'dismiss, review or block by the rules; refused by the consumer; confirmed, dismissed, duplicate or reopened by an analyst';
COMMENT ON COLUMN decisions.verdicts IS 'one object per Python rule: rule, version, mode, points, outcome, reason, facts';
COMMENT ON COLUMN decisions.status_before IS 'the status of the alert that an analyst changed';
COMMENT ON COLUMN decisions.rule_set_no IS 'what the rules decided with; without a constraint, for nothing removes a rule set. Null: decided by a person, or before this was kept';
COMMENT ON COLUMN decisions.list_change_no IS 'the newest change of the lists that was seen';

-- What decisions rested on. A rule set is stored once and each decision names it, so that it costs a decision four bytes.
CREATE TABLE rule_sets (
    rule_set_no INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hash        BYTEA NOT NULL UNIQUE,
    content     JSONB NOT NULL,
    first_used  TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE rule_sets IS 'each distinct state of program, Python rules, modes, limits, points and deployed SQL that decisions were made with';
COMMENT ON COLUMN rule_sets.hash IS 'SHA-256 of the content, the same wherever the same rules decide';

-- What the SQL rules consisted of. The consumer looks at the highest number only.
CREATE TABLE deployed_rules (
    deployment_no INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule          TEXT NOT NULL,
    version       INTEGER NOT NULL,
    sql_hash      TEXT NOT NULL,
    sql_text      TEXT NOT NULL,
    deployed_by   TEXT NOT NULL,
    deployed_at   TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE deployed_rules IS 'the statements of a SQL rule, whenever a deployment found others than before';
COMMENT ON COLUMN deployed_rules.sql_hash IS 'SHA-256 of sql_text, in hexadecimal';
CREATE INDEX deployed_rules_rule ON deployed_rules (rule, deployment_no);

CREATE TABLE lists (
    list       TEXT NOT NULL CHECK (list IN ('blacklist', 'allowlist')),
    kind       TEXT NOT NULL CHECK (kind IN ('account', 'merchant', 'device', 'ip', 'country')),
    value      TEXT NOT NULL,
    reason     TEXT NOT NULL,
    expires_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (list, kind, value)
);
COMMENT ON TABLE lists IS 'values that must not pay (blacklist) and values that are trusted (allowlist)';

-- The rules look values up without knowing on which list they are.
CREATE INDEX lists_value ON lists (value);

CREATE TABLE list_history (
    change_no  BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    list       TEXT NOT NULL,
    kind       TEXT NOT NULL,
    value      TEXT NOT NULL,
    change     TEXT NOT NULL CHECK (change IN ('add', 'change', 'remove')),
    reason     TEXT,
    expires_at TIMESTAMPTZ,
    changed_by TEXT NOT NULL,
    changed_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE list_history IS 'every change of a list: who, when, why, and until when the entry is valid';

-- Read for every batch, so a change works at once.
CREATE TABLE rule_modes (
    rule       TEXT PRIMARY KEY,
    mode       TEXT NOT NULL CHECK (mode IN ('active', 'shadow', 'off')),
    changed_by TEXT NOT NULL,
    changed_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE rule_modes IS 'how a rule of the catalogue takes part, by its name; a rule without a row is active';

CREATE TABLE rule_mode_history (
    change_no   BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule        TEXT NOT NULL,
    mode_before TEXT NOT NULL CHECK (mode_before IN ('active', 'shadow', 'off')),
    mode_after  TEXT NOT NULL CHECK (mode_after IN ('active', 'shadow', 'off')),
    reason      TEXT NOT NULL,
    changed_by  TEXT NOT NULL,
    changed_at  TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE rule_mode_history IS 'every change of the mode of a rule: who, when, why, before and after';

-- What deployments replaced or started of the SQL rules, and from which transactions on. The consumer reads it with alerts.
CREATE TABLE rule_replacements (
    replacement_no BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule           TEXT NOT NULL,
    start          TEXT NOT NULL CHECK (start IN ('now', 'beginning')),
    sql_before     TEXT,
    sql_after      TEXT NOT NULL,
    reason         TEXT NOT NULL,
    replaced_by    TEXT NOT NULL,
    replaced_at    TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    first_offsets  JSONB NOT NULL,
    alert_offsets  JSONB,
    finished_at    TIMESTAMPTZ,
    applies        BOOLEAN NOT NULL DEFAULT TRUE,
    left_out       BIGINT NOT NULL DEFAULT 0,
    superseded     BIGINT NOT NULL DEFAULT 0
);
COMMENT ON TABLE rule_replacements IS 'every replacement of a SQL rule: who, when, why, before and after, and where the new one begins';
COMMENT ON COLUMN rule_replacements.first_offsets IS 'the first offset of each partition of transactions that the new rule decides on';
COMMENT ON COLUMN rule_replacements.alert_offsets IS 'the first offset of each partition of fraud_alerts that the new rule wrote; null while the old one runs';
COMMENT ON COLUMN rule_replacements.finished_at IS 'when the new rule was sent; null in a deployment that runs or was cut off';
COMMENT ON COLUMN rule_replacements.applies IS 'false once a topic was made anew: its offsets mean nothing any more';
COMMENT ON COLUMN rule_replacements.left_out IS 'alerts of the new rule on transactions before its first, which were not stored before';
COMMENT ON COLUMN rule_replacements.superseded IS 'alerts of the old rule on transactions that the new one decides on';

CREATE UNIQUE INDEX rule_replacements_open ON rule_replacements (rule) WHERE finished_at IS NULL;

-- Alerts that cannot be decided yet: their transaction is not stored, or the old rule still runs.
CREATE TABLE held_alerts (
    source_partition INTEGER NOT NULL,
    source_offset    BIGINT NOT NULL,
    rule             TEXT NOT NULL,
    alert            JSONB NOT NULL,
    held_at          TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (source_partition, source_offset)
);
COMMENT ON TABLE held_alerts IS 'alerts around the replacement of their rule, until it is known which of the two rules decides';

CREATE TABLE alerts_to_check (
    alert_id       TEXT PRIMARY KEY REFERENCES fraud_alerts (alert_id) ON DELETE CASCADE,
    running_before BIGINT
);
COMMENT ON TABLE alerts_to_check IS 'alerts stored beside other consumers whose transaction was not there: looked at once more';
COMMENT ON COLUMN alerts_to_check.running_before IS 'when every database transaction with a lower number has ended, nothing of that moment is invisible any more; null until a consumer has looked';

CREATE TABLE shadow_deployments (
    deployment_no BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    state         TEXT NOT NULL CHECK (state IN ('running', 'promoting', 'promoted', 'dropping', 'dropped')),
    files         JSONB NOT NULL,
    definitions   JSONB NOT NULL,
    reason        TEXT NOT NULL,
    made_by       TEXT NOT NULL,
    made_at       TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    change_reason TEXT,
    changed_by    TEXT,
    changed_at    TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE shadow_deployments IS 'SQL files that run beside the live ones: noted before the first statement is sent';
COMMENT ON COLUMN shadow_deployments.files IS 'name and text of each file, as they were deployed';
COMMENT ON COLUMN shadow_deployments.definitions IS 'values of variables in the place of those that the files define';

CREATE UNIQUE INDEX shadow_deployments_open ON shadow_deployments ((TRUE)) WHERE state IN ('running', 'promoting', 'dropping');

CREATE TABLE backtests (
    backtest_no BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    command     TEXT NOT NULL,
    inputs      TEXT NOT NULL,
    result      TEXT NOT NULL,
    created_by  TEXT NOT NULL,
    created_at  TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE backtests IS 'back-tests of rules: the inputs, from which each can be repeated, and the result, both JSON texts whose bytes count';

CREATE TABLE dead_letters (
    source_topic      TEXT NOT NULL,
    source_partition  INTEGER NOT NULL,
    source_offset     BIGINT NOT NULL,
    reason            TEXT NOT NULL,
    raw_key           BYTEA,
    raw_value         BYTEA,
    failed_at         TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    transaction_id    TEXT,
    account_id        TEXT,
    retry_id          UUID,
    retried_at        TIMESTAMPTZ,
    retried_by        TEXT,
    retried_partition INTEGER,
    retried_offset    BIGINT,
    PRIMARY KEY (source_topic, source_partition, source_offset)
);
COMMENT ON TABLE dead_letters IS 'records that could not be used, whole, with the reason';
COMMENT ON COLUMN dead_letters.transaction_id IS 'the id in the record of a transaction, as the SQL rules read it; null where they read none';
COMMENT ON COLUMN dead_letters.account_id IS 'the account in the key of the record of a transaction';
COMMENT ON COLUMN dead_letters.retry_id IS 'the id of the record in the outbox by which it was sent again';
COMMENT ON COLUMN dead_letters.retried_offset IS 'with retried_partition the record that it was sent again as; null until that is sent';

-- Alerts look up the dead letters of their transactions, and the outbox those that it sends again.
CREATE INDEX dead_letters_transaction
    ON dead_letters (transaction_id, source_topic, source_offset, source_partition) WHERE transaction_id IS NOT NULL;
CREATE INDEX dead_letters_retrying ON dead_letters (retry_id) WHERE retry_id IS NOT NULL AND retried_offset IS NULL;
-- Dead letters of the last hours, by reason.
CREATE INDEX dead_letters_failed ON dead_letters (failed_at);

-- Records on their way to a topic: written with the rows that they tell of, removed once acknowledged.
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

CREATE TABLE consumer_offsets (
    group_id      TEXT NOT NULL,
    topic         TEXT NOT NULL,
    partition_no  INTEGER NOT NULL,
    next_offset   BIGINT NOT NULL CHECK (next_offset >= 0),
    records_read  BIGINT NOT NULL DEFAULT 0,
    updated_at    TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    newest_event_ms BIGINT,
    PRIMARY KEY (group_id, topic, partition_no)
);
COMMENT ON COLUMN consumer_offsets.next_offset IS 'the first offset whose effect is not yet in this database';
COMMENT ON COLUMN consumer_offsets.newest_event_ms IS 'the newest event time that the partition had, epoch milliseconds';
COMMENT ON COLUMN consumer_offsets.records_read IS 'always equal to the rows stored plus the dead letters plus the transactions cut';

-- How personal data is stored: one row, kept by the first start, and the same for every later one.

CREATE TABLE personal_data (
    only_row        BOOLEAN PRIMARY KEY DEFAULT true CHECK (only_row),
    account         TEXT NOT NULL CHECK (account IN ('keep', 'mask', 'token')),
    card            TEXT NOT NULL CHECK (card IN ('keep', 'mask', 'token')),
    ip              TEXT NOT NULL CHECK (ip IN ('keep', 'mask', 'token')),
    device          TEXT NOT NULL CHECK (device IN ('keep', 'mask', 'token')),
    fields          JSONB NOT NULL DEFAULT '{}',
    key_fingerprint TEXT,
    set_at          TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE personal_data IS 'how each kind of personal data is stored here; the key itself is not in the database';
COMMENT ON COLUMN personal_data.fields IS 'names of fields, beyond the usual ones, to the kind of value that they hold';

-- What was cut by age: `streamguard retention`.
CREATE TABLE retention_cuts (
    started_at TIMESTAMPTZ NOT NULL,
    what       TEXT NOT NULL,
    older_than TIMESTAMPTZ NOT NULL,
    cut_by     TEXT NOT NULL,
    row_count  BIGINT NOT NULL,
    PRIMARY KEY (started_at, what)
);
COMMENT ON TABLE retention_cuts IS 'records read = rows stored + dead letters + the transactions cut here';

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
    entry_no      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    done_at       TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    done_by       TEXT NOT NULL,
    action        TEXT NOT NULL,
    subject       TEXT NOT NULL,
    reason        TEXT,
    value_before  JSONB,
    value_after   JSONB,
    chain_no      BIGINT UNIQUE,
    previous_hash BYTEA,
    row_hash      BYTEA
);
COMMENT ON TABLE audit_log IS 'what people did at the desk, written in the database transaction that did it';
CREATE INDEX audit_log_subject ON audit_log (subject, entry_no);
CREATE INDEX audit_log_by ON audit_log (done_by, entry_no);

-- The audit log is a chain: each row has the SHA-256 of its content, of its number and of the row before. `streamguard audit
-- verify` computes them anew. The rows are chained at the commit, by a deferred trigger: so the head's row is the last lock
-- that a transaction takes, and is held no longer than the commit takes.
COMMENT ON COLUMN audit_log.chain_no IS 'the place in the chain, from 1 on without a gap, in the order of the commits; null until the commit';

CREATE TABLE audit_head (
    only_row BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (only_row),
    chain_no BIGINT NOT NULL,
    row_hash BYTEA NOT NULL
);
COMMENT ON TABLE audit_head IS 'the last row of the audit log, in a single row: without it a removed end would not show';
INSERT INTO audit_head (chain_no, row_hash) VALUES (0, decode(repeat('00', 32), 'hex'));

-- SHA-256 of the fields, each behind its length in characters and a colon, null as -, with commas between.
CREATE FUNCTION audit_hash(place BIGINT, previous BYTEA, entry audit_log) RETURNS BYTEA LANGUAGE SQL STABLE AS $$
    SELECT sha256(convert_to(string_agg(coalesce(length(f.field) || ':' || f.field, '-'), ',' ORDER BY f.position), 'UTF8'))
    FROM unnest(ARRAY[
        CAST(place AS TEXT), encode(previous, 'hex'), CAST(entry.entry_no AS TEXT),
        CAST(trunc(extract(epoch FROM entry.done_at) * 1000000) AS TEXT), entry.done_by, entry.action, entry.subject,
        entry.reason, CAST(entry.value_before AS TEXT), CAST(entry.value_after AS TEXT)
    ]) WITH ORDINALITY AS f (field, position)
$$;

CREATE FUNCTION chain_audit() RETURNS TRIGGER LANGUAGE plpgsql AS $$
DECLARE
    head  audit_head;
    entry audit_log;
BEGIN
    SELECT * INTO head FROM audit_head FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the table audit_head has lost its row, nothing can be added to the audit log: see docs/runbook.md, "The audit log was changed"';
    END IF;
    SELECT * INTO entry FROM audit_log WHERE entry_no = NEW.entry_no;
    IF FOUND THEN
        UPDATE audit_log
        SET chain_no = head.chain_no + 1, previous_hash = head.row_hash, row_hash = audit_hash(head.chain_no + 1, head.row_hash, entry)
        WHERE entry_no = NEW.entry_no RETURNING * INTO entry;
        UPDATE audit_head SET chain_no = entry.chain_no, row_hash = entry.row_hash;
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER audit_log_chain AFTER INSERT ON audit_log
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION chain_audit();

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

-- Programs that use the API of the desk: their tokens, and what they were answered under an idempotency key.

CREATE TABLE api_tokens (
    token_no   BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    token_hash BYTEA NOT NULL UNIQUE,
    user_name  TEXT NOT NULL REFERENCES users (user_name) ON DELETE CASCADE,
    name       TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 60),
    scope      TEXT NOT NULL CHECK (scope IN ('read', 'write')),
    created_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    expires_at TIMESTAMPTZ,
    used_at    TIMESTAMPTZ,
    revoked_at TIMESTAMPTZ
);
COMMENT ON TABLE api_tokens IS 'personal tokens of the API: a program may what its user may, or with the scope read only look';
COMMENT ON COLUMN api_tokens.token_hash IS 'SHA-256 of the token, which is shown once';

CREATE TABLE api_answers (
    token_no     BIGINT NOT NULL REFERENCES api_tokens (token_no) ON DELETE CASCADE,
    idempotency  TEXT NOT NULL CHECK (length(idempotency) BETWEEN 1 AND 200),
    request_hash BYTEA NOT NULL,
    status       INTEGER NOT NULL,
    body         TEXT NOT NULL,
    answered_at  TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (token_no, idempotency)
);
COMMENT ON TABLE api_answers IS 'what a request with an Idempotency-Key was answered, for a day: the same request again gets the same';
CREATE INDEX api_answers_time ON api_answers (answered_at);

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

-- Live figures, which ksqldb/analytics.sql counts, and the results of batch jobs.

CREATE TABLE live_figures (
    figure                 TEXT NOT NULL,
    window_start           TIMESTAMPTZ NOT NULL,
    window_end             TIMESTAMPTZ NOT NULL,
    name                   TEXT NOT NULL,
    currency               TEXT NOT NULL,
    label                  TEXT,
    transactions           BIGINT NOT NULL,
    amount                 NUMERIC(38, 4) NOT NULL,
    earning                NUMERIC(38, 4) NOT NULL,
    commission_flat        NUMERIC(38, 10) NOT NULL,
    commission_progressive NUMERIC(38, 10) NOT NULL,
    commission_tiered      NUMERIC(38, 10) NOT NULL,
    commission_by_category NUMERIC(38, 10) NOT NULL,
    PRIMARY KEY (figure, window_start, name, currency)
);
COMMENT ON TABLE live_figures IS 'valid transactions of a window by type, channel, category, city, merchant or account, as ksqldb/analytics.sql counts them; cut by age';
COMMENT ON COLUMN live_figures.figure IS 'what is counted: type, channel, category, city, merchant, account by the minute; merchant_5m in 5 minutes; merchant_sliding and account_sliding in a minute that slides by 20 seconds';
COMMENT ON COLUMN live_figures.window_start IS 'the window is from here to before window_end, by the time of the transactions';
COMMENT ON COLUMN live_figures.name IS 'the type, channel, category, city, merchant or account; the empty text where a transaction has none';
COMMENT ON COLUMN live_figures.currency IS 'sums of different currencies are never added';
COMMENT ON COLUMN live_figures.label IS 'the name of a merchant, as its newest transaction has it';
COMMENT ON COLUMN live_figures.earning IS 'the part of the amount that earns commission';
COMMENT ON COLUMN live_figures.commission_flat IS 'one rate for all';
COMMENT ON COLUMN live_figures.commission_progressive IS 'each part of an amount at the rate of its band';
COMMENT ON COLUMN live_figures.commission_tiered IS 'the whole amount at the rate of its band, small amounts dearest';
COMMENT ON COLUMN live_figures.commission_by_category IS 'the rate of the category of the merchant';

-- One merchant or account over time.
CREATE INDEX live_figures_name ON live_figures (figure, name, window_start);
-- Retention cuts by time.
CREATE INDEX live_figures_time ON live_figures (window_start);

CREATE TABLE figure_offsets (
    topic        TEXT NOT NULL,
    partition_no INTEGER NOT NULL,
    next_offset  BIGINT NOT NULL CHECK (next_offset >= 0),
    topic_id     TEXT,
    updated_at   TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (topic, partition_no)
);
COMMENT ON TABLE figure_offsets IS 'how far the topics of live figures were read, written with the figures';
COMMENT ON COLUMN figure_offsets.topic_id IS 'of Kafka: a topic with another one was made anew, and is read from its beginning';

CREATE TABLE analytics_runs (
    run_id      UUID PRIMARY KEY,
    job         TEXT NOT NULL,
    started_at  TIMESTAMPTZ NOT NULL,
    finished_at TIMESTAMPTZ,
    source      TEXT NOT NULL,
    since       TIMESTAMPTZ,
    until       TIMESTAMPTZ,
    rows        BIGINT,
    status      TEXT NOT NULL,
    error       TEXT
);
COMMENT ON TABLE analytics_runs IS 'each run of a batch job: see `streamguard analyse`';
COMMENT ON COLUMN analytics_runs.source IS 'what was read: the address of the lake, or postgres';
COMMENT ON COLUMN analytics_runs.since IS 'transactions from here on, null for all; with until the span that was asked for';
COMMENT ON COLUMN analytics_runs.rows IS 'transactions that were read';
COMMENT ON COLUMN analytics_runs.status IS 'running, done or failed';
CREATE INDEX analytics_runs_job ON analytics_runs (job, started_at);

CREATE TABLE analytics_results (
    run_id UUID NOT NULL REFERENCES analytics_runs (run_id) ON DELETE CASCADE,
    job    TEXT NOT NULL,
    place  INTEGER NOT NULL,
    data   JSONB NOT NULL,
    PRIMARY KEY (run_id, job, place)
);
COMMENT ON TABLE analytics_results IS 'the rows that a run of a batch job found, in their order';
COMMENT ON COLUMN analytics_results.place IS 'counted from 0';

-- What commands that run at times did.

CREATE TABLE schedule_runs (
    run_id      UUID PRIMARY KEY,
    job         TEXT NOT NULL,
    command     TEXT NOT NULL,
    due_at      TIMESTAMPTZ NOT NULL,
    started_at  TIMESTAMPTZ,
    finished_at TIMESTAMPTZ,
    attempts    INTEGER NOT NULL,
    status      TEXT NOT NULL,
    exit_code   INTEGER,
    output      TEXT
);
COMMENT ON TABLE schedule_runs IS 'each run of a scheduled job: see `streamguard schedule history`';
COMMENT ON COLUMN schedule_runs.status IS 'running, done, failed (after all retries), interrupted (ended with the schedule), missed or skipped (not run), added (first seen by the schedule)';
COMMENT ON COLUMN schedule_runs.exit_code IS 'of the last attempt; null where it was stopped, or never began';
COMMENT ON COLUMN schedule_runs.output IS 'the end of what the last attempt printed';
CREATE INDEX schedule_runs_job ON schedule_runs (job, due_at);

CREATE VIEW account_risk_profile AS
SELECT t.account_id,
       count(*)                                              AS transactions,
       sum(t.amount)                                         AS total_amount,
       round(avg(t.amount), 4)                               AS average_amount,
       max(t.amount)                                         AS highest_amount,
       count(*) FILTER (WHERE t.is_fraud)                    AS fraud_transactions,
       round(count(*) FILTER (WHERE t.is_fraud)::NUMERIC / count(*), 4) AS fraud_rate,
       coalesce(max(a.alerts), 0)                            AS alerts,
       min(t.event_time)                                     AS first_seen,
       max(t.event_time)                                     AS last_seen
FROM transactions t
LEFT JOIN (
    SELECT account_id, count(*) AS alerts FROM fraud_alerts WHERE status IN ('open', 'confirmed') GROUP BY account_id
) a ON a.account_id = t.account_id
GROUP BY t.account_id;
COMMENT ON VIEW account_risk_profile IS 'fraud_rate is a share between 0 and 1';

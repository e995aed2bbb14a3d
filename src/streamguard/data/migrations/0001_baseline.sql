-- The schema before migrations were numbered. A database that has it already is left as it is.

CREATE TABLE IF NOT EXISTS transactions (
    transaction_id    TEXT PRIMARY KEY,
    account_id        TEXT NOT NULL,
    amount            NUMERIC(15, 2) NOT NULL CHECK (amount > 0),
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
    stored_at         TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON COLUMN transactions.is_fraud IS 'linked to at least one alert that nobody dismissed';

-- Links and account context look an account up by time.
CREATE INDEX IF NOT EXISTS transactions_account_time ON transactions (account_id, event_time);
-- The dashboard and the figures of the README ask for fraud only.
CREATE INDEX IF NOT EXISTS transactions_fraud ON transactions (event_time) WHERE is_fraud;

-- Retention cuts by time.
CREATE INDEX IF NOT EXISTS transactions_time ON transactions (event_time);

-- The record of each payment, beside its row: a month is a table of its own, so that an old one can be dropped whole.
-- `transactions` itself cannot be cut so: its unique id would have to hold the time. Written together with the row and
-- only when the row is new, so an id is here at most once as well. No unique index says so: one that never refuses a payment
-- (for a record that somebody left behind) was measured to cost the store 5 % of its speed.
CREATE TABLE IF NOT EXISTS transaction_records (
    transaction_id TEXT NOT NULL,
    event_time     TIMESTAMPTZ NOT NULL,
    raw            JSONB NOT NULL
) PARTITION BY RANGE (event_time);
-- For looking one up beside its payment, and for cutting the month that the border falls in.
CREATE INDEX IF NOT EXISTS transaction_records_time ON transaction_records (event_time);
COMMENT ON TABLE transaction_records IS 'records as they were read, personal data protected; cut by age';

-- Make what is missing of the tables that hold these months (the first day of each; borders are UTC). Payments that say to
-- be of before 2000 or after 2049 share a table at either end: a stream of nonsense must not make a table per record.
-- Made apart and attached: that waits for no reader, as PARTITION OF would.
CREATE OR REPLACE FUNCTION make_record_months(months DATE[]) RETURNS VOID LANGUAGE plpgsql AS $$
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

CREATE OR REPLACE FUNCTION is_record_month(name TEXT) RETURNS BOOLEAN LANGUAGE sql AS $$
    SELECT EXISTS (SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                   WHERE i.inhparent = 'transaction_records'::regclass AND c.relname = name)
$$;

-- A database made when records stood in the rows: they move over, once.
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_attribute
               WHERE attrelid = 'transactions'::regclass AND attname = 'raw' AND NOT attisdropped) THEN
        LOCK TABLE transactions IN ACCESS EXCLUSIVE MODE;
        PERFORM make_record_months(ARRAY(
            SELECT DISTINCT date_trunc('month', event_time AT TIME ZONE 'UTC')::DATE
            FROM transactions WHERE raw IS NOT NULL));
        INSERT INTO transaction_records (transaction_id, event_time, raw)
        SELECT transaction_id, event_time, raw FROM transactions WHERE raw IS NOT NULL;
        ALTER TABLE transactions DROP COLUMN raw;
    END IF;
END $$;

CREATE TABLE IF NOT EXISTS fraud_alerts (
    alert_id         TEXT PRIMARY KEY,
    rule             TEXT NOT NULL,
    account_id       TEXT NOT NULL,
    transaction_id   TEXT,
    amount           NUMERIC(15, 2),
    tx_count         BIGINT NOT NULL,
    window_start     TIMESTAMPTZ,
    window_end       TIMESTAMPTZ,
    detected_at      TIMESTAMPTZ NOT NULL,
    outcome          TEXT CHECK (outcome IN ('dismiss', 'review', 'block')),
    score            INTEGER CHECK (score BETWEEN 0 AND 100),
    status           TEXT NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'confirmed', 'dismissed')),
    source_partition INTEGER NOT NULL,
    source_offset    BIGINT NOT NULL,
    created_at       TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    updated_at       TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE fraud_alerts IS 'one row per incident; its evidence grows, an older version never overwrites a newer one';
COMMENT ON COLUMN fraud_alerts.outcome IS 'what the rules decided on the newest version; null until its transaction is stored';
COMMENT ON COLUMN fraud_alerts.status IS 'what an analyst made of it; open until then';

-- A new transaction asks which incidents of its account it belongs to.
CREATE INDEX IF NOT EXISTS fraud_alerts_account ON fraud_alerts (account_id, window_end);
CREATE INDEX IF NOT EXISTS fraud_alerts_detected ON fraud_alerts (detected_at);

-- No foreign key to transactions: an alert may arrive before the transactions it speaks of.
CREATE TABLE IF NOT EXISTS alert_transactions (
    alert_id       TEXT NOT NULL REFERENCES fraud_alerts (alert_id) ON DELETE CASCADE,
    transaction_id TEXT NOT NULL,
    PRIMARY KEY (alert_id, transaction_id)
);
CREATE INDEX IF NOT EXISTS alert_transactions_transaction ON alert_transactions (transaction_id);

-- The audit: a row per version of an alert and per decider, and a row per action of an analyst.
CREATE TABLE IF NOT EXISTS decisions (
    alert_id       TEXT NOT NULL REFERENCES fraud_alerts (alert_id) ON DELETE CASCADE,
    tx_count       BIGINT NOT NULL,
    decided_by     TEXT NOT NULL,
    action_no      INTEGER NOT NULL DEFAULT 0,
    transaction_id TEXT,
    outcome        TEXT CHECK (outcome IN ('dismiss', 'review', 'block', 'confirmed', 'dismissed', 'reopened')),
    score          INTEGER CHECK (score BETWEEN 0 AND 100),
    reason         TEXT,
    verdicts       JSONB NOT NULL DEFAULT '[]',
    evidence       JSONB NOT NULL DEFAULT '{}',
    decided_at     TIMESTAMPTZ,
    PRIMARY KEY (alert_id, tx_count, decided_by, action_no)
);
COMMENT ON COLUMN decisions.tx_count IS 'the version of the alert that was judged: its count of transactions';
COMMENT ON COLUMN decisions.outcome IS 'null while the transaction that raised this version is not stored yet';
COMMENT ON COLUMN decisions.verdicts IS 'one object per rule: rule, version, mode, score, outcome, reason';
COMMENT ON COLUMN decisions.evidence IS 'the facts it rested on';

CREATE INDEX IF NOT EXISTS decisions_pending ON decisions (transaction_id) WHERE outcome IS NULL;

CREATE TABLE IF NOT EXISTS blacklist (
    kind       TEXT NOT NULL CHECK (kind IN ('account', 'merchant', 'device', 'ip', 'country')),
    value      TEXT NOT NULL,
    reason     TEXT NOT NULL,
    expires_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, value)
);

-- The same for what the desk vouches for.
CREATE TABLE IF NOT EXISTS allowlist (
    kind       TEXT NOT NULL CHECK (kind IN ('account', 'merchant', 'device', 'ip', 'country')),
    value      TEXT NOT NULL,
    reason     TEXT NOT NULL,
    expires_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, value)
);

-- How the Python rules take part; a rule without a row is active. Read for every batch, so a change works at once.
CREATE TABLE IF NOT EXISTS rule_modes (
    rule       TEXT PRIMARY KEY,
    mode       TEXT NOT NULL CHECK (mode IN ('active', 'shadow', 'off')),
    changed_by TEXT NOT NULL,
    changed_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE IF NOT EXISTS dead_letters (
    source_topic     TEXT NOT NULL,
    source_partition INTEGER NOT NULL,
    source_offset    BIGINT NOT NULL,
    reason           TEXT NOT NULL,
    raw_key          BYTEA,
    raw_value        BYTEA,
    failed_at        TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    published        BOOLEAN NOT NULL DEFAULT FALSE,
    PRIMARY KEY (source_topic, source_partition, source_offset)
);
COMMENT ON COLUMN dead_letters.published IS 'whether the topic dead_letters has it too';

CREATE INDEX IF NOT EXISTS dead_letters_unpublished ON dead_letters (source_topic, source_partition) WHERE NOT published;

CREATE TABLE IF NOT EXISTS consumer_offsets (
    group_id      TEXT NOT NULL,
    topic         TEXT NOT NULL,
    partition_no  INTEGER NOT NULL,
    next_offset   BIGINT NOT NULL CHECK (next_offset >= 0),
    records_read  BIGINT NOT NULL DEFAULT 0,
    updated_at    TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (group_id, topic, partition_no)
);
COMMENT ON COLUMN consumer_offsets.next_offset IS 'the first offset whose effect is not yet in this database';
COMMENT ON COLUMN consumer_offsets.records_read IS 'always equal to the rows stored plus the dead letters plus the payments cut';

-- What was cut by age: `streamguard retention`.
CREATE TABLE IF NOT EXISTS retention_cuts (
    started_at TIMESTAMPTZ NOT NULL,
    what       TEXT NOT NULL,
    older_than TIMESTAMPTZ NOT NULL,
    cut_by     TEXT NOT NULL,
    row_count  BIGINT NOT NULL,
    PRIMARY KEY (started_at, what)
);
COMMENT ON TABLE retention_cuts IS 'records read = rows stored + dead letters + the payments cut here';

CREATE OR REPLACE VIEW account_risk_profile AS
SELECT t.account_id,
       count(*)                                              AS transactions,
       sum(t.amount)                                         AS total_amount,
       round(avg(t.amount), 2)                               AS average_amount,
       max(t.amount)                                         AS highest_amount,
       count(*) FILTER (WHERE t.is_fraud)                    AS fraud_transactions,
       round(count(*) FILTER (WHERE t.is_fraud)::NUMERIC / count(*), 4) AS fraud_rate,
       coalesce(max(a.alerts), 0)                            AS alerts,
       min(t.event_time)                                     AS first_seen,
       max(t.event_time)                                     AS last_seen
FROM transactions t
LEFT JOIN (
    SELECT account_id, count(*) AS alerts FROM fraud_alerts WHERE status <> 'dismissed' GROUP BY account_id
) a ON a.account_id = t.account_id
GROUP BY t.account_id;
COMMENT ON VIEW account_risk_profile IS 'fraud_rate is a share between 0 and 1';

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

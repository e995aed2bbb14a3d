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

-- A rule can be replaced from now on, and a change of rules can run beside the live ones.

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

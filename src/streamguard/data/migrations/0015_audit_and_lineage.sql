-- The audit log is a chain: each row has the SHA-256 of its content, of its number and of the row before. `streamguard audit
-- verify` computes them anew. The rows are chained at the commit, by a deferred trigger: so the head's row is the last lock
-- that a transaction takes, and is held no longer than the commit takes.
ALTER TABLE audit_log
    ADD COLUMN chain_no      BIGINT UNIQUE,
    ADD COLUMN previous_hash BYTEA,
    ADD COLUMN row_hash      BYTEA;
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

-- The rows of before, in the order of their numbers: from here on a change of them shows.
DO $$
DECLARE
    head  audit_head;
    entry audit_log;
BEGIN
    SELECT * INTO head FROM audit_head;
    FOR entry IN SELECT * FROM audit_log ORDER BY entry_no LOOP
        UPDATE audit_log
        SET chain_no = head.chain_no + 1, previous_hash = head.row_hash, row_hash = audit_hash(head.chain_no + 1, head.row_hash, entry)
        WHERE entry_no = entry.entry_no RETURNING chain_no, row_hash INTO head.chain_no, head.row_hash;
    END LOOP;
    UPDATE audit_head SET chain_no = head.chain_no, row_hash = head.row_hash;
END $$;

CREATE CONSTRAINT TRIGGER audit_log_chain AFTER INSERT ON audit_log
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION chain_audit();

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

ALTER TABLE decisions ADD COLUMN rule_set_no INTEGER, ADD COLUMN list_change_no BIGINT;
COMMENT ON COLUMN decisions.rule_set_no IS 'what the rules decided with; without a constraint, for nothing removes a rule set. Null: decided by a person, or before this was kept';
COMMENT ON COLUMN decisions.list_change_no IS 'the newest change of the lists that was seen';

ALTER TABLE alert_versions
    ADD COLUMN source_partition INTEGER, ADD COLUMN source_offset BIGINT, ADD COLUMN stored_at TIMESTAMPTZ;
ALTER TABLE alert_versions ALTER COLUMN stored_at SET DEFAULT clock_timestamp();
COMMENT ON COLUMN alert_versions.source_offset IS 'with source_partition the record of the alert; null for a version that was stored before this was kept';

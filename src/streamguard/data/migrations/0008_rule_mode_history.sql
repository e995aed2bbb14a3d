-- SQL rules have modes too, and every change of a mode is kept.

COMMENT ON TABLE rule_modes IS 'how a rule of the catalogue takes part, by its name; a rule without a row is active';
COMMENT ON COLUMN transactions.is_fraud IS 'linked to an alert that an analyst confirmed, or to an open one of an active rule that nobody dismissed';

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

INSERT INTO rule_mode_history (rule, mode_before, mode_after, reason, changed_by, changed_at)
SELECT rule, 'active', mode, 'before history was kept', changed_by, changed_at FROM rule_modes ORDER BY changed_at;

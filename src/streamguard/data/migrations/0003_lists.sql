-- Blacklist and allowlist were two tables of one shape. They become one, with its history.

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

INSERT INTO lists (list, kind, value, reason, expires_at, created_at)
SELECT 'blacklist', kind, value, reason, expires_at, created_at FROM blacklist
UNION ALL
SELECT 'allowlist', kind, value, reason, expires_at, created_at FROM allowlist;

INSERT INTO list_history (list, kind, value, change, reason, expires_at, changed_by, changed_at)
SELECT list, kind, value, 'add', reason, expires_at, 'before history was kept', created_at FROM lists ORDER BY created_at;

DROP TABLE blacklist;
DROP TABLE allowlist;

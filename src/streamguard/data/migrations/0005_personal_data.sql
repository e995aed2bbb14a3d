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

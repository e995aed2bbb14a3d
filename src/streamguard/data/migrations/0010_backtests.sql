-- Back-tests are kept whole: who ran which, and what it found.

CREATE TABLE backtests (
    backtest_no BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    command     TEXT NOT NULL,
    inputs      TEXT NOT NULL,
    result      TEXT NOT NULL,
    created_by  TEXT NOT NULL,
    created_at  TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE backtests IS 'back-tests of rules: the inputs, from which each can be repeated, and the result, both JSON texts whose bytes count';

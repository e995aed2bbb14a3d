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

"""The SQL engine measured, beside a bare consumer of the same topic."""

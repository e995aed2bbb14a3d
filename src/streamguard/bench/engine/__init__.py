"""`streamguard bench engine`: the SQL engine over `ksqldb/queries.sql`, beside a bare consumer of the same topic."""

#!/usr/bin/env python3
"""fill_database.py COPIES [OF_ALERTS]: copies what the database of the running stack has, for measurements on large tables.

Each copy has accounts, transactions and alerts of its own (their ids end in ~1, ~2, ...), an hour earlier than the copy before.
OF_ALERTS is for fewer copies of the alerts: 50,000 transactions with 10,000 alerts make 5,000,000 and 200,000 with `99 19`. Raw
records (`transaction_records`) are not copied. For a database that is thrown away afterwards.
"""

from __future__ import annotations

import sys

from sqlalchemy import Connection, text

from streamguard.config import get_settings
from streamguard.database import make_engine

NAMED = {
    "transaction_id": "{column} || '~' || k",
    "account_id": "{column} || '~' || k",
    "device_id": "{column} || '~' || k",
    "alert_id": "{column} || '~' || k",
    "source_offset": "{column} + k::BIGINT * 100000000",
    "stored_at": "{column}",
}
TABLES = ("transactions", "fraud_alerts", "alert_versions", "alert_transactions", "decisions")
COLUMNS = """
SELECT column_name, data_type FROM information_schema.columns
WHERE table_name = :table AND table_schema = 'public' ORDER BY ordinal_position
"""


def copied(column: str, kind: str) -> str:
    """The expression of a column in a copy."""
    if column in NAMED:
        return NAMED[column].format(column=column)
    return f"{column} - k * INTERVAL '1 hour'" if kind.startswith("timestamp") else column


def fill(connection: Connection, table: str, copies: int) -> int:
    """Copy a table; the number of rows that it has gained."""
    columns = connection.execute(text(COLUMNS), {"table": table}).all()
    names = ", ".join(column for column, _ in columns)
    values = ", ".join(copied(column, kind) for column, kind in columns)
    # Only rows that are no copies: the script may be run again with more.
    key = "transaction_id" if table == "transactions" else "alert_id"
    statement = (
        f"INSERT INTO {table} ({names}) SELECT {values} FROM {table}, generate_series(1, :copies) k"
        f" WHERE {key} NOT LIKE '%~%' ON CONFLICT DO NOTHING"
    )
    return int(connection.execute(text(statement), {"copies": copies}).rowcount)


def main() -> None:
    given = sys.argv[1:]
    if len(given) not in (1, 2) or not all(word.isdigit() for word in given):
        sys.exit((__doc__ or "").splitlines()[0])
    engine = make_engine(get_settings())
    for table in TABLES:
        with engine.begin() as connection:
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            copies = int(given[0] if table == "transactions" else given[-1])
            print(f"{table}: {fill(connection, table, copies):,} rows more", flush=True)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("VACUUM ANALYZE"))


if __name__ == "__main__":
    main()

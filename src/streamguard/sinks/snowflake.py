"""Snowflake: tables `transactions`, `fraud_alerts`, `decisions` and `rejected`, each record once.

A batch is one transaction: its rows go into temporary tables, a MERGE on (topic, partition_no, record_offset) adds those that are
missing, another one moves the offsets in `sink_offsets`. Statements that would commit it (CREATE, ALTER, TRUNCATE) come before.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from streamguard.config import Settings
from streamguard.config.extras import need
from streamguard.sinks import snowflake_tables as statements
from streamguard.sinks.base import Batch, SinkError, SinkRecord, SinkUnavailable, sink
from streamguard.sinks.typed import REJECTED, TABLES, tables_of

_ANSWER_S, _LOGIN_S = 60, 15


def _account(settings: Settings) -> str:
    if not settings.snowflake_account:
        raise SinkError(
            "the sink snowflake has no destination: set STREAMGUARD_SNOWFLAKE_ACCOUNT, STREAMGUARD_SNOWFLAKE_USER and"
            " STREAMGUARD_SNOWFLAKE_KEY_FILE (or STREAMGUARD_SNOWFLAKE_PASSWORD)"
        )
    return settings.snowflake_account


def _options(settings: Settings) -> dict[str, Any]:
    return {
        "tables": tables_of(settings),
        "user": settings.snowflake_user,
        "password": settings.snowflake_password.get_secret_value(),
        "key_file": settings.snowflake_key_file,
        "database": settings.snowflake_database,
        "schema": settings.snowflake_schema,
        "warehouse": settings.snowflake_warehouse,
        "role": settings.snowflake_role,
    }


@sink(
    "snowflake",
    destination=_account,
    options=_options,
    batch=lambda settings: Batch(settings.snowflake_batch_records, settings.snowflake_batch_s),
    extra="warehouse",
    module="snowflake.connector",
)
class SnowflakeSink:
    """Writes to a schema of an account, which may be given by its URL. Run one process: Snowflake enforces no key, so two that
    begin a partition in the same moment could both add its first rows."""

    def __init__(
        self,
        destination: str,
        *,
        tables: Mapping[str, str] | None = None,
        user: str = "",
        password: str = "",
        key_file: Path | None = None,
        database: str = "STREAMGUARD",
        schema: str = "PUBLIC",
        warehouse: str = "",
        role: str = "",
    ) -> None:
        self._snowflake: Any = need("warehouse", "snowflake.connector")
        # It writes a line for each attempt; what comes of them is an error here.
        logging.getLogger("snowflake").setLevel(logging.CRITICAL)
        self._shown = destination
        self._tables = dict(tables or {name: name for name in TABLES})
        address = urlsplit(destination)
        options: dict[str, Any] = {"account": destination}
        if address.hostname:
            options = {"account": address.hostname.split(".")[0], "host": address.hostname, "protocol": address.scheme}
            options["port"] = address.port or (443 if address.scheme == "https" else 80)
        options |= {"user": user, "password": password, "database": database, "schema": schema, "role": role}
        options |= {"warehouse": warehouse, "private_key_file": None if key_file is None else str(key_file)}
        self._options = {name: value for name, value in options.items() if value}
        self._connection: Any = None

    def next_offsets(self, topic: str) -> Mapping[int, int]:
        """What `sink_offsets` has; makes the tables at the first call."""
        question = f"SELECT partition_no, next_offset FROM {statements.OFFSETS} WHERE topic = ?"
        try:
            with self._cursor() as cursor:
                cursor.execute(question, (topic,))
                return {int(number): int(offset) for number, offset in cursor.fetchall()}
        except self._snowflake.Error as error:
            raise self._unavailable(error) from None

    def write(self, records: Sequence[SinkRecord]) -> None:
        """One transaction."""
        ends: dict[tuple[str, int], int] = {}
        for record in records:
            place = (record.topic, record.partition)
            ends[place] = max(ends.get(place, 0), record.offset + 1)
        try:
            with self._cursor() as cursor:
                cursor.execute("BEGIN")
                for table, found in statements.rows(self._tables, records).items():
                    self._stage(cursor, table, found)
                    cursor.execute(statements.merge(table))
                self._stage(cursor, statements.OFFSETS, [(*place, end) for place, end in ends.items()])
                cursor.execute(statements.MERGE_OFFSETS)
                cursor.execute("COMMIT")
                # A COMMIT after which nothing is left of the transaction is no error: it may have been aborted before, or
                # the connector repeats the one that failed.
                cursor.execute(f"SELECT topic, partition_no, next_offset FROM {statements.OFFSETS}")
                has = {(topic, int(number)): int(offset) for topic, number, offset in cursor.fetchall()}
        except self._snowflake.Error as error:
            raise self._unavailable(error) from None
        if any(has.get(place, 0) < end for place, end in ends.items()):
            raise self._unavailable("the transaction was rolled back at its end")

    def close(self) -> None:
        if self._connection is not None:
            # Unfinished work is rolled back with the session.
            with suppress(self._snowflake.Error):
                self._connection.close()
            self._connection = None

    def _stage(self, cursor: Any, table: str, rows: Sequence[Sequence[Any]]) -> None:
        cursor.execute(f"DELETE FROM {table}_batch")
        for array in statements.arrays(rows):
            cursor.execute(statements.insert(table), (array,))

    def _cursor(self) -> Any:
        if self._connection is None:
            self._connection = self._snowflake.connect(
                **self._options,
                application="StreamGuard",
                paramstyle="qmark",
                login_timeout=_LOGIN_S,
                network_timeout=_ANSWER_S,
                session_parameters={"CLIENT_OUT_OF_BAND_TELEMETRY_ENABLED": False, "CLIENT_TELEMETRY_ENABLED": False},
            )
            self._prepare()
        return self._connection.cursor()

    def _prepare(self) -> None:
        """The tables where they are missing, the columns that an earlier version had not, and the session's temporary ones."""
        with self._connection.cursor() as cursor:
            for table in (statements.OFFSETS, *TABLES, REJECTED):
                for statement in statements.create(table):
                    cursor.execute(statement)
                cursor.execute(f"SELECT * FROM {table} LIMIT 0")
                has = {column[0].lower() for column in cursor.description}
                for name in statements.columns(table):
                    if name not in has:
                        cursor.execute(statements.add_column(table, name))

    def _unavailable(self, error: object) -> SinkUnavailable:
        self.close()
        text = " ".join(str(error).split())[:300]
        return SinkUnavailable(f"Snowflake at {self._shown} takes no records: {text}")

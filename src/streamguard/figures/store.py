"""Windows of live figures into the table `live_figures`, and how far their topics were read.

A record says what a window has come to, whole: a later one of the same window replaces it, and one that is read again changes
nothing. Rows and offsets are one database transaction.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from decimal import Decimal
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from psycopg2.extras import execute_values
from sqlalchemy import Connection, text

from streamguard.config import Settings
from streamguard.database import apply_schema, make_engine
from streamguard.database.locks import Lock
from streamguard.figures.kinds import OF_ACCOUNTS, TOPICS, WAYS
from streamguard.models.columns import storable
from streamguard.privacy.mode import protection_of
from streamguard.privacy.protection import NO_PROTECTION

log = logging.getLogger("streamguard.figures")


class Source(Protocol):
    """A record of a topic of figures."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def value(self) -> bytes | None: ...


class Window(NamedTuple):
    """A row of `live_figures`, in the order of its columns."""

    figure: str
    window_start: datetime
    window_end: datetime
    name: str
    currency: str
    label: str | None
    transactions: int
    amount: Decimal
    earning: Decimal
    commission_flat: Decimal
    commission_progressive: Decimal
    commission_tiered: Decimal
    commission_by_category: Decimal

    @property
    def key(self) -> tuple[str, datetime, str, str]:
        """What a later state replaces."""
        return self.figure, self.window_start, self.name, self.currency


_KEY = ("figure", "window_start", "name", "currency")
_UPSERT = f"""
INSERT INTO live_figures ({", ".join(Window._fields)}) VALUES %s
ON CONFLICT ({", ".join(_KEY)}) DO UPDATE SET
    {", ".join(f"{name} = excluded.{name}" for name in Window._fields if name not in _KEY)}
"""
_MOVE = """
INSERT INTO figure_offsets (topic, partition_no, next_offset, topic_id) VALUES %s
ON CONFLICT (topic, partition_no) DO UPDATE SET next_offset = excluded.next_offset, topic_id = excluded.topic_id,
    updated_at = clock_timestamp()
"""
_OFFSETS = text(
    "SELECT partition_no, next_offset FROM figure_offsets WHERE topic = :topic"
    " AND (topic_id = :topic_id OR num_nulls(topic_id, CAST(:topic_id AS TEXT)) > 0)"
)
_TRY_LOCK = text("SELECT pg_try_advisory_lock(:lock)")


class OtherWriter(Exception):
    """Another process stores live figures in this database."""


class FigureStore:
    """Writes to one database, from a session that has the lock for it. Raises the database's errors as they come; after one,
    `next_offsets` begins a new session."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._engine = make_engine(settings, "streamguard-figures")
        self._connection: Connection | None = None
        self._protection = NO_PROTECTION

    def next_offsets(self, topic: str, topic_id: str | None = None) -> Mapping[int, int]:
        """Behind what is stored of the topic with this id, by partition; nothing is where the id was another one.

        Raises OtherWriter, UserError where the schema cannot be made or is newer.
        """
        with self._session() as connection:
            found = connection.execute(_OFFSETS, {"topic": topic, "topic_id": topic_id})
            return {row.partition_no: row.next_offset for row in found}

    def write(self, records: Sequence[Source], topic_ids: Mapping[str, str] = MappingProxyType({})) -> None:
        """Store records with the offsets behind them, and the ids of their topics. Raises OtherWriter."""
        with self._session() as connection:
            windows = {window.key: window for record in records if (window := self.window(record)) is not None}
            rows: list[Window] = sorted(windows.values(), key=lambda window: window.key)
            moved = {(record.topic, record.partition): record.offset + 1 for record in records}
            _insert(connection, _UPSERT, rows)
            _insert(
                connection,
                _MOVE,
                [(*place, offset, topic_ids.get(place[0])) for place, offset in sorted(moved.items())],
            )

    def close(self) -> None:
        """End the session."""
        self._end()
        self._engine.dispose()

    @contextmanager
    def _session(self) -> Iterator[Connection]:
        """One database transaction of the session."""
        try:
            if self._connection is None:
                self._connection = self._begin()
            with self._connection.begin():
                yield self._connection
        except BaseException:
            self._end()
            raise

    def _begin(self) -> Connection:
        apply_schema(self._engine)
        connection = self._engine.connect()
        try:
            with connection.begin():
                if not connection.execute(_TRY_LOCK, {"lock": Lock.FIGURES}).scalar_one():
                    raise OtherWriter("another process stores live figures")
                self._protection = protection_of(connection, self._settings)
        except BaseException:
            connection.invalidate()
            connection.close()
            raise
        return connection

    def _end(self) -> None:
        if self._connection is not None:
            # Not back into the pool: the lock ends with the session.
            self._connection.invalidate()
            self._connection.close()
            self._connection = None

    def window(self, record: Source) -> Window | None:
        """What a record says; None, and a line in the log, for one that no query of analytics.sql has written."""
        try:
            found = _read(TOPICS[record.topic], record.value)
        except (ValueError, KeyError, TypeError, ArithmeticError) as error:
            log.error(
                "%s/%d/%d is no live figure and is left out: %s: %s",
                *(record.topic, record.partition, record.offset, type(error).__name__, error),
            )
            return None
        if found.figure in OF_ACCOUNTS:
            return found._replace(name=self._protection.value("account", found.name))
        return found


def _read(figure: str, value: bytes | None) -> Window:
    """Raises ValueError, KeyError, TypeError, ArithmeticError."""
    row = storable(json.loads(value or b"", parse_float=Decimal))
    sums = (row["TOTAL_AMOUNT"], row["EARNING"], *(row[way.upper()] for way in WAYS))
    return Window(
        figure,
        _instant(row["WINDOW_START"]),
        _instant(row["WINDOW_END"]),
        str(row["NAME"]),
        str(row["CURRENCY_CODE"]),
        row.get("LABEL"),
        int(row["TX_COUNT"]),
        *map(Decimal, sums),
    )


def _instant(epoch_ms: int) -> datetime:
    return datetime.fromtimestamp(epoch_ms / 1_000, timezone.utc)


def _insert(connection: Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    if rows:
        execute_values(connection.connection.cursor(), statement, rows, page_size=len(rows))

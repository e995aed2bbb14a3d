"""A lake: Delta tables `transactions`, `fraud_alerts`, `decisions` and `rejected`, with a folder for each day.

Exactly once by the table's own log (https://github.com/delta-io/delta/blob/master/PROTOCOL.md#transaction-identifiers): a
commit adds rows and, for each partition of the topic, the offset behind them. Delta takes a lower offset in silence, so the
sink asks first, and leaves out what the table has. Two commits of the same partition at once are a conflict: one fails.

A batch has up to two commits: `rejected`, then the table of the topic, whose offset is the one to continue from. A crash
between is read again, and `rejected` has its rows already.
"""

from __future__ import annotations

import fcntl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from streamguard.config import Settings
from streamguard.config.extras import need
from streamguard.config.ksqldb import without_login
from streamguard.config.storage import storage_error
from streamguard.sinks.base import Batch, SinkError, SinkRecord, SinkUnavailable, sink
from streamguard.sinks.lake_tables import Rows, columns, split
from streamguard.sinks.lake_upkeep import Upkeep
from streamguard.sinks.typed import REJECTED, TABLES, tables_of

_PATIENCE = {"retry_timeout": "20s"}
"""How long a request to object storage is repeated: the sink tries again by itself, and says that it has to."""
_LOG_DAYS = 30
_CHECKPOINT_COMMITS = 100


def _options(settings: Settings) -> dict[str, Any]:
    return {"tables": tables_of(settings), "keep_hours": settings.lake_keep_hours}


@sink(
    "lake",
    destination=lambda settings: settings.lake_uri,
    options=_options,
    batch=lambda settings: Batch(settings.lake_batch_records, settings.lake_batch_s),
    extra="lake",
    module="deltalake",
)
class LakeSink:
    """Writes to a folder, which it makes, or a URL of object storage; the environment has what is needed to log in there.

    One process at a time in a folder: its lock file says which. In object storage a second one loses each conflict, and
    continues behind what the first has written.
    """

    def __init__(
        self, destination: str, *, tables: Mapping[str, str] | None = None, keep_hours: int = 168, upkeep: bool = True
    ) -> None:
        self._delta: Any = need("lake", "deltalake")
        self._uri = destination.rstrip("/")
        self._shown = without_login(self._uri)
        self._tables = dict(tables or {name: name for name in TABLES})
        self._opened: dict[str, Any] = {}
        self._lock: IO[bytes] | None = None
        errors = need("lake", "deltalake.exceptions")
        self._mismatch: type[Exception] = errors.SchemaMismatchError
        self._conflict: type[Exception] = errors.CommitFailedError
        self._errors: tuple[type[Exception], ...] = (OSError, errors.DeltaError)
        with suppress(SinkUnavailable):
            self._lock_folder()
        self._upkeep = Upkeep(self._uri, keep_hours) if upkeep else None

    def next_offsets(self, topic: str) -> Mapping[int, int]:
        """What the log of the topic's table says."""
        try:
            self._lock_folder()
            table = self._table(self._tables.get(topic, REJECTED))
            count = table.transaction_version(_partitions(topic)) or 0
            versions = {number: table.transaction_version(_place(topic, number)) for number in range(count)}
            return {number: version for number, version in versions.items() if version is not None}
        except self._errors as error:
            raise self._unavailable(error) from None

    def write(self, records: Sequence[SinkRecord]) -> None:
        """Up to two commits for each topic; returns when they are in the log."""
        try:
            found = split(self._tables, records)
            for topic in {record.topic for record in records}:
                # Also one without a valid record: its offset goes on.
                name = self._tables.get(topic, REJECTED)
                found.setdefault(name, Rows(name))
            # First what is rejected: the offset that counts is that of the topic's own table.
            for name in sorted(found, key=lambda name: name != REJECTED):
                self._commit(name, found[name], records)
        except self._mismatch as error:
            raise SinkError(f"{self._shown}: a table has other columns than the sink: {error}") from None
        except self._errors as error:
            raise self._unavailable(error) from None
        if self._upkeep is not None:
            self._upkeep.wrote(found)

    def close(self) -> None:
        if self._upkeep is not None:
            self._upkeep.close()
        if self._lock is not None:
            self._lock.close()

    def _commit(self, name: str, rows: Rows, records: Sequence[SinkRecord]) -> None:
        table = self._table(name)
        ends: dict[str, int] = {}
        for record in records:
            if name in (REJECTED, self._tables.get(record.topic)):
                # Each look at an identifier reads the log: the number of partitions says how many there are.
                for app, version in (
                    (_place(record.topic, record.partition), record.offset + 1),
                    (_partitions(record.topic), record.partition + 1),
                ):
                    ends[app] = max(ends.get(app, 0), version)
        has = {app: table.transaction_version(app) or 0 for app in ends}
        keep = [i for i, r in enumerate(rows.records) if r.offset >= has[_place(r.topic, r.partition)]]
        new = {app: end for app, end in ends.items() if end > has[app]}
        if not new or (name == REJECTED and not keep):
            return
        data = rows.as_arrow()
        self._delta.write_deltalake(
            table,
            data if len(keep) == data.num_rows else data.take(keep),
            mode="append",
            schema_mode="merge",
            commit_properties=self._delta.CommitProperties(
                app_transactions=[self._delta.Transaction(app, end) for app, end in new.items()]
            ),
        )

    def _table(self, name: str) -> Any:
        """The table as it is now; made where it is missing."""
        if name in self._opened:
            self._opened[name].update_incremental()
            return self._opened[name]
        configuration = {
            "delta.logRetentionDuration": f"interval {_LOG_DAYS} days",
            "delta.checkpointInterval": str(_CHECKPOINT_COMMITS),
        }
        self._opened[name] = self._delta.DeltaTable.create(
            f"{self._uri}/{name}",
            columns(name),
            mode="ignore",
            partition_by=["day"],
            configuration=configuration,
            storage_options=_PATIENCE if "://" in self._uri else None,
        )
        return self._opened[name]

    def _unavailable(self, error: Exception) -> SinkUnavailable:
        self._opened.clear()
        if isinstance(error, self._conflict):
            return SinkUnavailable(f"another process has written to {self._shown}: its offsets are read again")
        return SinkUnavailable(f"the lake {self._shown} cannot be used: {storage_error(error)}")

    def _lock_folder(self) -> None:
        """Raises SinkError where another process writes to the folder, SinkUnavailable where it cannot be made."""
        if "://" in self._uri or self._lock is not None:
            return
        folder = Path(self._uri)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = (folder / ".lock").open("wb")
        except OSError as error:
            raise self._unavailable(error) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise SinkError(f"another process writes to {folder}; choose another folder, or end it") from None
        self._lock = lock


def _place(topic: str, partition: int) -> str:
    """The identifier whose version is the offset to continue from."""
    return f"{topic}-{partition}"


def _partitions(topic: str) -> str:
    """The identifier whose version is how many partitions have one; no topic has a blank in its name."""
    return f"partitions of {topic}"

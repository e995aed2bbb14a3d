"""Where rows leave a query: to a topic, or to a table for pull queries."""

from __future__ import annotations

from streamguard_ksql.catalog import DataSource, WindowInfo
from streamguard_ksql.errors import ROW_ERRORS, SerializationError, reason
from streamguard_ksql.formats import Serializer, find_format
from streamguard_ksql.operators.base import Operator, ProcessingError, Runtime, Skip
from streamguard_ksql.operators.keys import identity, windowed_key
from streamguard_ksql.operators.record import OutputRecord, Record
from streamguard_ksql.operators.state import Store
from streamguard_ksql.operators.timestamps import time_extractor


def serializers(source: DataSource) -> tuple[Serializer, Serializer]:
    """How keys and values of a source are written."""
    key, value = source.key_format, source.value_format
    return (
        find_format(key.name).serializer(source.schema.key, key.options, key=True),
        find_format(value.name).serializer(source.schema.stored, value.options, key=False),
    )


def materialize(store: Store, partition: int, record: Record, time: int) -> None:
    """Store the newest row of a table: identity, to [key, value, time, window]."""
    row = None if record.value is None else [record.key, list(record.value), time, record.window]
    store.put(partition, identity(record), row)


class Materializer(Operator):
    """Materializes a table for pull queries."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(lambda partition, records: None)
        self.store = runtime.stores.add(Store("Table"))

    def receive(self, partition: int, records: list[Record]) -> None:
        for r in records:
            materialize(self.store, partition, r, r.time)


def gives_rows(target: DataSource) -> bool:
    """Whether the rows of a target are what is read of their bytes, and always can be written."""
    plain_time = target.timestamp is None or target.timestamp.format is None
    return target.key_format.name in ("KAFKA", "NONE") and target.value_format.name == "JSON" and plain_time


def _has_no_time(record: Record, runtime: Runtime) -> None:
    runtime.row_error("Sink", "the timestamp column of the result is NULL or negative", record.value, Skip.TIMESTAMP)


class RowSink(Operator):
    """Passes rows on as they are, to who reads them in the same process or makes bytes of them later (`Sink`)."""

    def __init__(self, target: DataSource, runtime: Runtime) -> None:
        super().__init__(lambda partition, records: None)
        self.runtime = runtime
        self.time = time_extractor(target)

    def receive(self, partition: int, records: list[Record]) -> None:
        assert self.runtime.rows is not None
        if self.time is not None:
            for r in records:
                if r.value is not None:
                    time = self.time(r.key, r.value)
                    r.time = -1 if time is None else time
        without = [r for r in records if r.time < 0]
        for r in without:
            _has_no_time(r, self.runtime)
        self.runtime.rows([r for r in records if r.time >= 0] if without else records)


class Sink(Operator):
    """Writes rows to a topic in its formats.

    With a store it also materializes the table it writes, for pull queries. Aggregations have their results in their own
    stores and need none.
    """

    def __init__(
        self, target: DataSource, window: WindowInfo | None, runtime: Runtime, store: Store | None = None
    ) -> None:
        super().__init__(lambda partition, records: None)
        self.store = store
        self.target = target
        self.window = window
        self.runtime = runtime
        self.write_key, self.write_value = serializers(target)
        self.time = time_extractor(target)

    def receive(self, partition: int, records: list[Record]) -> None:
        output, topic = self.runtime.output, self.target.topic
        for r in records:
            try:
                key = self._key(r)
                value = None if r.value is None else self.write_value(r.value)
                time = r.time if self.time is None or r.value is None else self.time(r.key, r.value)
            except (SerializationError, *ROW_ERRORS) as error:
                self._unwritable(r, error)
                continue
            if time is None or time < 0:
                _has_no_time(r, self.runtime)
                continue
            if self.store is not None:
                materialize(self.store, partition, r, time)
            output(OutputRecord(topic, key, value, time, r.headers))

    def _key(self, record: Record) -> bytes | None:
        if record.key is None:
            return None
        data = self.write_key(record.key)
        if self.window is not None and record.window is not None:
            return windowed_key(data or b"", record.window, self.window)
        return data

    def _unwritable(self, record: Record, error: BaseException) -> None:
        self.runtime.log(
            ProcessingError(
                f"{self.runtime.query_id}.{self.target.name}.serializer",
                "SERIALIZATION",
                f"Error serializing message to topic: {self.target.topic}. {reason(error)}",
                topic=self.target.topic,
                target="value",
                row=repr(record.value),
                cause=(reason(error),),
            )
        )

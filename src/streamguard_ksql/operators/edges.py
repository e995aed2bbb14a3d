"""Where records enter and leave a query: from the bytes of topics, and to them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from streamguard_ksql import ast
from streamguard_ksql.catalog import DataSource, WindowInfo
from streamguard_ksql.datetime_patterns import timestamp_parser
from streamguard_ksql.errors import EvaluationError, SerializationError
from streamguard_ksql.expressions.compiler import Compiler
from streamguard_ksql.expressions.scope import Scope
from streamguard_ksql.formats import Deserializer, FormatOptions, Serializer, find_format
from streamguard_ksql.operators.base import ROW_ERRORS, Operator, ProcessingError, Receive, Runtime, text_of
from streamguard_ksql.operators.record import Batch, Headers, InputRecord, OutputRecord, Record, Window
from streamguard_ksql.operators.state import Store
from streamguard_ksql.plan import FilterNode, SourceNode
from streamguard_ksql.schema import ROWOFFSET, ROWPARTITION, ROWTIME, WINDOWEND, WINDOWSTART, Column
from streamguard_ksql.types import SqlType

_LONG = struct.Struct(">q")


def identity(record: Record) -> Any:
    """What tells the rows of a table apart, and has to be equal for rows to meet: the key, and its window."""
    key = record.key
    try:
        hash(key)
    except TypeError:
        return repr(key) if record.window is None else (repr(key), record.window)
    return key if record.window is None else (key, record.window)


# --- keys of windows --------------------------------------------------------------------------------------------------


def split_windowed_key(data: bytes, window: WindowInfo) -> tuple[bytes, Window]:
    """The plain key and the window of a windowed key: key, start (8 bytes); of a session: key, end, start."""
    if window.kind == "SESSION":
        if len(data) < 16:
            raise SerializationError(f"a session windowed key has at least 16 bytes, got {len(data)}")
        end, start = _LONG.unpack_from(data, len(data) - 16)[0], _LONG.unpack_from(data, len(data) - 8)[0]
        return data[:-16], (start, end)
    if len(data) < 8:
        raise SerializationError(f"a windowed key has at least 8 bytes, got {len(data)}")
    start = _LONG.unpack_from(data, len(data) - 8)[0]
    return data[:-8], (start, start + (window.size_ms or 0))


def windowed_key(data: bytes, bounds: Window, window: WindowInfo) -> bytes:
    """The bytes of a windowed key; the inverse of `split_windowed_key`."""
    if window.kind == "SESSION":
        return data + _LONG.pack(bounds[1]) + _LONG.pack(bounds[0])
    return data + _LONG.pack(bounds[0])


def serializers(source: DataSource) -> tuple[Serializer, Serializer]:
    """How keys and values of a source are written."""
    key, value = source.key_format, source.value_format
    return (
        find_format(key.name).serializer(source.schema.key, key.options, key=True),
        find_format(value.name).serializer(source.schema.stored, value.options, key=False),
    )


def deserializers(source: DataSource) -> tuple[Deserializer, Deserializer]:
    """How keys and values of a source are read."""
    key, value = source.key_format, source.value_format
    return (
        find_format(key.name).deserializer(source.schema.key, key.options, key=True),
        find_format(value.name).deserializer(source.schema.stored, value.options, key=False),
    )


def inner_key(columns: Sequence[Column]) -> Serializer:
    """How a key is written between the steps of a query: as KAFKA where that can carry it, else as JSON."""
    plain = len(columns) == 1 and columns[0].type.base in find_format("KAFKA").supported_types
    return find_format("KAFKA" if plain else "JSON").serializer(columns, FormatOptions(), key=True)


# --- sources ----------------------------------------------------------------------------------------------------------


@cache
def _reading_kind(*what: object) -> object:
    """One object for all that is equal: quicker to look up than the whole."""
    return object()


class Unreadable:
    """What stands in for the values of a record that could not be read."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


class Reader:
    """Turns the records of a source's topic into rows; what cannot be read goes to the processing log."""

    def __init__(self, node: SourceNode, runtime: Runtime) -> None:
        source = node.source
        self.source = source
        self.runtime = runtime
        self.read_key, self.read_value = deserializers(source)
        self.window = source.window
        self.has_key = bool(source.schema.key)
        self.kind = _reading_kind(
            source.schema.key, source.schema.stored, source.key_format, source.value_format, source.window
        )
        self.headers = [_header_reader(c) for c in source.schema.headers]
        self.row = row_builder(node)
        self.time = _time_extractor(source)
        self.accepts: Callable[..., bool] | None = None
        self.throws = str(runtime.config.get("ksql.timestamp.throw.on.invalid", "false")).lower() == "true"

    def rows(self, messages: Sequence[InputRecord]) -> list[Record]:
        """The rows of a batch; what has to be left out has its word in the processing log."""
        row_of, time_of, header_readers, accepts = self.row, self.time, self.headers, self.accepts
        found: list[Record] = []
        header_values: Sequence[Any] = ()
        readings = messages.reading(self.kind, self.read) if isinstance(messages, Batch) else self.read(messages)
        for message, (key, values, window) in zip(messages, readings, strict=True):
            _, partition, offset, _, _, time, headers = message
            row = None
            if values is not None:
                if values.__class__ is Unreadable:
                    self._unreadable(message, values.error)
                    continue
                try:
                    if time_of is not None and ((time := time_of(key, values)) is None or time < 0):
                        self._no_time(message, "the timestamp column is NULL or negative")
                        continue
                    if header_readers:
                        header_values = [read(headers) for read in header_readers]
                    if accepts is not None and not accepts(values, key, time, partition, offset, window, header_values):
                        continue
                except ROW_ERRORS as error:
                    self._unusable(message, error, values)
                    continue
                row = row_of(values, key, time, partition, offset, window, header_values)
            elif accepts is not None:
                continue
            found.append(Record(key, row, time, window, headers))
        return found

    def read(self, messages: Sequence[InputRecord]) -> list[tuple[tuple[Any, ...] | None, Any, Window | None]]:
        """Key, values (an Unreadable where they or the key cannot be read) and window of each record.

        The same for every query over the source, whatever it makes of them.
        """
        read_key, read_value, has_key, window_info = self.read_key, self.read_value, self.has_key, self.window
        found: list[tuple[tuple[Any, ...] | None, Any, Window | None]] = []
        for _, _, _, key_bytes, value_bytes, _, _ in messages:
            key = window = None
            try:
                if key_bytes is not None and has_key:
                    if window_info is not None:
                        key_bytes, window = split_windowed_key(key_bytes, window_info)
                    if (columns := read_key(key_bytes)) is not None:
                        key = tuple(columns)
                found.append((key, None if value_bytes is None else read_value(value_bytes), window))
            except (SerializationError, *ROW_ERRORS) as error:
                found.append((None, Unreadable(error), None))
        return found

    def _unusable(self, message: InputRecord, error: BaseException, values: Any) -> None:
        """A record whose time or whose WHERE has no value is left out, and reported."""
        if isinstance(error, TimeError):
            self._no_time(message, text_of(error))
        else:
            self.runtime.row_error("WhereFilter", text_of(error), values)

    def filter(self, node: FilterNode) -> None:
        """Let only records through for which the predicate is true: it is evaluated before a row is even made."""
        texts = tuple(column_texts(node_source(node)))
        compiler = Compiler(ColumnTexts(node.source.schema.value, self.runtime.config, texts=texts))
        self.accepts = compiler.env.function("v, k, t, p, o, w, h", f"{compiler.compile(node.predicate).text} is True")

    def _unreadable(self, message: InputRecord, error: BaseException) -> None:
        self.runtime.log(
            ProcessingError(
                f"{self.runtime.query_id}.KsqlTopic.Source.deserializer",
                "DESERIALIZATION",
                f"Error deserializing message from topic: {message.topic}",
                topic=message.topic,
                target="value",
                record=message.value,
                cause=(text_of(error),),
            )
        )

    def _no_time(self, message: InputRecord, why: str) -> None:
        text = f"Failed to extract timestamp from row of topic {message.topic}, offset {message.offset}: {why}"
        if self.throws:
            raise FatalRecordError(f"Fatal user code error in TimestampExtractor callback for record {message}: {why}")
        self.runtime.log(ProcessingError(f"{self.runtime.query_id}.Source", "RECORD_PROCESSING", text))


class TimeError(EvaluationError):
    """A text in the timestamp column that is no time."""


class FatalRecordError(Exception):
    """A record that the settings say must stop the query."""


class StreamSource(Operator):
    """Reads events."""

    def __init__(self, node: SourceNode, runtime: Runtime, emit: Receive) -> None:
        super().__init__(emit)
        self.reader = Reader(node, runtime)

    def read(self, partition: int, messages: Sequence[InputRecord]) -> None:
        """Pass the rows of a batch on; all messages are of this partition."""
        rows = self.reader.rows(messages)
        if rows:
            self.emit(partition, rows)


class TableSource(Operator):
    """Reads changes; a record without a key belongs to no row and is left out.

    With a store, each change knows the value before it; without, tables cost no memory.
    """

    def __init__(self, node: SourceNode, runtime: Runtime, emit: Receive, store: Store | None) -> None:
        super().__init__(emit)
        self.reader = Reader(node, runtime)
        self.store = store

    def read(self, partition: int, messages: Sequence[InputRecord]) -> None:
        rows = []
        for record in self.reader.rows(messages):
            if record.key is None:
                self._no_key(partition, messages)
                continue
            if self.store is not None:
                record.old = self.store.get(partition, record.key)
                self.store.put(partition, record.key, record.value)
            rows.append(record)
        if rows:
            self.emit(partition, rows)

    def _no_key(self, partition: int, messages: Sequence[InputRecord]) -> None:
        first, last = messages[0], messages[-1]
        text = (
            f"A table's record without a key was left out: topic {first.topic}, partition {partition}, "
            f"between offsets {first.offset} and {last.offset}"
        )
        runtime = self.reader.runtime
        runtime.log(ProcessingError(f"{runtime.query_id}.Source", "RECORD_PROCESSING", text))


@dataclass(frozen=True)
class ColumnTexts(Scope):
    """A scope whose columns are found by other code than their position in a row."""

    texts: tuple[str, ...] = ()

    def column(self, ref: ast.ColumnRef) -> tuple[str, SqlType]:
        index = next((i for i, c in enumerate(self.columns) if c.name == ref.name), None)
        if index is None:
            return super().column(ref)
        return self.texts[index], self.columns[index].type


def node_source(node: FilterNode) -> SourceNode:
    assert isinstance(node.source, SourceNode)
    return node.source


def row_builder(node: SourceNode) -> Callable[..., Sequence[Any]]:
    """Generated code: the columns that the query wants, from wherever they come.

    Called with the stored values, key, time, partition, offset, window and header columns of a record.
    """
    texts = column_texts(node)
    whole = [f"v[{i}]" for i in range(len(node.source.schema.stored))]
    body = "v" if texts == whole else f"[{', '.join(texts)}]"
    builder: Callable[..., Sequence[Any]] = eval(f"lambda v, k, t, p, o, w, h: {body}")
    return builder


def column_texts(node: SourceNode) -> list[str]:
    """For each column of a source's row the code that finds it in a record's parts (see `row_builder`)."""
    texts = []
    for origin in node.columns:
        match origin.origin:
            case "VALUE":
                texts.append(f"v[{origin.index}]")
            case "KEY":
                texts.append(f"(None if k is None else k[{origin.index}])")
            case "HEADER":
                texts.append(f"h[{origin.index}]")
            case _:
                texts.append(_system_text(origin.origin))
    return texts


def _system_text(name: str) -> str:
    return {ROWTIME: "t", ROWPARTITION: "p", ROWOFFSET: "o", WINDOWSTART: "(w and w[0])", WINDOWEND: "(w and w[1])"}[
        name
    ]


def _header_reader(column: Column) -> Callable[[Headers], Any]:
    if column.header == "":
        return lambda headers: [{"KEY": k, "VALUE": v} for k, v in headers]
    name = column.header
    return lambda headers: next((v for k, v in reversed(list(headers)) if k == name), None)


def _time_extractor(source: DataSource) -> Callable[[Any, Any], Any] | None:
    """The function that finds a record's time in its key and value (None where it has none); None if that is the
    record's own time."""
    wanted = source.timestamp
    if wanted is None:
        return None
    column = source.schema.find(wanted.name)
    assert column is not None
    in_key = column in source.schema.key
    index = (source.schema.key if in_key else source.schema.stored).index(column)
    text = f"(None if k is None else k[{index}])" if in_key else f"v[{index}]"
    if wanted.format is None:
        plain: Callable[[Any, Any], Any] = eval(f"lambda k, v: {text}")
        return plain
    parse = timestamp_parser(wanted.format)

    def parsed(value: str) -> int:
        try:
            return parse(value)
        except ROW_ERRORS as error:
            raise TimeError(text_of(error)) from error

    code = f"lambda k, v: None if (x := {text}) is None else parsed(x)"
    found: Callable[[Any, Any], Any] = eval(code, {"parsed": parsed})
    return found


# --- sinks ------------------------------------------------------------------------------------------------------------


def keep(store: Store, partition: int, record: Record, time: int) -> None:
    """Keep the newest row of a table: identity, to [key, value, time, window]."""
    row = None if record.value is None else [record.key, list(record.value), time, record.window]
    store.put(partition, identity(record), row)


class Keeper(Operator):
    """Keeps a table for pull queries."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(lambda partition, records: None)
        self.store = runtime.stores.add(Store("Table"))

    def receive(self, partition: int, records: list[Record]) -> None:
        for r in records:
            keep(self.store, partition, r, r.time)


class Sink(Operator):
    """Writes rows to a topic in its formats.

    With a store it keeps the table it writes, for pull queries. Aggregations hold their results anyway and need none.
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
        self.time = _time_extractor(target)

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
                self.runtime.row_error("Sink", "the timestamp column of the result is NULL or negative", r.value)
                continue
            if self.store is not None:
                keep(self.store, partition, r, time)
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
                f"Error serializing message to topic: {self.target.topic}. {text_of(error)}",
                topic=self.target.topic,
                target="value",
                row=repr(record.value),
                cause=(text_of(error),),
            )
        )

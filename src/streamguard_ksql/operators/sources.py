"""Where records enter a query: the bytes of a topic become rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from functools import cache
from itertools import repeat
from typing import Any

from streamguard_ksql import ast
from streamguard_ksql.catalog import DataSource
from streamguard_ksql.codegen import Environment, Expression, list_of
from streamguard_ksql.errors import ROW_ERRORS, FatalRecordError, SerializationError, reason
from streamguard_ksql.expressions.compiler import Compiler
from streamguard_ksql.expressions.scope import ColumnTexts
from streamguard_ksql.formats import Deserializer, find_format
from streamguard_ksql.formats.json_plain import REFUSED, PlainObjects
from streamguard_ksql.operators.base import Operator, ProcessingError, Receive, Runtime, Skip
from streamguard_ksql.operators.conditions import RECORD_PARTS, Condition, Test
from streamguard_ksql.operators.keys import split_windowed_key
from streamguard_ksql.operators.record import Batch, Headers, InputRecord, Record, Window
from streamguard_ksql.operators.state import Store
from streamguard_ksql.operators.timestamps import TimeError, time_extractor, time_text
from streamguard_ksql.plan import FilterNode, SourceNode
from streamguard_ksql.schema import ROWOFFSET, ROWPARTITION, ROWTIME, WINDOWEND, WINDOWSTART, Column


def deserializers(source: DataSource) -> tuple[Deserializer, Deserializer]:
    """How keys and values of a source are read."""
    key, value = source.key_format, source.value_format
    return (
        find_format(key.name).deserializer(source.schema.key, key.options, key=True),
        find_format(value.name).deserializer(source.schema.stored, value.options, key=False),
    )


_NAME = re.compile(r"\b[a-z]\b")

Reading = tuple[tuple[Any, ...] | None, Any, Window | None]
"""Key, values and window of a record."""


@cache
def _reading_kind(*what: object) -> object:
    """One object for all that is equal: quicker to look up than the whole."""
    return object()


def _indented(lines: Sequence[str], levels: int = 1) -> list[str]:
    return ["    " * levels + line for line in lines]


def _of_message(headers: Sequence[str], *texts: str) -> list[str]:
    """Generated code: those of RECORD_PARTS that are in the message itself, as far as texts use them."""
    used = set(_NAME.findall("\n".join(texts)))
    parts = {"p": "m[1]", "o": "m[2]", "h": list_of(headers) if headers else "()"}
    return [f"{name} = {text}" for name, text in parts.items() if name in used]


class Unreadable:
    """In place of the values of a record that could not be read."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


class Reader:
    """Turns the records of a source's topic into rows; what cannot be read goes to the processing log."""

    def __init__(self, node: SourceNode, runtime: Runtime) -> None:
        source = node.source
        self.source = source
        self.runtime = runtime
        self.read = _records_function(source)
        """Key, values (an Unreadable where they or the key cannot be read) and window of each record.

        The same for every query over the source, whatever it makes of them."""
        self.has_key = bool(source.schema.key)
        self.kind = _reading_kind(
            source.schema.key, source.schema.stored, source.key_format, source.value_format, source.window
        )
        self.time = time_extractor(source)
        self.condition: Condition | None = None
        self._node = node
        self._probe: Callable[[Environment], Sequence[str]] | None = None
        self._make_rows = self._rows_function(node)
        self._make_met_rows: Callable[..., None] | None = None
        self._met_test: Test | None = None
        """What `_make_met_rows` was made for."""
        self.shares_rows = False
        """Whether who gets the rows leaves them as they are, so that several queries may be given the same."""
        self._rows_kind = _reading_kind(self.kind, source.timestamp, *column_texts(node))
        self._make_all = self._all_rows_function(node)
        self.throws = str(runtime.config.get("ksql.timestamp.throw.on.invalid", "false")).lower() == "true"

    def rows(self, messages: Sequence[InputRecord]) -> list[Record]:
        """The rows of a batch; a record that has to be left out is written to the processing log."""
        found: list[Record] = []
        if not isinstance(messages, Batch):
            readings: Sequence[Any] = self.read(messages)
            self._make_rows(messages, readings, self._tests(messages, None), found.append)
            return found
        if self.shares_rows and (shared := self._shared_rows(messages)) is not None:
            return shared
        readings = messages.reading(self.kind, self.read)
        met = None if self.condition is None else self.condition.shared(messages, self.read)
        if met is not None and all(met):
            self._of_met(messages, readings, found.append)
        else:
            self._make_rows(messages, readings, self._tests(messages, met), found.append)
        return found

    def _of_met(self, messages: Batch, readings: Sequence[Any], add: Callable[[Record], None]) -> None:
        """Give `add` the rows of messages that all meet what the condition shares with others."""
        assert self.condition is not None
        if self._make_met_rows is None or self._met_test is not self.condition.rest:
            self._met_test = self.condition.rest
            self._make_met_rows = self._rows_function(self._node, of_met=True)
        self._make_met_rows(messages, readings, add)

    def _shared_rows(self, batch: Batch) -> list[Record] | None:
        """The rows of a batch whose records all meet the condition, made once for all queries that have the same.

        None where each query has to look at each record: one does not meet it, cannot be read, or has no time.
        """
        condition = self.condition
        met = None if condition is None else condition.shared(batch, self.read)
        if condition is None or met is None or condition.rest is not None or not all(met):
            return None
        rows: list[Record | None] = batch.reading(self._rows_kind, self._all_rows)
        return None if None in rows else rows  # type: ignore[return-value]

    def _all_rows(self, batch: Batch) -> Sequence[Record | None]:
        """A row of each record of a batch, None for all where one has none."""
        try:
            rows = self._make_all(batch, batch.reading(self.kind, self.read))
        except (TypeError, *ROW_ERRORS):
            rows = None
        return [None] * len(batch) if rows is None else rows

    def _all_rows_function(self, node: SourceNode) -> Callable[..., list[Record] | None]:
        """Generated code: the row of each message, for messages of which rows can be made; None where a time is negative.

        TypeError where one has no time.
        """
        env = Environment()
        texts = column_texts(node)
        headers = [env.call(_header_reader(c), "m[6]") for c in self.source.schema.headers]
        values = "v" if _is_whole(node) else list_of(texts)
        return env.define(
            "make_all_rows",
            "messages, readings",
            [
                "found = []",
                "for m, (k, v, w) in zip(messages, readings, strict=True):",
                *_indented(_of_message(headers, values)),
                f"    t = {time_text(self.source, env) or 'm[5]'}",
                "    if t < 0: return None",
                f"    found.append({env.bind(Record, 'Record')}(k, {values}, t, w, m[6]))",
                "return found",
            ],
        )

    def _rows_function(self, node: SourceNode, *, of_met: bool = False) -> Callable[..., None]:
        """Generated code: gives `add` the row of each message that passes its test, and reports those left out.

        `of_met`: for messages that meet what is shared (see `Condition`), so that all can be read, and the rest is the test.
        Names of its own are those of RECORD_PARTS.
        """
        env = Environment()
        texts = column_texts(node)
        headers = [env.call(_header_reader(c), "m[6]") for c in self.source.schema.headers]
        record = env.bind(Record, "Record")
        make = f"{record}(k, {'v' if _is_whole(node) else list_of(texts)}, t, w, m[6])"
        no_value = f"{record}(k, None, m[5], w, m[6])"
        wanted = self.source.timestamp
        has_no_time = wanted is not None and all(c.name != wanted.name for c in self.source.schema.key)
        if of_met and self.condition is not None:
            parameters = "messages, readings, add"
            head = ["for m, (k, v, w) in zip(messages, readings, strict=True):"]
            passes = self.condition.rest_text(env)
        else:
            parameters = "messages, readings, tests, add"
            head = [
                "for m, (k, v, w), accepts in zip(messages, readings, tests, strict=True):",
                "    if v is None:",
                f"        if {has_no_time}: {env.call(self._no_time, 'm', repr('a tombstone has no timestamp column'))}",
                f"        elif not {env.call(self._is_filtered)}: add({no_value})",
                "        continue",
                f"    if v.__class__ is {env.bind(Unreadable, 'Unreadable')}:",
                f"        {env.call(self._unreadable, 'm', 'v.error')}",
                "        continue",
            ]
            passes = "accepts is None or accepts(v, k, t, p, o, w, h)"
        probe = [] if self._probe is None else self._probe(env)
        return env.define(
            "make_rows",
            parameters,
            [
                *head,
                *_indented(_of_message(headers, passes, make, *probe)),
                "    try:",
                f"        t = {time_text(self.source, env) or 'm[5]'}",
                *(self._without_time(env) if self.time is not None else ()),
                f"        if not ({passes}): continue",
                *probe,
                f"    except {env.bind(ROW_ERRORS, 'errors')} as error:",
                f"        {env.call(self._unusable, 'm', 'error', 'v')}",
                "        continue",
                f"    add({make})",
            ],
        )

    def _without_time(self, env: Environment) -> list[str]:
        no_time = env.call(self._no_time, "m", repr("the timestamp column is NULL or negative"))
        return ["        if t is None or t < 0:", f"            {no_time}", "            continue"]

    def _is_filtered(self) -> bool:
        return self.condition is not None

    def _tests(self, messages: Sequence[InputRecord], met: Sequence[bool] | None) -> Iterable[Test | None]:
        """For each record what decides whether it is let through; None lets it through. `met`: see `Condition.shared`."""
        condition = self.condition
        if condition is None:
            return repeat(None, len(messages))
        if met is None:
            return repeat(condition.whole, len(messages))
        whole, rest = condition.whole, condition.rest
        return [rest if is_met else whole for is_met in met]

    def times(self, messages: Batch) -> list[int]:
        """The time of each record of a source with a TIMESTAMP column; its own, where the column has none."""
        times = []
        for message, (key, values, _) in zip(messages, messages.reading(self.kind, self.read), strict=True):
            time = None
            if self.time is not None and values is not None and values.__class__ is not Unreadable:
                try:
                    time = self.time(key, values)
                except ROW_ERRORS:
                    time = None  # `rows` leaves the record out, and reports it
            times.append(message.time if time is None or time < 0 else time)
        return times

    def _unusable(self, message: InputRecord, error: BaseException, values: Any) -> None:
        """A record whose time or whose WHERE has no value is left out, and reported."""
        if isinstance(error, TimeError):
            self._no_time(message, reason(error))
        else:
            self.runtime.row_error("WhereFilter", reason(error), values, Skip.EXPRESSION)

    def filter(self, node: FilterNode) -> None:
        """Let only records through for which the predicate is true: it is evaluated before a row is even made."""
        texts = tuple(column_texts(node_source(node)))
        scope = ColumnTexts(node.source.schema.value, self.runtime.config, texts=texts)
        self.condition = Condition(node.predicate, scope, self.kind)

    def only_partners(self, key: ast.Expression, tables: Mapping[int, Container[Any]]) -> None:
        """Let only records through whose key an inner join finds in one of its tables: most make no row then.

        One whose key is NULL or fails is let through, for the operators behind to count it.
        """
        scope = ColumnTexts(self._node.schema.value, self.runtime.config, texts=tuple(column_texts(self._node)))

        def probe(env: Environment) -> Sequence[str]:
            found = Compiler(scope, env).compile(key).column
            named = env.bind(tables, "tables")
            errors = env.bind(ROW_ERRORS, "errors")
            return [
                "        try:",
                f"            x = {found}",
                f"            if x is not None and not any((x,) in table for table in {named}.values()): continue"
                if self.runtime.partitions > 1
                else f"            if x is not None and (x,) not in {named}.get(0, ()): continue",
                f"        except {errors}: pass",
            ]

        self._probe = probe
        self._make_rows = self._rows_function(self._node)
        self._make_met_rows = None

    def _unreadable(self, message: InputRecord, error: BaseException) -> None:
        self.runtime.skipped[Skip.DESERIALIZATION] += 1
        self.runtime.log(
            ProcessingError(
                f"{self.runtime.query_id}.KsqlTopic.Source.deserializer",
                "DESERIALIZATION",
                f"Error deserializing message from topic: {message.topic}",
                topic=message.topic,
                target="value",
                record=message.value,
                cause=(reason(error),),
            )
        )

    def _no_time(self, message: InputRecord, why: str) -> None:
        text = f"Failed to extract timestamp from row of topic {message.topic}, offset {message.offset}: {why}"
        if self.throws:
            raise FatalRecordError(f"Fatal user code error in TimestampExtractor callback for record {message}: {why}")
        self.runtime.skipped[Skip.TIMESTAMP] += 1
        self.runtime.log(ProcessingError(f"{self.runtime.query_id}.Source", "RECORD_PROCESSING", text))


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

    With a store, each change has the value before it; without, tables cost no memory.
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
        runtime.skipped[Skip.NULL_KEY] += 1
        runtime.log(ProcessingError(f"{runtime.query_id}.Source", "RECORD_PROCESSING", text))


def _records_function(source: DataSource) -> Callable[[Sequence[InputRecord]], list[Reading]]:
    """Generated code: what the records of a source's topic say."""
    env = Environment()
    read_key, read_value = deserializers(source)
    errors = env.bind((SerializationError, *ROW_ERRORS), "errors")
    plain = getattr(read_value, "__self__", None)
    key: list[str] = []
    value = [f"v = {env.call(read_value, 'vb')}"]
    if source.schema.key:
        key = ["if kb is not None:"]
        if source.window is not None:
            key.append(f"    kb, w = {env.call(split_windowed_key, 'kb', env.bind(source.window))}")
        if isinstance(read_key, Expression):
            key.append(f"    k = {read_key.text(env, 'kb')}")
        else:
            key += [f"    k = {env.call(read_key, 'kb')}", "    if k is not None: k = tuple(k)"]
    decode: list[str] = []
    if isinstance(plain, PlainObjects):
        decode = [f"decode = {env.bind(plain, 'plain')}.decode"]
        slow = [*value, *decode]
        value = ["try: v = decode(vb)", f"except {env.bind(REFUSED, 'refused')}:", *_indented(slow)]
    return env.define(
        "read_records",
        "messages",
        [
            "found = []",
            *decode,
            "for _, _, _, kb, vb, _, _ in messages:",
            "    k = w = v = None",
            "    try:",
            *_indented(key, 2),
            "        if vb is not None:",
            *_indented(value, 3),
            "        found.append((k, v, w))",
            f"    except {errors} as error:",
            f"        found.append((None, {env.call(Unreadable, 'error')}, None))",
            "return found",
        ],
    )


def node_source(node: FilterNode) -> SourceNode:
    assert isinstance(node.source, SourceNode)
    return node.source


def row_builder(node: SourceNode) -> Callable[..., Sequence[Any]]:
    """Generated code over RECORD_PARTS: the columns that the query uses, wherever in the record they are."""
    return Environment().function("source_row", RECORD_PARTS, list_of(column_texts(node)))


def _is_whole(node: SourceNode) -> bool:
    """Whether the columns are the stored values as they are."""
    return column_texts(node) == [f"v[{i}]" for i in range(len(node.source.schema.stored))]


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
    return _SYSTEM_COLUMNS[name]


_SYSTEM_COLUMNS = {
    ROWTIME: "t",
    ROWPARTITION: "p",
    ROWOFFSET: "o",
    WINDOWSTART: "(w and w[0])",
    WINDOWEND: "(w and w[1])",
}


def _header_reader(column: Column) -> Callable[[Headers], Any]:
    if column.header == "":
        return lambda headers: [{"KEY": k, "VALUE": v} for k, v in headers]
    name = column.header
    return lambda headers: next((v for k, v in reversed(list(headers)) if k == name), None)

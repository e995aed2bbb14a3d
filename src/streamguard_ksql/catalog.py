"""The catalogue: the streams, tables, custom types and persistent queries that statements may name."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field

from streamguard_ksql.errors import KsqlError
from streamguard_ksql.formats import FormatOptions
from streamguard_ksql.refusals import preparing
from streamguard_ksql.schema import Schema, refuse_impossible
from streamguard_ksql.types import Array, Map, Named, SqlType, Struct

STREAM, TABLE = "STREAM", "TABLE"


@dataclass(frozen=True)
class TopicFormat:
    """How the keys or the values of a topic are written."""

    name: str
    options: FormatOptions = field(default_factory=FormatOptions)


@dataclass(frozen=True)
class WindowInfo:
    """That the keys of a topic are windowed: TUMBLING, HOPPING (with a size) or SESSION (without)."""

    kind: str
    size_ms: int | None = None


@dataclass(frozen=True)
class TimestampColumn:
    """The column that gives a record its time: a BIGINT or TIMESTAMP, or a STRING in `format`."""

    name: str
    format: str | None = None


@dataclass(frozen=True)
class DataSource:
    """A stream or a table over a topic. `query_id` names the query that fills it, if a query created it."""

    name: str
    kind: str
    schema: Schema
    topic: str
    key_format: TopicFormat
    value_format: TopicFormat
    window: WindowInfo | None = None
    timestamp: TimestampColumn | None = None
    read_only: bool = False
    query_id: str | None = None
    sql: str = ""
    partitions: int | None = None

    @property
    def is_table(self) -> bool:
        return self.kind == TABLE


@dataclass
class QueryUse:
    """What a persistent query reads and writes: the reason why a source cannot be dropped under it."""

    query_id: str
    reads: tuple[str, ...]
    writes: str
    creates: bool = False


@dataclass
class Catalog:
    """Sources, types and the uses of both; names are unique over streams and tables."""

    sources: dict[str, DataSource] = field(default_factory=dict)
    types: dict[str, SqlType] = field(default_factory=dict)
    uses: dict[str, QueryUse] = field(default_factory=dict)

    def copy(self) -> Catalog:
        """A catalogue to try a statement on."""
        return Catalog(dict(self.sources), dict(self.types), dict(self.uses))

    def find(self, name: str) -> DataSource | None:
        return self.sources.get(name)

    def get(self, name: str) -> DataSource:
        """The source of that name; KsqlError, with the nearest name there is, if there is none."""
        source = self.sources.get(name)
        if source is None:
            raise KsqlError(f"{name} does not exist.{self.hint(name)}")
        return source

    def hint(self, name: str) -> str:
        """A line that names the source which may have been meant, or nothing."""
        other_case = [s for s in self.sources if s.upper() == name.upper() and s != name]
        if other_case:
            quoted = " or ".join(f'"{s}"' for s in other_case)
            return f"\nDid you mean {quoted}? Hint: wrap the source name in double quotes to make it case-sensitive."
        near = difflib.get_close_matches(name, self.sources, n=1, cutoff=0.75)
        return f"\nDid you mean '{near[0]}'?" if near else ""

    def add(self, source: DataSource) -> None:
        self.sources[source.name] = source

    def readers(self, name: str) -> list[str]:
        return [u.query_id for u in self.uses.values() if name in u.reads]

    def writers(self, name: str) -> list[str]:
        return [u.query_id for u in self.uses.values() if u.writes == name]

    def built_on(self, name: str) -> list[str]:
        """The sources that queries create from this one: it cannot be dropped before them."""
        return [u.writes for u in self.uses.values() if u.creates and name in u.reads]

    def of_kind(self, kind: str) -> Iterator[DataSource]:
        return (s for s in self.sources.values() if s.kind == kind)

    # --- custom types -------------------------------------------------------------------------------------------------

    def resolve(self, sql_type: SqlType) -> SqlType:
        """The type with every custom type's name replaced by its type.

        KsqlError for an unknown one, and for a DECIMAL or STRUCT that cannot be.
        """
        refuse_impossible(sql_type)
        match sql_type:
            case Named(name):
                found = self.types.get(name)
                if found is None:
                    raise preparing(f"Cannot resolve unknown type: {name}")
                return found
            case Array(item):
                return Array(self.resolve(item))
            case Map(key, value):
                return Map(self.resolve(key), self.resolve(value))
            case Struct(fields):
                return Struct(tuple((n, self.resolve(t)) for n, t in fields))
            case _:
                return sql_type

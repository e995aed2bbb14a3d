"""Sets of SQL statements by name, and the chain of those that a rule needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256

from streamguard.sqldeploy.compare import means, normalised
from streamguard.sqldeploy.run import sources_of
from streamguard.sqldeploy.script import Item, fill_in
from streamguard_ksql.ast import CreateAsSelect, CreateSource, InsertInto, Statement
from streamguard_ksql.formatter import format_statement
from streamguard_ksql.parser import parse_statement

ALERTS_SOURCE = "FRAUD_ALERTS"
"""The stream into which rules write."""


@dataclass(frozen=True)
class Sql:
    """One statement. `key` is `query ID` or `source NAME`; `where` is file and line, or the server."""

    key: str
    text: str
    """With its variables filled in."""
    where: str

    @cached_property
    def statement(self) -> Statement:
        """Its meaning. Raises KsqlError."""
        return parse_statement(self.text)

    @property
    def formatted(self) -> str:
        """The text in one layout and without what a server adds: what differs then differs in meaning."""
        statement = self.statement
        if isinstance(statement, InsertInto | CreateAsSelect):
            statement = replace(statement, query=normalised(statement.query))
        return format_statement(statement)

    @property
    def name(self) -> str:
        """The query's id or the source's name."""
        return self.key.split(" ", 1)[1]

    @property
    def digest(self) -> str:
        """SHA-256 of the text, hexadecimal."""
        return sha256(self.text.encode()).hexdigest()

    @property
    def is_rule(self) -> bool:
        """Whether it writes alerts."""
        return isinstance(self.statement, InsertInto) and self.statement.target == ALERTS_SOURCE

    @property
    def is_query(self) -> bool:
        """Whether it runs: a source without a query only declares what is in a topic."""
        return not isinstance(self.statement, CreateSource)


Statements = Mapping[str, Sql]
"""By key."""


def sql_of(item: Item) -> Sql:
    """A statement of a file."""
    return Sql(key_of(item), fill_in(item.text, item.variables, str(item.file)), f"{item.file}:{item.line}")


def key_of(item: Item) -> str:
    """The key under which a statement is known."""
    return f"{'query' if item.kind == 'query' else 'source'} {item.name}"


def by_key(statements: Iterable[Sql]) -> dict[str, Sql]:
    """The statements by key; of two with one key the last."""
    return {sql.key: sql for sql in statements}


def chain(known: Statements, key: str) -> list[Sql]:
    """The statement and all that it needs of `known`, in the order in which they can be run."""
    return _Chain(known).of([key])


def chains(known: Statements, keys: Iterable[str]) -> list[Sql]:
    """The chains of several statements, each statement once."""
    return _Chain(known).of(keys)


def same_chain(one: Statements, other: Statements, key: str) -> bool:
    """Whether a rule is there in both sets and means the same, it and all that it needs."""
    if key not in one or key not in other:
        return False
    mine, theirs = by_key(chain(one, key)), by_key(chain(other, key))
    return mine.keys() == theirs.keys() and all(_alike(sql, theirs[name]) for name, sql in mine.items())


def _alike(one: Sql, other: Sql) -> bool:
    if one.text == other.text:
        return True
    # The server adds properties that a file does not name, on one side or the other.
    return means(one.statement, other.statement) or means(other.statement, one.statement)


class _Chain:
    """Collects statements, those that others need first."""

    def __init__(self, known: Statements) -> None:
        self._known = known
        self._found: dict[str, Sql] = {}
        self._started: set[str] = set()
        self._writers: dict[str, list[Sql]] = {}
        for sql in known.values():
            if (topic := self._written(sql)) is not None:
                self._writers.setdefault(topic, []).append(sql)

    def of(self, keys: Iterable[str]) -> list[Sql]:
        for key in keys:
            self._add(self._known[key])
        return list(self._found.values())

    def _add(self, sql: Sql) -> None:
        if sql.key in self._started:
            return
        self._started.add(sql.key)
        statement = sql.statement
        if isinstance(statement, InsertInto):
            self._declare(statement.target)
        if isinstance(statement, InsertInto | CreateAsSelect):
            for name in sorted(sources_of(statement)):
                self._read(name)
        self._found[sql.key] = sql

    def _declare(self, name: str) -> None:
        if (source := self._known.get(f"source {name}")) is not None:
            self._add(source)

    def _read(self, name: str) -> None:
        """A source that is read needs what writes its topic."""
        source = self._known.get(f"source {name}")
        if source is None:
            return
        self._declare(name) if isinstance(source.statement, CreateAsSelect) else None
        for writer in self._writers.get(_topic(source.statement) or "", ()):
            self._add(writer)
        self._declare(name)

    def _written(self, sql: Sql) -> str | None:
        statement = sql.statement
        if isinstance(statement, CreateAsSelect):
            return _topic(statement)
        if isinstance(statement, InsertInto):
            target = self._known.get(f"source {statement.target}")
            return None if target is None else _topic(target.statement)
        return None


def _topic(statement: Statement) -> str | None:
    """The topic of a source."""
    if isinstance(statement, CreateSource | CreateAsSelect):
        return str(statement.properties.get("KAFKA_TOPIC", statement.name))
    return None

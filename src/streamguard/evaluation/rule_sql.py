"""The SQL of one rule by itself: the statements from the sources of its topics to the queries that raise its alerts.

They are those that the ksqlDB server runs, where it answers and has them, else those of the catalogue's files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from streamguard.config import Settings, UserError
from streamguard.rules.catalogue import CATALOGUE_FILE, Rule, sql_files, sql_rules
from streamguard.sqldeploy.compare import same
from streamguard.sqldeploy.run import variables_of
from streamguard.sqldeploy.script import DeployError, Item, read
from streamguard.sqldeploy.state import Rejected, Server
from streamguard_ksql import ast
from streamguard_ksql.errors import KsqlError
from streamguard_ksql.parser import parse_statement

_TIMEOUT_S = 10.0


class NotRecomputable(UserError):
    """The SQL of a rule cannot be run once more."""


@dataclass(frozen=True)
class RuleSql:
    """`statements` in an order in which they can run; `origin` says whose text they are."""

    rule: str
    statements: tuple[ast.Statement, ...]
    origin: str

    @property
    def given(self) -> dict[str, str]:
        """The topics that no statement writes, in order, with STREAM or TABLE: what is read as."""
        written = {topic for s in self.statements if (topic := _written(s, self._topics)) is not None}
        sources = (s for s in self.statements if isinstance(s, ast.CreateSource))
        return {topic_of(s): s.kind for s in sources if topic_of(s) not in written}

    @property
    def within_account(self) -> bool:
        """Whether every query keeps the account as its key, so that no other account's transactions count.

        They may still move stream time on, which closes windows.
        """
        columns: dict[str, frozenset[str]] = {}
        by_topic: dict[str, frozenset[str]] = {}
        for statement in self.statements:
            if isinstance(statement, ast.CreateSource):
                keys = frozenset(c.name for c in statement.columns if c.constraint == "KEY")
                columns[statement.name] = by_topic.get(topic_of(statement), keys)
                continue
            query = _query(statement)
            assert query is not None
            account = frozenset(c for source in _sources(query.source) for c in columns.get(source.name, ()))
            if not all(_name_in(e, account) for e in (*query.group_by, *query.partition_by)):
                return False
            if isinstance(statement, ast.CreateAsSelect):
                kept = frozenset(_kept(query, account))
                columns[statement.name] = by_topic[topic_of(statement)] = kept
        return sum(kind == "STREAM" for kind in self.given.values()) == 1

    @property
    def _topics(self) -> dict[str, str]:
        return {s.name: topic_of(s) for s in self.statements if isinstance(s, ast.CreateSource | ast.CreateAsSelect)}


def sql_of(rule: str, settings: Settings) -> RuleSql:
    """The SQL of the rule that an alert names. Raises NotRecomputable, DeployError, CatalogueError."""
    entries = [entry for entry in sql_rules() if entry.name == rule]
    if not entries:
        raise NotRecomputable(
            f"the rule {rule} has no line in ksqldb/{CATALOGUE_FILE}, so its SQL is not known: add its query there, then try"
            " again"
        )
    server = Server(settings.ksqldb, _TIMEOUT_S)
    try:
        running = server.queries()
    except (DeployError, Rejected) as error:
        return _Chain(entries, settings, None, {}).sql(f"as its file has it ({error})")
    try:
        return _Chain(entries, settings, server, running).sql(f"as the server at {settings.ksqldb_url} runs it")
    except Rejected as error:
        raise NotRecomputable(f"the ksqlDB server does not say what it runs: {error}") from None


class _Chain:
    """Follows the sources of queries back to topics that nobody writes."""

    def __init__(
        self, entries: Sequence[Rule], settings: Settings, server: Server | None, running: dict[str, str]
    ) -> None:
        self._entries = entries
        self._server = server
        self._running = running
        self._items = {item.name: item for file in sql_files() for item in read(file, variables_of(settings))}
        self._topics = {i.name: topic_of(i.statement) for i in self._items.values() if i.kind != "query"}
        self._found: dict[str, ast.Statement] = {}
        self._begun: set[str] = set()
        self._other: list[str] = []
        self._missing: list[str] = []

    def sql(self, origin: str) -> RuleSql:
        for entry in self._entries:
            self._need(str(entry.query_id).upper())
        version = max(entry.version for entry in self._entries)
        text = f"version {version} of {self._entries[0].name}, {origin}"
        if self._other:
            text += f"; {', '.join(self._other)} differs from the file"
        if self._missing:
            text += f"; {', '.join(self._missing)} is not on the server and taken from the file"
        return RuleSql(self._entries[0].name, tuple(self._found.values()), text)

    def _need(self, name: str, *, is_target: bool = False) -> None:
        if name in self._begun:
            return
        self._begun.add(name)
        statement = self._statement(name)
        query = _query(statement)
        writers = [] if query is not None or is_target else self._writers(topic_of(statement))
        # CREATE AS makes the topic that a source reads; INSERT INTO writes to a source that is there.
        first = [writer.name for writer in writers if writer.kind != "query"]
        for source in first if query is None else [source.name for source in _sources(query.source)]:
            self._need(source)
        if isinstance(statement, ast.InsertInto):
            self._need(statement.target, is_target=True)
        self._found[name] = statement
        for writer in writers:
            self._need(writer.name)

    def _writers(self, topic: str) -> list[Item]:
        return [item for item in self._items.values() if _written(item.statement, self._topics) == topic]

    def _statement(self, name: str) -> ast.Statement:
        item = self._items.get(name)
        text = self._text(name, item)
        if text is None:
            if item is None:
                raise NotRecomputable(
                    f"{self._entries[0].name} reads {name}, which no SQL file of the catalogue makes"
                    f"{' and the server does not have' if self._server else ''}: deploy the rule, then try again"
                )
            if self._server is not None:
                self._missing.append(name)
            return item.statement
        if item is not None and not same(item.statement, text):
            self._other.append(name)
        try:
            statement = parse_statement(text)
        except KsqlError as error:
            raise NotRecomputable(f"the server's text of {name} cannot be read: {error.message}") from None
        if isinstance(statement, ast.InsertInto):
            return replace(statement, properties={**statement.properties, "QUERY_ID": name})
        return statement

    def _text(self, name: str, item: Item | None) -> str | None:
        """What the server runs under a name; None where there is no server, or it has none such."""
        if self._server is None:
            return None
        if item is not None and item.kind == "query":
            return self._running.get(name)
        return self._server.definition(name)


def topic_of(statement: ast.Statement) -> str:
    """The topic of a CREATE statement."""
    assert isinstance(statement, ast.CreateSource | ast.CreateAsSelect)
    return str(statement.properties.get("KAFKA_TOPIC", statement.name))


def _written(statement: ast.Statement, topics: dict[str, str]) -> str | None:
    """The topic that a statement's query writes; None for a source without one."""
    if isinstance(statement, ast.InsertInto):
        return topics.get(statement.target)
    return topic_of(statement) if isinstance(statement, ast.CreateAsSelect) else None


def _query(statement: ast.Statement) -> ast.Query | None:
    return statement.query if isinstance(statement, ast.CreateAsSelect | ast.InsertInto) else None


def _sources(relation: ast.Relation) -> Iterator[ast.Source]:
    if isinstance(relation, ast.Join):
        yield from _sources(relation.left)
        yield from _sources(relation.right)
    else:
        assert isinstance(relation, ast.Source)
        yield relation


def _name_in(expression: ast.Expression, names: frozenset[str]) -> bool:
    return isinstance(expression, ast.ColumnRef) and expression.name in names


def _kept(query: ast.Query, account: frozenset[str]) -> Iterator[str]:
    """The names under which a query hands on the account."""
    for item in query.select:
        if not isinstance(item, ast.SelectItem):
            yield from account
            continue
        expression = item.expression
        if isinstance(expression, ast.FunctionCall) and expression.name == "AS_VALUE":
            expression = expression.args[0]
        if isinstance(expression, ast.ColumnRef) and expression.name in account:
            yield item.alias or expression.name

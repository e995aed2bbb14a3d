"""What has to be run: only the rules on which the sides differ, and a statement that both run alike only once.

A part is one engine: a chain of statements whose alerts are those of side A, of side B, or of both, which then only judge
them differently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from streamguard.backtest.errors import BacktestError
from streamguard.backtest.sides import A, B, Side
from streamguard.backtest.statements import Sql, Statements, chains, same_chain
from streamguard.evaluation.replay import TRANSACTIONS
from streamguard.rules.catalogue import python_rules
from streamguard.rules.decide import ACTIVE
from streamguard.sqldeploy.state import STREAMS_PROPERTIES
from streamguard_ksql.errors import KsqlError
from streamguard_ksql.local import LocalEngine
from streamguard_ksql.local.query import JOINS, LocalQuery
from streamguard_ksql.plan import AggregateNode, ForeignKeyJoinNode, Node, SelectKeyNode, StreamTableJoinNode, walk
from streamguard_ksql.plan import sources as sources_in
from streamguard_ksql.topology import exchanges, moves_groups


@dataclass(frozen=True)
class Part:
    """Statements that one engine runs, and whose alerts they are."""

    sides: tuple[str, ...]
    statements: tuple[Sql, ...]


@dataclass(frozen=True)
class Plan:
    """The parts, and the rules by the name of their alerts."""

    parts: tuple[Part, ...]
    run: tuple[str, ...]
    unchanged: tuple[str, ...]


def make_plan(a: Side, b: Side, change: Statements, *, everything: bool = False) -> Plan:
    """What of the rules of two sides has to be run.

    `change` has the statements that were given for B; with `everything` its rules are run on both sides though they mean
    the same.
    """
    rules_a, rules_b = a.rules(), b.rules()
    judged_alike = (a.limits, a.base) == (b.limits, b.base) and all(
        a.modes.get(r.name) == b.modes.get(r.name) for r in python_rules()
    )
    both, only_a, only_b, unchanged = [], [], [], []
    for key, name in {**rules_a, **rules_b}.items():
        there = key in rules_a, key in rules_b
        alike = all(there) and same_chain(a.statements, b.statements, key)
        if alike and not (everything and key in change):
            if judged_alike and a.modes.get(name, ACTIVE) == b.modes.get(name, ACTIVE):
                unchanged.append(key)
            else:
                both.append(key)
            continue
        only_a += [key] if there[0] else []
        only_b += [key] if there[1] else []
    parts = [_part((A, B), b, both), _part((A,), a, only_a), _part((B,), b, only_b)]
    names = {**rules_a, **rules_b}
    return Plan(
        tuple(part for part in parts if part.statements),
        tuple(sorted({names[key] for key in [*both, *only_a, *only_b]})),
        tuple(
            sorted({names[key] for key in unchanged if not change or key in change} - _of(names, both, only_a, only_b))
        ),
    )


def _of(names: Mapping[str, str], *keys: Iterable[str]) -> set[str]:
    return {names[key] for found in keys for key in found}


def _part(sides: tuple[str, ...], side: Side, keys: Sequence[str]) -> Part:
    return Part(sides, tuple(chains(side.statements, keys)))


def check(statements: Statements, partitions: Mapping[str, int]) -> None:
    """Plan each statement. Raises BacktestError with the place of the first that does not."""
    new_engine(chains(statements, statements), partitions, lambda: 0)


def new_engine(statements: Iterable[Sql], partitions: Mapping[str, int], clock: Callable[[], int]) -> LocalEngine:
    """An engine that runs the statements; `partitions` by topic. Raises BacktestError."""
    engine = LocalEngine(partitions[TRANSACTIONS], STREAMS_PROPERTIES, clock, partitions)
    for sql in statements:
        try:
            engine.execute(sql.statement)
        except KsqlError as error:
            raise BacktestError(f"{sql.where}: {error.message.splitlines()[0]}") from None
    return engine


def outer_topics(engine: LocalEngine) -> dict[str, bool]:
    """The topics that the queries read and none of them writes, each with whether it is read as a table."""
    written = {sink.topic for query in engine.queries.values() for sink in query.query.sinks}
    found: dict[str, bool] = {}
    for query in engine.queries.values():
        for node in sources_in(query.query.plan):
            topic = node.source.topic
            if topic not in written:
                found[topic] = found.get(topic, False) or node.source.is_table
    return found


def needs_all_partitions(engine: LocalEngine) -> bool:
    """Whether a query brings transactions of several partitions together, so that none can be worked through by itself.

    A join with a table that no transaction goes into does not: every process is given such a table whole.
    """
    ours, moved = {TRANSACTIONS}, set[str]()
    waiting = list(engine.queries.values())
    while found := [query for query in waiting if ours & set(query.topics)]:
        for query in found:
            waiting.remove(query)
            nodes = list(walk(query.query.plan))
            if any(_gathers(node, ours, moved) for node in nodes):
                return True
            topics = {sink.topic for sink in query.query.sinks}
            ours |= topics
            if moved & set(query.topics) or any(isinstance(node, SelectKeyNode) for node in nodes):
                moved |= topics
    return False


def _gathers(node: Node, ours: set[str], moved: set[str]) -> bool:
    topics = _topics(node)
    if not topics & ours:
        return False
    if isinstance(node, StreamTableJoinNode) and not _topics(node.inputs[1]) & ours:
        return False
    if not isinstance(node, (AggregateNode, *JOINS)):
        return False
    if topics & moved or any(isinstance(below, SelectKeyNode) for below in walk(node)):
        return True
    if isinstance(node, AggregateNode):
        return moves_groups(node)
    return isinstance(node, ForeignKeyJoinNode) or exchanges(node)


def _topics(node: Node) -> set[str]:
    return {found.source.topic for found in sources_in(node)}


def failures(queries: Mapping[str, LocalQuery]) -> dict[str, str]:
    """The queries that ended, with the reason."""
    return {query_id: query.failure for query_id, query in queries.items() if query.failure is not None}

"""Deploy files: per statement unchanged, new or different; replace what differs when asked to.

A `Plan` is made before anything is sent; then `take_down` ends what is replaced, and `send` brings what is new.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from streamguard.config import Settings
from streamguard.kafka.topics import FOREVER, Topic
from streamguard.sqldeploy.compare import same
from streamguard.sqldeploy.script import DeployError, Item, StatementRejected, read
from streamguard.sqldeploy.state import Rejected, Server
from streamguard_ksql.ast import CreateAsSelect, CreateSource, InsertInto, Source, Statement

LIVE = frozenset({"TRANSACTIONS", "FRAUD_ALERTS"})
"""The streams of the application itself: what is in them stays, whichever query has written it."""

UNCHANGED, NEW, DIFFERENT, REPLACED, OFF, WAITS = "unchanged", "new", "different", "replaced", "off", "waits"
"""What became of a statement; one that is new and uses a source of which another version runs waits for that to be replaced."""
ENDED, RESTARTED = "ended", "restarted"
"""A stream or table is there and the query that fills it was terminated; it was made anew, with all that reads from it."""

_TOPIC = "topic "
"""Before the names of topics, among those of streams and tables."""


@dataclass(frozen=True)
class Outcome:
    """What became of one statement."""

    status: str
    item: Item

    def __str__(self) -> str:
        return f"{self.status:<9}  {self.item.kind:<6}  {self.item.name}"


Tell = Callable[[Outcome], None]


def variables_of(settings: Settings) -> dict[str, str]:
    """The variables of the SQL files whose values are settings, for the consumer has them too."""
    return {"max_ahead_ms": str(settings.max_ahead_s * 1_000)}


def topics_of(files: Sequence[Path]) -> list[Topic]:
    """The topics of the sources that the files make with PARTITIONS: the server would make them with the broker's retention.

    Raises DeployError for a file that cannot be read.
    """
    return topics_of_items([item for file in files for item in read(file)])


def topics_of_items(items: Sequence[Item]) -> list[Topic]:
    """The same for statements that were read already."""
    found = []
    for item in items:
        properties = getattr(item.statement, "properties", {})
        if isinstance(item.statement, CreateSource) and "PARTITIONS" in properties:
            configs = FOREVER if item.kind == "stream" else {"cleanup.policy": "compact"}
            found.append(Topic(str(properties["KAFKA_TOPIC"]), int(properties["PARTITIONS"]), configs))
    return found


@dataclass
class Plan:
    """What a deployment does: the statements, the status of each, and those that are taken down to be made anew."""

    server: Server
    items: list[Item]
    off: Collection[str] = ()
    """The ids of queries that are not started, for their rule is off."""
    statuses: dict[int, str] = field(default_factory=dict)
    affected: list[Item] = field(default_factory=list)
    replaces: bool = True
    """Whether what is affected is replaced by another version; else it is started again as it was."""

    def status(self, item: Item) -> str:
        """unchanged, new, different, ended, replaced or restarted, as it was when the plan was made."""
        status = self.statuses[id(item)]
        anew = REPLACED if self.replaces else RESTARTED
        return anew if item in self.affected and status != NEW else status

    def begins(self, item: Item) -> bool:
        """Whether the statement is sent, or would be if its rule was not off."""
        return self.status(item) in (NEW, REPLACED, RESTARTED)

    def take_down(self) -> None:
        """End what is affected, readers first. The topics of queries that are replaced go with them: they are written anew.

        A query that is started again writes the same rows again behind those that it has written.
        """
        for item in reversed(self.affected):
            _take_down(self.server, item, delete_topic=self.replaces)

    def send(self, tell: Tell = lambda _: None) -> list[Outcome]:
        """Send what is new. Raises DeployError with file, line and the server's message."""
        outcomes = []
        held: set[str] = set()
        for item in self.items:
            outcome = Outcome(self._sent(item, held), item)
            is_source = isinstance(item.statement, CreateSource)
            if outcome.status == WAITS or (outcome.status == DIFFERENT and is_source):
                held.add(item.name)
            if outcome.status == WAITS and (topic := topic_of(item)) is not None:
                held.add(_TOPIC + topic)
            tell(outcome)
            outcomes.append(outcome)
        return outcomes

    def _sent(self, item: Item, held: Collection[str]) -> str:
        status = self.status(item)
        if status == NEW and _status(self.server, item) != NEW:
            # The same source may stand in several files; the first has made it by now.
            status = _status(self.server, item)
        if status in (NEW, REPLACED, RESTARTED) and item.kind == "query" and item.name in self.off:
            return OFF
        if status == NEW and (_names(item) | {_TOPIC + str(topic_of(item))}) & set(held):
            return WAITS
        if status in (NEW, REPLACED, RESTARTED):
            _send(self.server, item)
        return status


def plan(server: Server, items: Sequence[Item], *, replace: bool = False, off: Collection[str] = ()) -> Plan:
    """Ask the server what it has of the statements. Raises DeployError, also where what is replaced has other readers.

    With `replace`, what differs and all of it that reads from it is taken down and made anew; without it, what differs
    stays as it runs, and so does what has ended if that would change a reader.
    """
    filled = server.filled()
    made = Plan(server, list(items), off, {id(item): _status(server, item, filled) for item in items}, replaces=replace)
    affected = _affected(made.items, made.statuses, {DIFFERENT, ENDED} if replace else {ENDED})
    if replace:
        _check_readers(server, affected)
        made.affected = affected
    elif affected and not any(made.statuses[id(item)] == DIFFERENT for item in affected):
        with suppress(DeployError):  # readers that are not in the files: what has ended is reported as it is
            _check_readers(server, affected)
            made.affected = affected
    return made


def deploy(
    server: Server,
    files: Sequence[Path],
    *,
    given: Mapping[str, str] = MappingProxyType({}),
    replace: bool = False,
    off: Collection[str] = (),
    tell: Tell = lambda _: None,
) -> list[Outcome]:
    """Bring what is new of `files` to the server. All are read before anything is sent, so a wrong file changes nothing.

    `given` has values of variables in the place of those that the files DEFINE. `off` has the ids of queries whose rule is
    off: one that does not run is not started.

    With `replace`, what differs and all in these files that reads from it is taken down and made anew; without it, what
    differs stays as it runs. For rules `replace.carry_out` does it, which knows from where on their alerts count. Raises
    DeployError with file, line and the server's message.
    """
    made = plan(server, [item for file in files for item in read(file, given)], replace=replace, off=off)
    made.take_down()
    return made.send(tell)


def remove(server: Server, items: Sequence[Item]) -> list[Item]:
    """Take down what the statements have made, readers first, with the topics that their queries fill; returns what was there.

    Raises DeployError where another query reads from it; then nothing is removed.
    """
    there = [item for item in items if running_text(server, item) is not None]
    _check_readers(server, there)
    for item in _readers_first(there):
        _take_down(server, item, delete_topic=True)
    return there


def _readers_first(items: Sequence[Item]) -> Iterator[Item]:
    """Each behind those that read from it or write to it, in whichever order the files were named."""
    left = list(items)
    while left:
        used = {name for item in left for name in _names(item) - {item.name}}
        free = [item for item in reversed(left) if item.name not in used] or left[::-1]
        yield from free
        left = [item for item in left if item not in free]


def missing(server: Server, files: Sequence[Path], given: Mapping[str, str] = MappingProxyType({})) -> list[Item]:
    """The statements of `files`, read as `deploy` does, that the server does not have or whose query has ended.

    Raises DeployError.
    """
    return missing_items(server, [item for file in files for item in read(file, given)])


def missing_items(server: Server, items: Sequence[Item]) -> list[Item]:
    """The same of statements that were read already."""
    filled = server.filled()
    return [item for item in items if _status(server, item, filled) in (NEW, ENDED)]


def running_text(server: Server, item: Item) -> str | None:
    """What the server runs under the name of a statement, None for nothing. Raises DeployError."""
    try:
        is_query = isinstance(item.statement, InsertInto)
        return server.queries().get(item.name) if is_query else server.definition(item.name)
    except Rejected as error:
        raise DeployError(f"{item.file}:{item.line}: {error}") from None


def topic_of(item: Item) -> str | None:
    """The topic that a source is over; None for a query."""
    if isinstance(item.statement, InsertInto):
        return None
    assert isinstance(item.statement, CreateSource | CreateAsSelect)
    return str(item.statement.properties.get("KAFKA_TOPIC", item.name))


def sources_of(statement: Statement) -> set[str]:
    """The sources that a statement reads from."""
    return _sources(statement.query.source) if isinstance(statement, InsertInto | CreateAsSelect) else set()


def lineage(items: Sequence[Item], queries: Collection[str]) -> list[Item]:
    """Of the statements those that lead to the queries with these ids, and these, in their order."""
    sources: set[str] = set()
    topics: set[str] = set()
    found = []
    for item in reversed(items):
        fills = item.statement.target in sources if isinstance(item.statement, InsertInto) else False
        if item.name in queries or item.name in sources or topic_of(item) in topics or fills:
            found.append(item)
            sources |= sources_of(item.statement)
            topics |= {str(topic_of(item))} if item.kind != "query" else set()
    return found[::-1]


def _status(server: Server, item: Item, filled: Collection[str] | None = None) -> str:
    """`filled`: the sources that a query of their own fills; None does not ask."""
    running = running_text(server, item)
    if running is None:
        return NEW
    if not same(item.statement, running):
        return DIFFERENT
    ended = filled is not None and isinstance(item.statement, CreateAsSelect) and item.name not in filled
    return ENDED if ended else UNCHANGED


def _send(server: Server, item: Item) -> None:
    try:
        server.execute(item.text, item.variables)
    except Rejected as error:
        raise StatementRejected(f"{item.file}:{item.line}: {error}") from None


def _affected(items: list[Item], status_of: dict[int, str], roots: Collection[str]) -> list[Item]:
    """What has one of these statuses, and all below it that reads from or writes to it, or to the topic that a query fills.

    In their order.
    """
    affected: set[int] = set()
    changed: set[str] = set()
    filled: set[str] = set()
    before = -1
    while len(affected) != before:
        before = len(affected)
        for item in items:
            if status_of[id(item)] in roots or _names(item) & changed or topic_of(item) in filled:
                affected.add(id(item))
                changed |= _rewritten(item)
                filled |= {str(topic_of(item))} if isinstance(item.statement, CreateAsSelect) else set()
    return [item for item in items if id(item) in affected]


def _rewritten(item: Item) -> set[str]:
    """The sources whose rows are others when a statement is made anew: itself, or what an INSERT fills."""
    if not isinstance(item.statement, InsertInto):
        return {item.name}
    return {item.statement.target} - LIVE


def _names(item: Item) -> set[str]:
    """The sources that a statement reads from or writes to."""
    target = {item.statement.target} if isinstance(item.statement, InsertInto) else set()
    return target | sources_of(item.statement)


def _sources(relation: Any) -> set[str]:
    if isinstance(relation, Source):
        return {relation.name}
    parts = [getattr(relation, field.name) for field in dataclasses.fields(relation)]
    return {name for part in parts if dataclasses.is_dataclass(part) for name in _sources(part)}


def _check_readers(server: Server, affected: Sequence[Item]) -> None:
    """Raise DeployError where a query that stays reads or fills what is replaced: the server would not drop that."""
    names = {item.name for item in affected}
    sources = {item.name for item in affected if item.kind != "query"}
    topics = {str(topic_of(item)) for item in affected if isinstance(item.statement, CreateAsSelect)}
    topic_by_name = server.topics() if sources else {}
    for query in server.running() if sources else ():
        query_id, sinks = str(query["id"]), set(query.get("sinks") or ())
        makes = str(query["queryString"]).lstrip().upper().startswith("CREATE")
        if query_id.upper() in names or (makes and sinks <= sources):
            continue
        used = set(server.explain(query_id)["sources"]) | sinks
        if found := sorted(name for name in used if name in sources or topic_by_name.get(name) in topics):
            is_shadow = query_id.upper().startswith(("SHADOW_", "CTAS_SHADOW_", "CSAS_SHADOW_"))
            advice = "drop the shadow first, `streamguard rules drop-shadow`" if is_shadow else "deploy its file too"
            raise DeployError(f"the query {query_id} uses {found[0]}, which is to be replaced: {advice}")


def _take_down(server: Server, item: Item, *, delete_topic: bool) -> None:
    """End a query or drop a source; nothing there is fine. The topic of a source stays, unless it is the query's own."""
    try:
        if isinstance(item.statement, InsertInto):
            if item.name in server.queries():
                server.execute(f"TERMINATE {item.name};")
        elif server.definition(item.name) is not None:
            topic = " DELETE TOPIC" if delete_topic and isinstance(item.statement, CreateAsSelect) else ""
            server.execute(f"DROP {item.kind.upper()} IF EXISTS `{item.name}`{topic};")
    except Rejected as error:
        raise DeployError(f"{item.file}:{item.line}: {item.name} cannot be replaced: {error}") from None

"""Deploy files: per statement unchanged, new or different; replace what differs when asked to."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from streamguard.config import Settings
from streamguard.kafka.topics import FOREVER, Topic
from streamguard.sqldeploy.compare import same
from streamguard.sqldeploy.script import DeployError, Item, read
from streamguard.sqldeploy.state import Rejected, Server
from streamguard_ksql.ast import CreateAsSelect, CreateSource, InsertInto, Source

UNCHANGED, NEW, DIFFERENT, REPLACED, OFF = "unchanged", "new", "different", "replaced", "off"


@dataclass(frozen=True)
class Outcome:
    """What became of one statement."""

    status: str
    item: Item

    def __str__(self) -> str:
        return f"{self.status:<9}  {self.item.kind:<6}  {self.item.name}"


def variables_of(settings: Settings) -> dict[str, str]:
    """The variables of the SQL files whose values are settings, for the consumer has them too."""
    return {"max_ahead_ms": str(settings.max_ahead_s * 1_000)}


def topics_of(files: Sequence[Path]) -> list[Topic]:
    """The topics of the sources that the files make with PARTITIONS: the server would make them with the broker's retention.

    Raises DeployError for a file that cannot be read.
    """
    found = []
    for item in (item for file in files for item in read(file)):
        properties = getattr(item.statement, "properties", {})
        if isinstance(item.statement, CreateSource) and "PARTITIONS" in properties:
            configs = FOREVER if item.kind == "stream" else {"cleanup.policy": "compact"}
            found.append(Topic(str(properties["KAFKA_TOPIC"]), int(properties["PARTITIONS"]), configs))
    return found


def deploy(
    server: Server,
    files: Sequence[Path],
    *,
    given: Mapping[str, str] = MappingProxyType({}),
    replace: bool = False,
    off: Collection[str] = (),
    tell: Callable[[Outcome], None] = lambda _: None,
) -> list[Outcome]:
    """Bring `files` to the server. All are read before anything is sent, so a wrong file changes nothing.

    `given` has values of variables in the place of those that the files DEFINE. `off` has the ids of queries whose rule is
    off: one that does not run is not started.

    With `replace`, what differs and all in these files that reads from it is taken down and made anew; without it,
    what differs stays as it runs. Raises DeployError with file, line and the server's message.
    """
    items = [item for file in files for item in read(file, given)]
    status_of = {id(item): _status(server, item) for item in items}
    affected = _affected(items, status_of) if replace else []
    for item in reversed(affected):
        _take_down(server, item)
    outcomes = []
    for item in items:
        status = status_of[id(item)]
        if item in affected:
            status = REPLACED if status != NEW else NEW
        elif status == NEW and _status(server, item) != NEW:
            # The same source may stand in several files; the first has made it by now.
            status = _status(server, item)
        if status in (NEW, REPLACED) and item.kind == "query" and item.name in off:
            status = OFF
        if status in (NEW, REPLACED):
            _send(server, item)
        outcome = Outcome(status, item)
        tell(outcome)
        outcomes.append(outcome)
    return outcomes


def missing(server: Server, files: Sequence[Path], given: Mapping[str, str] = MappingProxyType({})) -> list[Item]:
    """The statements of `files`, read as `deploy` does, that the server does not have. Raises DeployError."""
    return [item for file in files for item in read(file, given) if _status(server, item) == NEW]


def _status(server: Server, item: Item) -> str:
    try:
        is_query = isinstance(item.statement, InsertInto)
        running = server.queries().get(item.name) if is_query else server.definition(item.name)
    except Rejected as error:
        raise DeployError(f"{item.file}:{item.line}: {error}") from None
    if running is None:
        return NEW
    return UNCHANGED if same(item.statement, running) else DIFFERENT


def _send(server: Server, item: Item) -> None:
    try:
        server.execute(item.text, item.variables)
    except Rejected as error:
        raise DeployError(f"{item.file}:{item.line}: {error}") from None


def _affected(items: list[Item], status_of: dict[int, str]) -> list[Item]:
    """What differs, and all below it that reads from or writes to it."""
    affected: list[Item] = []
    changed: set[str] = set()
    for item in items:
        if status_of[id(item)] == DIFFERENT or _names(item) & changed:
            affected.append(item)
            if not isinstance(item.statement, InsertInto):
                changed.add(item.name)
    return affected


def _names(item: Item) -> set[str]:
    """The sources that a statement reads from or writes to."""
    statement = item.statement
    if isinstance(statement, InsertInto):
        return {statement.target} | _sources(statement.query.source)
    return _sources(statement.query.source) if isinstance(statement, CreateAsSelect) else set()


def _sources(relation: Any) -> set[str]:
    if isinstance(relation, Source):
        return {relation.name}
    parts = [getattr(relation, field.name) for field in dataclasses.fields(relation)]
    return {name for part in parts if dataclasses.is_dataclass(part) for name in _sources(part)}


def _take_down(server: Server, item: Item) -> None:
    """End a query or drop a source (its topic stays); nothing there is fine."""
    try:
        if isinstance(item.statement, InsertInto):
            if item.name in server.queries():
                server.execute(f"TERMINATE {item.name};")
        else:
            server.execute(f"DROP {item.kind.upper()} IF EXISTS `{item.name}`;")
    except Rejected as error:
        raise DeployError(f"{item.file}:{item.line}: {item.name} cannot be replaced: {error}") from None

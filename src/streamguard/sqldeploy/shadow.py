"""SQL files as a shadow: the same statements under other names, beside what runs, with alerts that nobody judges.

Whatever the files make gets the prefix `shadow_`: streams, tables, queries, and the topics that queries fill. Topics of
input (`transactions`, `blacklist`, ...) are read as they are, through the sources that the server has where these are the
same. `fraud_alerts` becomes the stream `shadow_alerts`, over a topic of that name, which no consumer reads.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from streamguard.config import Settings
from streamguard.sqldeploy.compare import same
from streamguard.sqldeploy.replace import ALERTS, rules_of
from streamguard.sqldeploy.run import running_text, topic_of
from streamguard.sqldeploy.script import DeployError, Item
from streamguard.sqldeploy.state import Rejected, Server
from streamguard_ksql.ast import CreateAsSelect, CreateSource, InsertInto, Source, Statement
from streamguard_ksql.formatter import format_statement
from streamguard_ksql.parser import parse_statement

PREFIX, SHADOW_ALERTS, SHADOW_TOPIC = "SHADOW_", "SHADOW_ALERTS", "shadow_alerts"


def shadow_of(server: Server, settings: Settings, items: Sequence[Item]) -> list[Item]:
    """The statements under the names of the shadow, in their order; the stream of its alerts comes first.

    Raises DeployError for files without a rule, for a rule that is not in the catalogue, and for statements that would write
    into what runs.
    """
    if not rules_of(items):
        raise DeployError(
            f"{_files(items)}: no rule is in it (a query into {ALERTS.lower()}), so a shadow shows nothing"
        )
    filled = _filled(items)
    names = {ALERTS: SHADOW_ALERTS}
    for item in items:
        if item.kind != "query" and item.name != ALERTS and (_is_filled(item, filled) or not _runs(server, item)):
            names[item.name] = shadow_name(item.name)
    kept = [item for item in items if item.kind == "query" or (item.name in names and item.name != ALERTS)]
    rewritten = [_rewritten(item, names, filled) for item in kept]
    return [_alerts(server, settings, items), *rewritten]


def shadow_name(name: str) -> str:
    """The name of a source or query in the shadow."""
    return (PREFIX if name == name.upper() else PREFIX.lower()) + name


def traces_of(items: Sequence[Item]) -> list[tuple[str, str, bool]]:
    """What a shadow of the statements may have made, readers first: kind, name, and whether its topic goes with it."""
    filled = _filled(items)
    made = [
        (item.kind, shadow_name(item.name), _is_filled(item, filled) and _owns_topic(item, items))
        for item in items
        if item.name != ALERTS
    ]
    return [*reversed(made), ("stream", SHADOW_ALERTS, True)]


def shadow_topics(items: Sequence[Item]) -> set[str]:
    """The topics that a shadow of the statements fills."""
    return {SHADOW_TOPIC} | {_shadow_topic(topic) for topic in _filled(items) - {_topic_of_alerts(items)}}


def _owns_topic(item: Item, items: Sequence[Item]) -> bool:
    """Of several sources over one topic, the query's own is the one that it goes with; else the first."""
    over = [other for other in items if topic_of(other) == topic_of(item)]
    own = [other for other in over if isinstance(other.statement, CreateAsSelect)]
    return item is (own or over)[0]


def _filled(items: Sequence[Item]) -> set[str]:
    """The topics that queries among the statements fill."""
    topics = {item.name: str(topic_of(item)) for item in items if item.kind != "query"}
    targets = {item.statement.target for item in items if isinstance(item.statement, InsertInto)}
    made = {item.name for item in items if isinstance(item.statement, CreateAsSelect)}
    return {topic for name, topic in topics.items() if name in targets | made}


def _is_filled(item: Item, filled: set[str]) -> bool:
    return topic_of(item) in filled


def _runs(server: Server, item: Item) -> bool:
    """Whether the server has this very source."""
    running = running_text(server, item)
    return running is not None and same(item.statement, running)


def _rewritten(item: Item, names: Mapping[str, str], filled: set[str]) -> Item:
    statement = item.statement
    properties = dict(getattr(statement, "properties", {}))
    if "QUERY_ID" in properties:
        properties["QUERY_ID"] = PREFIX.lower() + str(properties["QUERY_ID"])
    if str(properties.get("KAFKA_TOPIC")) in filled:
        properties["KAFKA_TOPIC"] = _shadow_topic(str(properties["KAFKA_TOPIC"]))
    changed: Statement
    if isinstance(statement, InsertInto):
        if statement.target not in names:
            raise DeployError(
                f"{item.file}:{item.line}: the query {item.name} writes into {statement.target.lower()}, which is no part of a"
                " shadow: leave its file out"
            )
        changed = InsertInto(names[statement.target], properties, _renamed(statement.query, names))
    elif isinstance(statement, CreateAsSelect):
        query = _renamed(statement.query, names)
        changed = dataclasses.replace(statement, name=names[item.name], properties=properties, query=query)
    else:
        assert isinstance(statement, CreateSource)
        changed = dataclasses.replace(statement, name=names[item.name], properties=properties)
    return _item(item.file, item.line, changed)


def _renamed(node: Any, names: Mapping[str, str]) -> Any:
    """The tree with other sources; each keeps its old name as its alias, which columns are qualified with."""
    if isinstance(node, Source):
        return Source(names.get(node.name, node.name), node.alias)
    if isinstance(node, tuple):
        return tuple(_renamed(part, names) for part in node)
    if dataclasses.is_dataclass(node) and not isinstance(node, type):
        changed = {field.name: _renamed(getattr(node, field.name), names) for field in dataclasses.fields(node)}
        return dataclasses.replace(node, **changed)
    return node


def _alerts(server: Server, settings: Settings, items: Sequence[Item]) -> Item:
    """The stream of the shadow's alerts, with the columns that `fraud_alerts` has in the files, or else on the server."""
    given = [item for item in items if item.name == ALERTS]
    statement: Statement
    if given:
        statement = given[0].statement
    else:
        try:
            running = server.definition(ALERTS)
        except Rejected as error:
            raise DeployError(f"the stream {ALERTS.lower()}: {error}") from None
        if running is None:
            raise DeployError(f"the server does not have the stream {ALERTS.lower()}: `streamguard deploy` makes it")
        statement = parse_statement(running)
    assert isinstance(statement, CreateSource)
    properties = {**statement.properties, "KAFKA_TOPIC": SHADOW_TOPIC, "PARTITIONS": settings.topic_partitions}
    changed = dataclasses.replace(statement, name=SHADOW_ALERTS, properties=properties)
    return _item(*((given[0].file, given[0].line) if given else (items[0].file, 1)), changed)


def _item(file: Path, line: int, statement: Statement) -> Item:
    return Item(file, line, format_statement(statement), {}, statement)


def _shadow_topic(topic: str) -> str:
    return PREFIX.lower() + topic


def _topic_of_alerts(items: Sequence[Item]) -> str | None:
    return next((topic_of(item) for item in items if item.name == ALERTS), None)


def _files(items: Sequence[Item]) -> str:
    return ", ".join(dict.fromkeys(str(item.file) for item in items)) or "the files"

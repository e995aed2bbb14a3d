"""Whether the server runs what is in the file. The server rewrites a statement: the meaning is compared, not the text.

ksqlDB qualifies every column with its source, spells out aliases, and adds properties and an EMIT that were not asked
for. Both texts are parsed and both trees normalised; of the properties those that the file names must be the same.
"""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from typing import Any

from streamguard_ksql.ast import (
    ColumnRef,
    CreateAsSelect,
    CreateSource,
    InsertInto,
    Query,
    SelectItem,
    Source,
    Statement,
)
from streamguard_ksql.errors import KsqlError
from streamguard_ksql.parser import parse_statement


def same(wanted: Statement, running_text: str) -> bool:
    """Whether the server's text means the wanted statement; a text we cannot read is taken for different."""
    try:
        return means(wanted, _parsed(running_text))
    except KsqlError:
        return False


@lru_cache(maxsize=1_024)
def _parsed(text: str) -> Statement:
    """`streamguard status --watch` and the desk compare the same texts again and again."""
    return parse_statement(text)


def means(wanted: Statement, running: Statement) -> bool:
    """Whether two statements mean the same, as far as `wanted` says something."""
    if type(running) is not type(wanted):
        return False
    if isinstance(wanted, CreateSource):
        assert isinstance(running, CreateSource)
        parts_agree = (wanted.kind, wanted.name, wanted.columns) == (running.kind, running.name, running.columns)
    elif isinstance(wanted, CreateAsSelect):
        assert isinstance(running, CreateAsSelect)
        parts_agree = (wanted.kind, wanted.name) == (running.kind, running.name)
        parts_agree = parts_agree and normalised(wanted.query) == normalised(running.query)
    else:
        assert isinstance(wanted, InsertInto) and isinstance(running, InsertInto)
        parts_agree = wanted.target == running.target and normalised(wanted.query) == normalised(running.query)
    return parts_agree and _properties_agree(wanted.properties, running.properties)


def _properties_agree(wanted: dict[str, Any], running: dict[str, Any]) -> bool:
    """QUERY_ID names the query and is compared by whoever looked it up; formats and names know no case."""
    for name, value in wanted.items():
        # VALUE_FORMAT is short for both formats of a source without key; PARTITIONS are fixed once the topic is there.
        if name in ("QUERY_ID", "PARTITIONS", "REPLICAS"):
            continue
        if str(running.get(name, value)).upper() != str(value).upper():
            return False
    return True


def normalised(query: Query) -> Query:
    """The query normalised: without qualifiers of a sole source and aliases that repeat a name, with EMIT CHANGES."""
    sole = query.source.alias if isinstance(query.source, Source) else None
    stripped = _strip(query, sole)
    assert isinstance(stripped, Query)
    items = tuple(_plain_item(item) for item in stripped.select)
    source = stripped.source
    if isinstance(source, Source):
        source = Source(source.name, source.name)
    return dataclasses.replace(stripped, select=items, source=source, emit=stripped.emit or "CHANGES")


def _plain_item(item: Any) -> Any:
    if isinstance(item, SelectItem) and isinstance(item.expression, ColumnRef) and item.alias is None:
        return SelectItem(item.expression, item.expression.name)
    return item


def _strip(node: Any, sole: str | None) -> Any:
    """Rebuild a tree with `sole.column` as `column`; nodes are frozen dataclasses, tuples or leaves."""
    if isinstance(node, ColumnRef):
        return ColumnRef(node.name) if node.source == sole else ColumnRef(node.name, node.source)
    if isinstance(node, tuple):
        return tuple(_strip(part, sole) for part in node)
    if dataclasses.is_dataclass(node) and not isinstance(node, type):
        changed = {field.name: _strip(getattr(node, field.name), sole) for field in dataclasses.fields(node)}
        return dataclasses.replace(node, **changed)
    return node

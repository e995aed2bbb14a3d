"""DROP STREAM and DROP TABLE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from streamguard_ksql import ast
from streamguard_ksql.catalog import DataSource
from streamguard_ksql.engine import Engine, Outcome
from streamguard_ksql.errors import KsqlError
from streamguard_ksql.formatter import format_statement, quote, words_if
from streamguard_ksql.parsing.lexer import Token
from streamguard_ksql.server.execution import submit
from streamguard_ksql.statements.registry import applies, builds, command_ids, executes, prints

executes(ast.DropSource)(submit)


@builds("drop_source")
def _drop_source(kind: str, if_exists: bool, name: Token, delete_topic: bool) -> ast.DropSource:
    return ast.DropSource(kind, name.value, if_exists, delete_topic)


@prints(ast.DropSource)
def _(statement: ast.DropSource) -> str:
    guard, topic = words_if(statement.if_exists, "IF EXISTS "), words_if(statement.delete_topic, " DELETE TOPIC")
    return f"DROP {statement.kind} {guard}{quote(statement.name)}{topic}"


@command_ids(ast.DropSource)
def _command_id(statement: ast.DropSource, outcome: Outcome | None) -> str:
    return f"{statement.kind.lower()}/{statement.name}/drop"


@applies(ast.DropSource)
def _drop(engine: Engine, statement: ast.DropSource, config: Mapping[str, Any]) -> Outcome:
    word = statement.kind.capitalize()
    source = engine.catalog.find(statement.name)
    if source is None:
        if statement.if_exists:
            return Outcome(f"Source `{statement.name}` does not exist.", statement.text)
        raise KsqlError(f"{word} {statement.name} does not exist.{engine.catalog.hint(statement.name)}")
    if source.kind != statement.kind:
        raise KsqlError(f"Incompatible data source type is {source.kind}, but statement was DROP {statement.kind}")
    if source.read_only and statement.delete_topic:
        raise KsqlError(f"Cannot delete topic for read-only source: {source.name}")
    _refuse_in_use(engine, source)
    ended = [q for q in (source.query_id,) if q is not None and q in engine.queries]
    for query_id in ended:
        engine.forget(query_id)
    del engine.catalog.sources[source.name]
    if statement.delete_topic:
        engine.topics.delete(source.topic)
    sql = format_statement(replace(statement, delete_topic=False)) if statement.delete_topic else statement.text
    message = f"Source `{source.name}` (topic: {source.topic}) was dropped."
    return Outcome(message, sql, terminated=tuple(ended), source=source)


def _refuse_in_use(engine: Engine, source: DataSource) -> None:
    built = sorted(engine.catalog.built_on(source.name))
    if built:
        raise KsqlError(
            f"Cannot drop {source.name}.\nThe following streams and/or tables read from this source: "
            f"[{', '.join(built)}].\nYou need to drop them before dropping {source.name}."
        )
    readers = sorted(q for q in engine.catalog.readers(source.name) if q != source.query_id)
    writers = sorted(q for q in engine.catalog.writers(source.name) if q != source.query_id)
    if readers or writers:
        raise KsqlError(
            f"Cannot drop {source.name}.\nThe following queries read from this source: [{', '.join(readers)}].\n"
            f"The following queries write into this source: [{', '.join(writers)}].\n"
            f"You need to terminate them before dropping {source.name}."
        )

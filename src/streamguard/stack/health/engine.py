"""The SQL engine: whether it answers, its queries, and the rules that should be among them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from streamguard.config.resources import source_files
from streamguard.rules.catalogue import CORE, sql_files
from streamguard.rules.modes import modes_of
from streamguard.sinks.chosen import sql_of_all
from streamguard.sqldeploy import DeployError, off_queries
from streamguard.sqldeploy.modes import PAUSED, differing
from streamguard.sqldeploy.run import missing, missing_items, variables_of
from streamguard.sqldeploy.script import Item, read
from streamguard.stack.health.base import Context, Finding, check


@check("The SQL engine is unavailable")
def unavailable(context: Context) -> Iterator[Finding]:
    """The server does not answer, or says that it is not healthy."""
    if context.engine is None and not context.engine_terminated:
        yield Finding(
            f"the SQL engine is unavailable: {context.engine_error}; no SQL rule sees a transaction until it is back, then all"
            f" of them: {context.where_to_look('ksqldb')}"
        )


@check("The SQL engine was terminated")
def terminated(context: Context) -> Iterator[Finding]:
    """Somebody ended the whole server by its REST API (`/ksql/terminate`): it has no stream, table or query any more."""
    if context.engine_terminated:
        yield Finding(
            f"the SQL engine at {context.settings.ksqldb} was terminated (/ksql/terminate): no SQL rule sees a transaction;"
            " `streamguard up` starts it again with its rules, which read their topics from the beginning"
        )


@check("A query has failed")
def failed(context: Context) -> Iterator[Finding]:
    """A persistent query is in another state than RUNNING; what is paused by the mode of its rule is not meant."""
    modes = _modes(context)
    by_mode = off_queries(modes) | differing(modes, _states(context)).keys()
    for query in context.queries:
        name, state = query["id"], str(query["state"])
        if state == PAUSED and name.upper() in by_mode:
            continue
        if state == PAUSED:
            yield Finding(f"the query {name} is paused: its rule sees no transaction; `RESUME {name};` continues it")
        elif state != "RUNNING":
            reasons = ": ".join([state, *_reasons(context, name)[-1:]])
            yield Finding(
                f"the query {name} has failed ({reasons}): its rule sees no transaction; `streamguard logs ksqldb` says"
                " whether it starts again by itself, a restart of the server starts it in any case"
            )


@check("A query does not follow the mode of its rule")
def other_mode(context: Context) -> Iterator[Finding]:
    """A rule was switched off or on while the server did not answer, or what switched it was killed."""
    states = _states(context)
    for query_id, statement in differing(_modes(context), states).items():
        yield Finding(
            f"the query {query_id} is {states[query_id]}, the mode of its rule asks for `{statement}`: `streamguard deploy`"
            " or `streamguard up` sends that"
        )


@check("A query leaves records out")
def skipped(context: Context) -> Iterator[Finding]:
    """Records that no result has: too late for their window, without a key, unreadable, or lost in a corrupt batch."""
    for query in context.engine.figures() if context.engine is not None else ():
        counts = {reason: count for reason, count in query["skipped"].items() if count}
        if counts:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(counts.items()))
            yield Finding(
                f"the query {query['id']} has left out {sum(counts.values()):,} records since the server started"
                f" ({reasons}); the stream KSQL_PROCESSING_LOG has most of them",
                serious=False,
            )


@check("A rule is missing")
def rule_missing(context: Context) -> Iterator[Finding]:
    """A statement of a file of the catalogue, or of a sink, is not on the server: it was terminated or dropped, or never
    deployed.

    Files of which nothing is there are not meant, but for the core rules: `up --rules core` does not deploy them.
    """
    if context.engine is None:
        return
    off, given = off_queries(_modes(context)), variables_of(context.settings)
    core, there = sql_files(CORE), {*_states(context), *context.engine.topics()}
    of_sinks = sql_of_all()
    items = {file: statements(file, given) for file in [*sql_files(), *of_sinks]}
    shared = Counter(item.name for file in items.values() for item in file)
    for file in items:
        sends = f"`streamguard deploy {file.name}`" if file in of_sinks else "`streamguard deploy` or `streamguard up`"
        deployed = [item for item in items[file] if item.name in there and shared[item.name] == 1]
        gone = missing_items(context.engine, items[file]) if deployed or file in core else []
        names = [item.name for item in gone if item.kind != "query" or item.name not in off]
        if ended := [name for name in names if name in there]:
            yield Finding(
                f"the query that fills {', '.join(ended)} of {file.name} was terminated: {sends} starts it again, from the"
                " beginning of its topics"
            )
        if absent := [name for name in names if name not in there]:
            yield Finding(f"the server does not have {', '.join(absent)} of {file.name}: {sends} sends what is missing")


@check("A foreign topic is not connected")
def source_missing(context: Context) -> Iterator[Finding]:
    """A statement of ksqldb/sources is not on the server: its topic was not there at the start, or it was terminated."""
    if context.engine is None:
        return
    for file in source_files():
        try:
            names = [item.name for item in missing(context.engine, [file], variables_of(context.settings))]
        except DeployError as error:
            yield Finding(f"the payments of {file} are not read: {error}")
            continue
        if names:
            yield Finding(
                f"the server does not have {', '.join(names)}: `streamguard deploy {file}` connects the topic"
            )


def statements(file: Path, given: Mapping[str, str]) -> tuple[Item, ...]:
    """The statements of a SQL file. Raises DeployError."""
    return _statements(file, _changed_ns(file), tuple(given.items()))


def _changed_ns(file: Path) -> int:
    """0 for one that is not there, which reading it reports."""
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=256)
def _statements(file: Path, _changed_ns: int, given: tuple[tuple[str, str], ...]) -> tuple[Item, ...]:
    """A file that has not changed is parsed once: `status --watch` and the desk ask again and again."""
    return tuple(read(file, dict(given)))


def _states(context: Context) -> dict[str, str]:
    return {str(query["id"]).upper(): str(query["state"]) for query in context.queries}


def _modes(context: Context) -> dict[str, str]:
    """The modes of rules; none where the database does not answer or has no tables, which other checks say."""
    try:
        return {} if context.database is None else modes_of(context.database)
    except DBAPIError:
        return {}


def _reasons(context: Context, query_id: str) -> list[str]:
    """Why a query is not running, where the server says so: in its description, or in the warnings of SHOW QUERIES."""
    assert context.engine is not None
    [described] = context.engine.execute(f"EXPLAIN {query_id};")
    errors = [str(error["errorMessage"]) for error in described["queryDescription"].get("queryErrors") or ()]
    [shown] = context.engine.execute("SHOW QUERIES;")
    errors += [
        str(one["message"]) for one in shown.get("warnings") or () if f"Query {query_id} " in str(one["message"])
    ]
    return [error.splitlines()[0] for error in errors if error]

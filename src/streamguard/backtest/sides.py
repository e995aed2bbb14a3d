"""The two sides: A is what runs, B the change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from streamguard.backtest.errors import BacktestError
from streamguard.backtest.statements import Sql, Statements, by_key, key_of, sql_of
from streamguard.config.errors import SettingsError
from streamguard.rules import RuleLimits, catalogue
from streamguard.rules.catalogue import CATALOGUE_FILE, sql_files, sql_rules
from streamguard.rules.decide import ACTIVE, OFF, SHADOW
from streamguard.rules.listed import Lists
from streamguard.rules.modes import nearest
from streamguard.sqldeploy.script import DeployError, Item, read, variables_in
from streamguard.sqldeploy.state import Rejected, Server
from streamguard_ksql.errors import KsqlError

A, B = "a", "b"
"""The names of the sides: what runs, and the change."""
GAINED, LOST, CHANGED = "gained", "lost", "changed"
KINDS = (GAINED, LOST, CHANGED)
"""How an alert of one side may differ from the other's."""

MODES = (ACTIVE, SHADOW, OFF)


@dataclass(frozen=True)
class Side:
    """A rule set: SQL statements, limits of the Python rules, modes and lists."""

    statements: Statements
    limits: RuleLimits = field(default_factory=RuleLimits)
    modes: Mapping[str, str] = field(default_factory=dict)
    lists: Lists = field(default_factory=Lists)
    base: Mapping[str, int] = field(default_factory=dict)
    """The points that the alerts of a SQL rule begin with, by its name."""

    def rules(self) -> dict[str, str]:
        """The SQL rules that are not off: the name that their alerts carry, by the key of their query."""
        names = rule_names()
        found = {}
        for key, sql in self.statements.items():
            name = names.get(key) if sql.is_rule else None
            if name is not None and self.modes.get(name, ACTIVE) != OFF:
                found[key] = name
        return found


def rule_names() -> dict[str, str]:
    """The names of the SQL rules by the keys of their queries. Raises CatalogueError."""
    return {f"query {str(rule.query_id).upper()}": rule.name for rule in sql_rules()}


def catalogue_statements(given: Mapping[str, str]) -> dict[str, Sql]:
    """The statements of the files of the catalogue. Raises DeployError."""
    return by_key(sql_of(item) for file in sql_files() for item in read(file, given))


def running_statements(server: Server, wanted: Statements) -> dict[str, Sql]:
    """What a server runs under the keys of `wanted`. Raises DeployError."""
    found = {}
    try:
        queries = server.queries()
        for key in wanted:
            kind, name = key.split(" ", 1)
            text = queries.get(name) if kind == "query" else server.definition(name)
            if text is not None:
                found[key] = _readable(Sql(key, text, f"the server's {name}"))
    except Rejected as error:
        raise DeployError(f"the ksqlDB server does not say what it runs: {error}") from None
    return found


def _readable(sql: Sql) -> Sql:
    try:
        sql.statement  # noqa: B018 (parsed once, here, where its error has a place)
    except KsqlError as error:
        raise BacktestError(f"{sql.where} cannot be read, so it cannot be back-tested: {error.message}") from None
    return sql


def what_runs(given: Mapping[str, str], change: Statements, server: Server | None) -> dict[str, Sql]:
    """The statements of A: those that the server runs; sources that it does not have are those of the catalogue.

    Without a server the catalogue's files are taken for what runs. Raises DeployError.
    """
    files = catalogue_statements(given)
    if server is None:
        return files
    running = running_statements(server, {**files, **change})
    declared = {key: sql for key, sql in files.items() if not sql.is_query}
    return {**declared, **running}


def read_change(files: Sequence[Path], given: Mapping[str, str], defined: Mapping[str, str]) -> dict[str, Sql]:
    """The statements of B's files. Raises DeployError, BacktestError.

    `defined` has the values of variables that a person gave: each has to be one of a file. Without files the change is
    the statements of the catalogue's files that use one of them.
    """
    items = [item for file in files or sql_files() for item in read(file, {**given, **defined})]
    for name in defined:
        _check_defined(name, items)
    if not files:
        items = [item for item in items if any(name in variables_in(item.text) for name in defined)]
    names = rule_names()
    for item in items:
        sql = sql_of(item)
        if sql.is_rule and sql.key not in names:
            near = nearest(item.name.lower(), [key.split(" ", 1)[1].lower() for key in names])
            raise BacktestError(
                f"{item.file}:{item.line}: the query {item.name.lower()} raises alerts and has no line in"
                f" ksqldb/{CATALOGUE_FILE}{near}: add one, or correct the QUERY_ID"
            )
    return {key_of(item): sql_of(item) for item in items}


def _check_defined(name: str, items: Sequence[Item]) -> None:
    known = {variable for item in items for variable in item.variables}
    if name not in known:
        raise BacktestError(f"--define {name}: no file DEFINEs it{nearest(name, sorted(known))}")


def changed(side: Side, statements: Statements, limits: Sequence[str], modes: Sequence[str]) -> Side:
    """B: A with other statements, and with limits and modes as options name them. Raises BacktestError."""
    return replace(
        side,
        statements={**side.statements, **statements},
        limits=_limits(side.limits, limits),
        modes={**side.modes, **_modes(modes)},
    )


def _limits(limits: RuleLimits, options: Sequence[str]) -> RuleLimits:
    values: dict[str, Any] = {}
    for option in options:
        name, value = _pair("--limit", option)
        if name not in RuleLimits.model_fields:
            near = nearest(name, list(RuleLimits.model_fields))
            raise BacktestError(f"--limit {option}: there is no limit {name}{near}")
        given: dict[str, Any] = {name: value}
        values |= given
        try:
            RuleLimits(**given)
        except SettingsError as error:
            raise BacktestError(f"--limit {option}: {str(error).partition(': ')[2]}") from None
    return RuleLimits(**{**limits.model_dump(), **values}) if values else limits


def _modes(options: Sequence[str]) -> dict[str, str]:
    names = [rule.name for rule in catalogue()]
    found = {}
    for option in options:
        name, mode = _pair("--mode", option)
        if name not in names:
            raise BacktestError(f"--mode {option}: there is no rule {name}{nearest(name, names)}")
        if mode not in MODES:
            raise BacktestError(f"--mode {option}: a mode is {', '.join(MODES[:-1])} or {MODES[-1]}")
        found[name] = mode
    return found


def _pair(option: str, text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise BacktestError(f"{option} {text}: NAME=VALUE is expected")
    return name, value

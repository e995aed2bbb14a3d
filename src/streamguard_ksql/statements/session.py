"""SET, UNSET and SHOW PROPERTIES; DEFINE, UNDEFINE and SHOW VARIABLES."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from streamguard_ksql import ast, limits
from streamguard_ksql.errors import KsqlError, SqlSyntaxError
from streamguard_ksql.formatter import format_text
from streamguard_ksql.parsing.lexer import Token
from streamguard_ksql.server import entities
from streamguard_ksql.server.entities import Entity
from streamguard_ksql.server.execution import Context
from streamguard_ksql.server.properties import (
    STREAMS_PREFIX,
    Setting,
    check_name,
    check_value,
    is_known,
    overridden,
    settings,
)
from streamguard_ksql.server.session import Session
from streamguard_ksql.statements.registry import builds, changes_session, executes, prints

# --- properties -------------------------------------------------------------------------------------------------------


@builds("set_property")
def _set_property(name: Token, value: Token) -> ast.SetProperty:
    return ast.SetProperty(name.value, value.value)


@prints(ast.SetProperty)
def _(statement: ast.SetProperty) -> str:
    return f"SET {format_text(statement.name)}={format_text(statement.value)}"


def check_setting(name: str, value: Any) -> None:
    """Refuse a SET of a property that is unknown, not a session's to change, or cannot have that value."""
    if not is_known(name) and name not in limits.NAMES:
        raise KsqlError(f"Unknown property: {name}")
    check_name(name)
    check_value(name, value)


@changes_session(ast.SetProperty)
def _set(statement: ast.SetProperty, session: Session) -> None:
    check_setting(statement.name, statement.value)
    session.properties[statement.name] = statement.value


@builds("unset_property")
def _unset_property(name: Token) -> ast.UnsetProperty:
    return ast.UnsetProperty(name.value)


@prints(ast.UnsetProperty)
def _(statement: ast.UnsetProperty) -> str:
    return f"UNSET {format_text(statement.name)}"


@changes_session(ast.UnsetProperty)
def _unset(statement: ast.UnsetProperty, session: Session) -> None:
    check_name(statement.name)
    session.properties.pop(statement.name, None)


@builds("list_properties")
@dataclass(frozen=True)
class ListProperties(ast.Reading):
    """SHOW PROPERTIES."""


@prints(ListProperties)
def _(statement: ListProperties) -> str:
    return "LIST PROPERTIES"


@executes(ListProperties)
def _list_properties(statement: ListProperties, context: Context) -> list[Entity]:
    own = [Setting(name, None, editable=True, level="QUERY") for name in context.properties if name not in settings()]
    values: list[tuple[Setting, Any]] = []
    defaults = []
    for setting in (*settings().values(), *own):
        value: Any = overridden(setting.name, context.properties)
        if value is None:
            value = context.runtime.config_value(setting.name)
        if value is None:
            value = _own(setting.name, context)
        if value is None and not setting.name.startswith(STREAMS_PREFIX):
            defaults.append(setting.name)
        values.append((setting, setting.default if value is None else value))
    return [entities.property_list(statement.text, values, list(context.properties), defaults)]


def _own(name: str, context: Context) -> str | None:
    """The settings that have a default."""
    if name == "ksql.service.id":
        return context.runtime.service_id
    return f"http://{context.server.host}" if name == "ksql.streams.application.server" else None


# --- variables --------------------------------------------------------------------------------------------------------


@builds("define")
def _define(name: Token, value: Token) -> ast.Define:
    return ast.Define(_variable(name), value.value)


@builds("undefine")
def _undefine(name: Token) -> ast.Undefine:
    return ast.Undefine(_variable(name))


def _variable(name: Token) -> str:
    """A variable's name as it was typed; its letters' case means nothing (ksqldb-reference/define.md)."""
    if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name.text):
        at = name.location
        start = f"line {at.line}:{at.column}: Syntax Error\n"
        raise SqlSyntaxError(f"{start}Expecting a variable's name: letters, digits and underscores, no digit first")
    return name.text


@prints(ast.Define)
def _(statement: ast.Define) -> str:
    return f"DEFINE {statement.name}={format_text(statement.value)}"


@prints(ast.Undefine)
def _(statement: ast.Undefine) -> str:
    return f"UNDEFINE {statement.name}"


@changes_session(ast.Define)
def _set_variable(statement: ast.Define, session: Session) -> None:
    session.variables[statement.name.lower()] = statement.value


@changes_session(ast.Undefine)
def _forget_variable(statement: ast.Undefine, session: Session) -> None:
    for known in [v for v in session.variables if v.lower() == statement.name.lower()]:
        del session.variables[known]


@builds("list_variables")
@dataclass(frozen=True)
class ListVariables(ast.Reading):
    """SHOW VARIABLES."""


@prints(ListVariables)
def _(statement: ListVariables) -> str:
    return "LIST VARIABLES"


@executes(ListVariables)
def _list_variables(statement: ListVariables, context: Context) -> list[Entity]:
    return [entities.variable_list(statement.text, context.variables)]

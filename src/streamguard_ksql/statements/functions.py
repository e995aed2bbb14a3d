"""SHOW FUNCTIONS, DESCRIBE FUNCTION."""

from __future__ import annotations

from dataclasses import dataclass

from streamguard_ksql import ast
from streamguard_ksql.errors import BadRequest
from streamguard_ksql.formatter import quote
from streamguard_ksql.functions.registry import FUNCTIONS
from streamguard_ksql.parsing.lexer import Token
from streamguard_ksql.server import entities
from streamguard_ksql.server.entities import Entity
from streamguard_ksql.server.execution import Context
from streamguard_ksql.statements.registry import builds, executes, prints


@builds("list_functions")
@dataclass(frozen=True)
class ListFunctions(ast.Reading):
    """SHOW FUNCTIONS."""


@prints(ListFunctions)
def _(statement: ListFunctions) -> str:
    return "LIST FUNCTIONS"


@executes(ListFunctions)
def _list(statement: ListFunctions, context: Context) -> list[Entity]:
    return [entities.function_list(statement.text, [FUNCTIONS[name] for name in sorted(FUNCTIONS)])]


@dataclass(frozen=True)
class DescribeFunction(ast.Reading):
    """DESCRIBE FUNCTION name."""

    name: str


@builds("describe_function")
def _describe_function(name: Token) -> DescribeFunction:
    # As it was typed: a refusal shows it so.
    return DescribeFunction(name.text if name.text.upper() == name.value else name.value)


@prints(DescribeFunction)
def _(statement: DescribeFunction) -> str:
    return f"DESCRIBE FUNCTION {statement.name if statement.name.isidentifier() else quote(statement.name)}"


@executes(DescribeFunction)
def _describe(statement: DescribeFunction, context: Context) -> list[Entity]:
    function = FUNCTIONS.get(statement.name.upper())
    if function is None:
        raise BadRequest(f"Can't find any functions with the name '{statement.name}'")
    return [entities.function_description(statement.text, function)]

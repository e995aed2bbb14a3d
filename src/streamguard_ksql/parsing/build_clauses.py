"""Tree nodes of the clauses of statements; the method names are those of grammar.lark.

The statements themselves are built by the modules of `streamguard_ksql.statements`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from streamguard_ksql import ast, types
from streamguard_ksql.parsing.build_queries import QueryBuilder
from streamguard_ksql.parsing.lexer import TEXT, Token
from streamguard_ksql.statements.registry import builds


class ClauseBuilder(QueryBuilder):
    def one_statement(self, statement: ast.Statement) -> ast.Statement:
        return statement

    def one_expression(self, expression: ast.Expression) -> ast.Expression:
        return expression

    def one_type(self, sql_type: types.SqlType) -> types.SqlType:
        return sql_type

    def one_schema(self, *columns: ast.ColumnDef | None) -> tuple[ast.ColumnDef, ...]:
        return self.collect(*columns)

    def stream(self) -> str:
        return "STREAM"

    def table(self) -> str:
        return "TABLE"

    def column_definition(self, name: Token, column: types.SqlType, constraint: Any) -> ast.ColumnDef:
        kind, header = constraint if isinstance(constraint, tuple) else (constraint, None)
        return ast.ColumnDef(name.value, column, kind, header, location=name.location)

    def key(self) -> str:
        return "KEY"

    def primary_key(self) -> str:
        return "PRIMARY KEY"

    def headers(self) -> str:
        return "HEADERS"

    def header(self, key: Token) -> tuple[str, str]:
        return "HEADER", key.value

    def no_properties(self) -> ast.Properties:
        return {}

    def properties(self, *entries: tuple[str, Any] | None) -> ast.Properties:
        return dict(self.collect(*entries))

    def property(self, name: Token, value: ast.Literal) -> tuple[str, Any]:
        """Names are upper case; a quoted one (a connector's, a Kafka setting) keeps its case."""
        return name.value if name.type == TEXT else name.value.upper(), value.value

    def as_query(self, token: Token, query: ast.Query) -> tuple[Token, ast.Query]:
        return token, query

    def new_column(self, name: Token, column: types.SqlType) -> ast.ColumnDef:
        return ast.ColumnDef(name.value, column, location=name.location)

    def query_id(self, name: Token) -> str:
        return name.value


class TreeBuilder:
    """What lark calls for each rule it has recognised, with the rule's parts: a statement's builder, or a clause's."""

    def __init__(self) -> None:
        self._clauses = ClauseBuilder()

    def __getattr__(self, rule: str) -> Callable[[list[Any]], Any]:
        build = builds.find(rule) or getattr(self._clauses, rule)
        return lambda parts: build(*parts)


def with_text(statement: ast.Statement, text: str, location: ast.Location) -> ast.Statement:
    """The statement with its text and place."""
    return replace(statement, text=text, location=location)

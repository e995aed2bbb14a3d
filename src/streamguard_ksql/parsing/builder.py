"""Tree nodes of whole statements; the method names are those of grammar.lark."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from streamguard_ksql import ast, types
from streamguard_ksql.errors import SqlSyntaxError
from streamguard_ksql.parsing import checks
from streamguard_ksql.parsing.build_queries import QueryBuilder
from streamguard_ksql.parsing.lexer import TEXT, Token


class StatementBuilder(QueryBuilder):
    def one_statement(self, statement: ast.Statement) -> ast.Statement:
        return statement

    def one_expression(self, expression: ast.Expression) -> ast.Expression:
        return expression

    def one_type(self, sql_type: types.SqlType) -> types.SqlType:
        return sql_type

    def one_schema(self, *columns: ast.ColumnDef | None) -> tuple[ast.ColumnDef, ...]:
        return self.collect(*columns)

    def select_statement(self, query: ast.Query) -> ast.Statement:
        return ast.QueryStatement(query)

    # --- defining and dropping ---

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

    def create(
        self,
        or_replace: bool,
        is_source: bool,
        kind: str,
        if_not_exists: bool,
        name: Token,
        columns: tuple[ast.ColumnDef, ...],
        properties: ast.Properties,
        as_query: tuple[Token, ast.Query] | None,
    ) -> ast.Statement:
        if as_query is None:
            checks.check_source(kind, columns, properties)
            return ast.CreateSource(
                kind, name.value, columns, properties, or_replace, if_not_exists, is_source=is_source
            )
        if columns or is_source:
            token = as_query[0]
            raise SqlSyntaxError(f"line {token.location.line}:{token.location.column}: Syntax Error\nExpecting ';'")
        return ast.CreateAsSelect(kind, name.value, properties, as_query[1], or_replace, if_not_exists)

    def insert_select(self, target: Token, properties: ast.Properties, query: ast.Query) -> ast.Statement:
        return ast.InsertInto(target.value, properties, query)

    def insert_values(
        self, target: Token, columns: tuple[str, ...], values: tuple[ast.Expression, ...]
    ) -> ast.Statement:
        return ast.InsertValues(target.value, columns, values)

    def drop_source(self, kind: str, if_exists: bool, name: Token, delete_topic: bool) -> ast.Statement:
        return ast.DropSource(kind, name.value, if_exists, delete_topic)

    def create_type(
        self, or_replace: bool, is_source: bool, if_not_exists: bool, name: Token, target: types.SqlType
    ) -> ast.Statement:
        if or_replace or is_source:
            at = name.location
            raise SqlSyntaxError(f"line {at.line}:{at.column}: Syntax Error\nExpecting {{'STREAM', 'TABLE'}}")
        return ast.CreateType(name.value, target, if_not_exists)

    def drop_type(self, if_exists: bool, name: Token) -> ast.Statement:
        return ast.DropType(name.value, if_exists)

    def new_column(self, name: Token, column: types.SqlType) -> ast.ColumnDef:
        return ast.ColumnDef(name.value, column, location=name.location)

    def alter_source(self, kind: str, name: Token, *columns: ast.ColumnDef) -> ast.Statement:
        return ast.AlterSource(kind, name.value, columns)

    def alter_system(self, name: Token, value: Token) -> ast.Statement:
        return ast.AlterSystem(name.value, value.value)

    # --- queries and sessions ---

    def query_id(self, name: Token) -> str:
        return name.value

    def terminate(self, query_id: str | None) -> ast.Statement:
        return ast.Terminate(query_id)

    def pause(self, query_id: str | None) -> ast.Statement:
        return ast.Pause(query_id)

    def resume(self, query_id: str | None) -> ast.Statement:
        return ast.Resume(query_id)

    def set_property(self, name: Token, value: Token) -> ast.Statement:
        return ast.SetProperty(name.value, value.value)

    def unset_property(self, name: Token) -> ast.Statement:
        return ast.UnsetProperty(name.value)

    def define(self, name: Token, value: Token) -> ast.Statement:
        return ast.Define(_variable(name), value.value)

    def undefine(self, name: Token) -> ast.Statement:
        return ast.Undefine(_variable(name))

    def run_script(self, path: Token) -> ast.Statement:
        return ast.RunScript(path.value)

    def explain_query(self, query_id: Token) -> ast.Statement:
        return ast.Explain(query_id=query_id.value)

    def explain_statement(self, statement: ast.Statement) -> ast.Statement:
        return ast.Explain(statement=statement)

    def print_topic(self, topic: str, from_beginning: bool, interval: int | None, limit: int | None) -> ast.Statement:
        return ast.PrintTopic(topic, from_beginning, interval, limit)

    def connector_statement(self, *_: Any) -> ast.Statement:
        return ast.ConnectorStatement()

    # --- show and describe ---

    def list_streams(self, extended: bool) -> ast.Statement:
        return ast.ListStreams(extended)

    def list_tables(self, extended: bool) -> ast.Statement:
        return ast.ListTables(extended)

    def list_topics(self, everything: bool, extended: bool) -> ast.Statement:
        return ast.ListTopics(extended, everything)

    def list_queries(self, extended: bool) -> ast.Statement:
        return ast.ListQueries(extended)

    def list_functions(self) -> ast.Statement:
        return ast.ListFunctions()

    def list_properties(self) -> ast.Statement:
        return ast.ListProperties()

    def list_variables(self) -> ast.Statement:
        return ast.ListVariables()

    def list_types(self) -> ast.Statement:
        return ast.ListTypes()

    def list_connectors(self) -> ast.Statement:
        return ast.ListConnectors()

    def describe_source(self, name: Token, extended: bool) -> ast.Statement:
        return ast.DescribeSource(name.value, extended)

    def describe_extended(self, name: Token) -> ast.Statement:
        return ast.DescribeSource(name.value, True)

    def show_columns(self, name: Token, extended: bool) -> ast.Statement:
        return ast.DescribeSource(name.value, extended)

    def describe_streams(self, extended: bool) -> ast.Statement:
        return ast.DescribeSources("STREAM", extended)

    def describe_tables(self, extended: bool) -> ast.Statement:
        return ast.DescribeSources("TABLE", extended)

    def describe_function(self, name: Token) -> ast.Statement:
        return ast.DescribeFunction(name.value)

    # --- assertions ---

    def assert_topic(
        self, exists: bool, topic: str, properties: ast.Properties, timeout: ast.Duration | None
    ) -> ast.Statement:
        return ast.AssertTopic(topic, properties, timeout, exists)

    def assert_schema(
        self, exists: bool, subject: str | None, schema_id: int | None, timeout: ast.Duration | None
    ) -> ast.Statement:
        return ast.AssertSchema(subject, schema_id, timeout, exists)

    def assert_values(
        self, target: Token, columns: tuple[str, ...], values: tuple[ast.Expression, ...]
    ) -> ast.Statement:
        return ast.AssertValues(target.value, columns, values)

    def assert_tombstone(
        self, target: Token, columns: tuple[str, ...], values: tuple[ast.Expression, ...]
    ) -> ast.Statement:
        return ast.AssertValues(target.value, columns, values, tombstone=True)

    def assert_source(
        self, kind: str, name: Token, columns: tuple[ast.ColumnDef, ...], properties: ast.Properties
    ) -> ast.Statement:
        checks.check_source(kind, columns, properties)
        return ast.AssertSource(kind, name.value, columns, properties)


class TreeBuilder:
    """What lark calls for each rule it has recognised: the method of that name, the rule's parts as its arguments."""

    def __init__(self) -> None:
        self._builder = StatementBuilder()

    def __getattr__(self, rule: str) -> Callable[[list[Any]], Any]:
        method = getattr(self._builder, rule)
        return lambda parts: method(*parts)


def with_text(statement: ast.Statement, text: str, location: ast.Location) -> ast.Statement:
    """The statement with its text and place."""
    return replace(statement, text=text, location=location)


def _variable(name: Token) -> str:
    """A variable's name as it was typed; its letters' case means nothing (ksqldb-reference/define.md)."""
    if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name.text):
        at = name.location
        start = f"line {at.line}:{at.column}: Syntax Error\n"
        raise SqlSyntaxError(f"{start}Expecting a variable's name: letters, digits and underscores, no digit first")
    return name.text

"""Tree nodes of SELECT; the method names are those of grammar.lark."""

from __future__ import annotations

from typing import Any

from streamguard_ksql import ast
from streamguard_ksql.errors import KsqlError, SqlSyntaxError
from streamguard_ksql.parsing.build_expressions import ExpressionBuilder, plural
from streamguard_ksql.parsing.lexer import Token


class QueryBuilder(ExpressionBuilder):
    def query(self, token: Token, select: tuple[Any, ...], source: ast.Relation, *clauses: Any) -> ast.Query:
        window, where, group_by, partition_by, having, emit, limit = clauses
        return ast.Query(
            select, source, window, where, group_by, partition_by, having, emit, limit, location=token.location
        )

    def select_list(self, *items: Any) -> tuple[Any, ...]:
        return items

    def select_all(self, star: Token) -> ast.SelectAll:
        return ast.SelectAll(location=star.location)

    def select_source_all(self, source: Token) -> ast.SelectAll:
        return ast.SelectAll(source.value, location=source.location)

    def select_struct_all(self, base: ast.Expression) -> ast.SelectStructAll:
        return ast.SelectStructAll(base)

    def select_expression(self, expression: ast.Expression, alias: Token | None) -> ast.SelectItem:
        return ast.SelectItem(expression, alias.value if alias else None)

    def source(self, name: Token, alias: Token | None) -> ast.Source:
        return ast.Source(name.value, alias.value if alias else name.value, location=name.location)

    def join(
        self,
        left: ast.Relation,
        kind: str,
        right: ast.Relation,
        within: ast.Within | None,
        criteria: ast.Expression,
    ) -> ast.Join:
        return ast.Join(kind, left, right, criteria, within, location=left.location)

    def inner(self) -> str:
        return "INNER"

    def left(self) -> str:
        return "LEFT"

    def right(self) -> str:
        return "RIGHT"

    def outer(self) -> str:
        return "OUTER"

    def within_same(self, both: ast.Duration, grace: ast.Duration | None) -> ast.Within:
        return ast.Within(both, both, grace)

    def within_both(self, before: ast.Duration, after: ast.Duration, grace: ast.Duration | None) -> ast.Within:
        return ast.Within(before, after, grace)

    def retention(self, duration: ast.Duration) -> tuple[str, ast.Duration]:
        return "retention", duration

    def grace(self, duration: ast.Duration) -> tuple[str, ast.Duration]:
        return "grace", duration

    def window_limits(self, *limits: tuple[str, ast.Duration]) -> dict[str, ast.Duration]:
        return dict(limits)

    def tumbling(self, kind: Token, size: ast.Duration, limits: dict[str, ast.Duration]) -> ast.Window:
        return ast.Window("TUMBLING", size, **limits, location=kind.location)

    def hopping(
        self, kind: Token, size: ast.Duration, advance: ast.Duration, limits: dict[str, ast.Duration]
    ) -> ast.Window:
        return ast.Window("HOPPING", size, advance, **limits, location=kind.location)

    def session(self, kind: Token, gap: ast.Duration, limits: dict[str, ast.Duration]) -> ast.Window:
        return ast.Window("SESSION", gap, **limits, location=kind.location)

    def duration(self, value: Token, unit: Token) -> ast.Duration:
        units = plural(unit.value)
        if units not in ast.UNIT_MS:
            at = unit.location
            known = ", ".join(f"'{name}'" for name in ast.UNIT_MS)
            raise SqlSyntaxError(f"line {at.line}:{at.column}: Syntax Error\nExpecting {{{known}}}")
        return ast.Duration(int(value.value), units)

    def group_by(self, expressions: tuple[ast.Expression, ...]) -> tuple[ast.Expression, ...]:
        return _some("GROUP BY", expressions)

    def partition_by(self, expressions: tuple[ast.Expression, ...]) -> tuple[ast.Expression, ...]:
        return _some("PARTITION BY", expressions)

    def emit_changes(self) -> str:
        return "CHANGES"

    def emit_final(self) -> str:
        return "FINAL"


def _some(clause: str, expressions: tuple[ast.Expression, ...]) -> tuple[ast.Expression, ...]:
    if not expressions:
        raise KsqlError(f"{clause} requires at least one expression")
    return expressions

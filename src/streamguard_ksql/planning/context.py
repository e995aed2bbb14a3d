"""What the stages of planning share: the query and its surroundings, and the checks that more than one of them makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from streamguard_ksql import ast, refusals
from streamguard_ksql.catalog import Catalog
from streamguard_ksql.errors import KsqlError
from streamguard_ksql.expressions.compiler import Compiler
from streamguard_ksql.expressions.scope import Scope
from streamguard_ksql.formatter import format_expression
from streamguard_ksql.plan import Node
from streamguard_ksql.planning.names import WINDOW_BOUNDS, Names
from streamguard_ksql.schema import SYSTEM_COLUMNS, Column, quoted_type
from streamguard_ksql.transform import column_refs
from streamguard_ksql.types import BOOLEAN


@dataclass
class Context:
    """What the stages of planning share."""

    query: ast.Query
    catalog: Catalog
    config: Mapping[str, Any]
    names: Names
    persistent: bool
    sink: str
    needed: frozenset[str]
    stars: frozenset[str | None]
    replaying: bool = False
    """Whether the statement was accepted long ago: topics may have changed since."""

    def compiler(self, node: Node) -> Compiler:
        return Compiler(Scope(node.schema.value, self.config))

    def wants(self, alias: str, column: Column) -> bool:
        """Whether the query may use this column of this source."""
        starred = None in self.stars or alias in self.stars
        if column.name in WINDOW_BOUNDS:
            # A star shows the bounds in a join, and in queries of a client.
            starred = starred and (self.names.is_join or not self.persistent)
        elif column.name in SYSTEM_COLUMNS:
            starred = False
        return starred or self.names.internal(alias, column.name) in self.needed


def check_predicate(context: Context, node: Node, predicate: ast.Expression, clause: str) -> None:
    """Refuse a predicate that is not a BOOLEAN, or has no type at all, with the clause in the message."""
    shown = format_expression(predicate)
    try:
        found = context.compiler(node).type_of(predicate)
    except refusals.CodeError as error:
        raise refusals.predicate(error, shown, schema_text(context, node)) from None
    except KsqlError as error:
        raise KsqlError(
            f"Error in {clause} expression: {error.message}\nStatement: {shown}\nStatement: {shown}"
        ) from None
    if found != BOOLEAN:
        raise KsqlError(
            f"Type error in {clause} expression: Should evaluate to boolean but is {shown} ({found}) instead."
            f"\nStatement: {shown}"
        )


def schema_text(context: Context, node: Node) -> str:
    """The schema of the rows of a source as refusals of code show it: its columns, the system's, the key once more."""
    if context.names.is_join:
        return str(node.schema)
    binding = context.names.bindings[0]
    schema = binding.source.schema
    bounds = [c for c in binding.system_columns() if c.name in WINDOW_BOUNDS]
    others = [c for c in binding.system_columns() if c.name not in WINDOW_BOUNDS]
    columns = [f"`{c.name}` {quoted_type(c.type)} KEY" for c in schema.key]
    columns += [f"`{c.name}` {quoted_type(c.type)}" for c in (*schema.value, *others, *schema.key, *bounds)]
    return ", ".join(columns)


def refuse_window_bounds(expressions: tuple[ast.Expression, ...]) -> None:
    """In windowed aggregations the bounds exist only in the SELECT clause."""
    for ref in column_refs(expressions):
        if ref.name in WINDOW_BOUNDS:
            raise KsqlError(
                f"Window bounds column {ref.name} can only be used in the SELECT clause of windowed aggregations "
                "and can not be passed to aggregate functions."
            )


def name_of(expression: ast.Expression) -> str | None:
    """The name that a key column takes over from its expression: a column's, or a field's."""
    if isinstance(expression, ast.ColumnRef):
        return expression.name
    return expression.field if isinstance(expression, ast.Dereference) else None

"""The sources in a FROM clause, and what a column's name means among them.

Over one source a column keeps its name; in a join the internal name of column C of source A is `A_C`, as in ksqlDB.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from streamguard_ksql import ast
from streamguard_ksql.catalog import Catalog, DataSource
from streamguard_ksql.errors import KsqlError
from streamguard_ksql.refusals import looking_up
from streamguard_ksql.schema import ROWOFFSET, ROWPARTITION, ROWTIME, WINDOWEND, WINDOWSTART, Column
from streamguard_ksql.transform import rewrite
from streamguard_ksql.types import BIGINT, INTEGER

SYSTEM_TYPES = {ROWTIME: BIGINT, ROWPARTITION: INTEGER, ROWOFFSET: BIGINT, WINDOWSTART: BIGINT, WINDOWEND: BIGINT}
WINDOW_BOUNDS = (WINDOWSTART, WINDOWEND)


@dataclass(frozen=True)
class Binding:
    """A source under its alias."""

    alias: str
    source: DataSource

    def has(self, column: str) -> bool:
        if column in WINDOW_BOUNDS:
            return self.source.window is not None or self.source.schema.find(column) is not None
        return column in SYSTEM_TYPES or self.source.schema.find(column) is not None

    def system_columns(self) -> list[Column]:
        """The system columns that rows of this source have."""
        return [Column(n, t) for n, t in SYSTEM_TYPES.items() if n not in WINDOW_BOUNDS or self.source.window]


class Names:
    """The bindings of a query and the resolution of column references against them."""

    def __init__(self, bindings: Sequence[Binding]) -> None:
        self.bindings = tuple(bindings)
        self.is_join = len(bindings) > 1
        self.synthetic_keys: set[str] = set()

    def internal(self, alias: str, column: str) -> str:
        """The name of a source's column in the rows of this query."""
        return f"{alias}_{column}" if self.is_join else column

    def binding(self, alias: str) -> Binding:
        for binding in self.bindings:
            if binding.alias == alias:
                return binding
        raise KsqlError(f"'{alias}' is not a valid stream/table name or alias.")

    def locate(self, ref: ast.ColumnRef, clause: str) -> Binding | None:
        """The binding whose column a reference means, None for a synthetic key; KsqlError for none or several."""
        if ref.source is not None:
            for binding in self.bindings:
                if binding.alias == ref.source and binding.has(ref.name):
                    return binding
            raise KsqlError(f"{_where(ref)}{clause} column '{ref.source}.{ref.name}' cannot be resolved.")
        found = [b for b in self.bindings if b.has(ref.name)]
        if len(found) > 1:
            choices = " or ".join(f"{b.alias}.{ref.name}" for b in found)
            raise looking_up(f"{_where(ref)}Column '{ref.name}' is ambiguous. Could be {choices}.")
        if found:
            return found[0]
        if ref.name in self.synthetic_keys:
            return None
        raise KsqlError(f"{_where(ref)}{clause} column '{ref.name}' cannot be resolved.")

    def resolve(self, expression: ast.Expression, clause: str, extra: frozenset[str] = frozenset()) -> ast.Expression:
        """The expression with every column under its internal name; names in `extra` are left as they are."""

        def change(node: ast.Expression, bound: frozenset[str]) -> ast.Expression | None:
            if not isinstance(node, ast.ColumnRef):
                return None
            if node.source is None and (node.name in bound or node.name in extra):
                return node
            binding = self.locate(node, clause)
            name = node.name if binding is None else self.internal(binding.alias, node.name)
            return ast.ColumnRef(name, location=node.location)

        return rewrite(expression, change)

    def qualify(self, expression: ast.Expression, clause: str = "SELECT") -> ast.Expression:
        """The expression with every column as `ALIAS.COLUMN`: the form of messages and of normalised statements."""

        def change(node: ast.Expression, bound: frozenset[str]) -> ast.Expression | None:
            if not isinstance(node, ast.ColumnRef) or (node.source is None and node.name in bound):
                return None
            binding = self.locate(node, clause)
            return node if binding is None else ast.ColumnRef(node.name, binding.alias, location=node.location)

        return rewrite(expression, change)

    def is_ambiguous(self, column: str) -> bool:
        """Whether more than one source has a column of this name: a selection of it is then named `ALIAS_COLUMN`."""
        return sum(b.has(column) for b in self.bindings) > 1


def _where(ref: ast.ColumnRef) -> str:
    return f"Line: {ref.location.line}, Col: {ref.location.column}: " if ref.location else ""


def bind(relation: ast.Relation, catalog: Catalog) -> list[Binding]:
    """The bindings of a FROM clause, from left to right; KsqlError for an unknown source."""
    if isinstance(relation, ast.Source):
        source = catalog.find(relation.name)
        if source is None:
            raise looking_up(f"{relation.name} does not exist.{catalog.hint(relation.name)}")
        return [Binding(relation.alias, source)]
    assert isinstance(relation, ast.Join)
    left, right = bind(relation.left, catalog), bind(relation.right, catalog)
    for binding in right:
        if any(b.source.name == binding.source.name for b in left):
            if len(left) == 1:
                raise KsqlError(
                    f"Can not join '{binding.source.name}' to '{binding.source.name}': self joins are not yet supported."
                )
            raise KsqlError(
                f"N-way joins do not support multiple occurrences of the same source. Source: '{binding.source.name}'"
            )
    return left + right

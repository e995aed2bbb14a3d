"""The normal form of a query: columns qualified, items named, EMIT said; as ksqlDB keeps and shows statements."""

from __future__ import annotations

from dataclasses import replace

from streamguard_ksql import ast
from streamguard_ksql.errors import KsqlError
from streamguard_ksql.planning.names import Names
from streamguard_ksql.planning.projection import ItemNames


def normal_query(query: ast.Query, names: Names) -> ast.Query:
    """The query with every column as `SOURCE.COLUMN` and an alias on every item of the SELECT list."""
    aliases = ItemNames(query, names)

    def qualify(expression: ast.Expression) -> ast.Expression:
        try:
            return names.qualify(expression)
        except KsqlError:
            return expression

    select: list[ast.SelectItem | ast.SelectAll | ast.SelectStructAll] = []
    for item in query.select:
        if isinstance(item, ast.SelectItem):
            select.append(ast.SelectItem(qualify(item.expression), item.alias or aliases.alias(item.expression)))
        else:
            select.append(item)
    return replace(
        query,
        select=tuple(select),
        where=None if query.where is None else qualify(query.where),
        group_by=tuple(qualify(e) for e in query.group_by),
        partition_by=tuple(qualify(e) for e in query.partition_by),
        having=None if query.having is None else qualify(query.having),
        source=_qualified_joins(query.source, names),
        emit=query.emit or "CHANGES",
    )


def _qualified_joins(relation: ast.Relation, names: Names) -> ast.Relation:
    if not isinstance(relation, ast.Join):
        return relation
    return replace(
        relation,
        left=_qualified_joins(relation.left, names),
        right=_qualified_joins(relation.right, names),
        criteria=names.qualify(relation.criteria),
    )

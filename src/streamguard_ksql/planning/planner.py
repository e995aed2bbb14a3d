"""From a query to its plan, clause by clause in the order in which they act:

1. `names.bind`: FROM names the sources; `joins` builds their nodes and the joins between them.
2. WHERE filters (`_where`).
3. Table functions in the SELECT spread rows (`_table_functions`).
4. PARTITION BY rekeys (`_partition_by`), or
5. GROUP BY with aggregate functions aggregates, and HAVING filters the groups (`aggregation`).
6. The SELECT list names and computes the result (`projection`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from streamguard_ksql import ast, refusals
from streamguard_ksql.catalog import Catalog, WindowInfo
from streamguard_ksql.datetimes import parse_timestamp
from streamguard_ksql.errors import EvaluationError, KsqlError
from streamguard_ksql.expressions.compiler import Compiler
from streamguard_ksql.formatter import format_expression
from streamguard_ksql.functions.registry import FUNCTIONS, Resolved
from streamguard_ksql.plan import FilterNode, FlatMapNode, Node, ProjectNode, SelectKeyNode
from streamguard_ksql.planning import aggregation, joins, projection
from streamguard_ksql.planning.context import Context, check_predicate, name_of, schema_text
from streamguard_ksql.planning.names import WINDOW_BOUNDS, Names, bind
from streamguard_ksql.planning.projection import Item, KeyInfo, Projection
from streamguard_ksql.refusals import PlainError
from streamguard_ksql.schema import ROWOFFSET, ROWPARTITION, ROWTIME, Column, Schema
from streamguard_ksql.transform import calls, column_refs, rewrite
from streamguard_ksql.types import BIGINT, SqlType


@dataclass(frozen=True)
class PlannedQuery:
    """A plan without its sink. `columns` is the result in the order of the SELECT list (a persistent query's sink
    has the key columns of `node.schema` first)."""

    node: Node
    columns: tuple[Column, ...]
    source_names: tuple[str, ...]
    window: WindowInfo | None
    key_changed: bool
    names: Names = field(compare=False)

    @property
    def is_table(self) -> bool:
        return self.node.is_table


def plan_query(
    query: ast.Query,
    catalog: Catalog,
    config: Mapping[str, Any],
    *,
    persistent: bool = True,
    sink: str = "",
    replaying: bool = False,
) -> PlannedQuery:
    """The plan of a SELECT. `persistent` queries must keep their key in the projection; `sink` is named in refusals.
    With `replaying` the partitions of joined topics are not compared.

    Raises KsqlError, worded as in ksqlDB, for what it refuses.
    """
    if not persistent and query.emit is None:
        _refuse_places(query)
    query = _with_types(query, catalog)
    stars = frozenset(item.source for item in query.select if isinstance(item, ast.SelectAll))
    try:
        names = Names(bind(query.source, catalog))
        context = Context(query, catalog, config, names, persistent, sink, _needed(query, names), stars, replaying)
        return _plan(context)
    except KsqlError as error:
        if persistent:
            refusals.planning(error)
        raise


def _refuse_places(query: ast.Query) -> None:
    """A pull query has no partition and offset of a row: a table's state does not keep them."""
    for clause, part in (("WHERE", query.where), ("SELECT", query.select)):
        found = sorted({ref.name for ref in column_refs(part)} & {ROWPARTITION, ROWOFFSET})
        if found:
            listed = " and ".join(f"`{name}`" for name in found)
            raise KsqlError(f"Pull queries don't support the following columns in {clause} clauses: {listed}")


def _with_types(query: ast.Query, catalog: Catalog) -> ast.Query:
    """The query with the custom types in its casts resolved."""

    def change(node: ast.Expression, bound: frozenset[str]) -> ast.Expression | None:
        if not isinstance(node, ast.Cast):
            return None
        return replace(node, operand=rewrite(node.operand, change, bound), type=catalog.resolve(node.type))

    return rewrite(query, change)


def _needed(query: ast.Query, names: Names) -> frozenset[str]:
    """The internal names of every column that the query uses, wherever."""
    found = set()
    for ref in column_refs(query):
        for binding in names.bindings:
            if ref.source in (None, binding.alias):
                found.add(names.internal(binding.alias, ref.name))
    return frozenset(found)


def _plan(context: Context) -> PlannedQuery:
    query = context.query
    _check_clauses(query)
    if not refusals.accepted_before.get():
        _refuse_what_is_not_there(context)
    node, key = joins.build(context)
    if query.window and not query.group_by:
        at = query.window.location
        where = f"Line: {at.line}, Col: {at.column}: " if at else ""
        raise KsqlError(f"{where}WINDOW clause requires a GROUP BY clause.")
    _refuse_windowed_tables(context, node)
    _refuse_tables_sharing_a_topic(context)
    node = _where(context, node)
    items = projection.initial_items(context)
    node, items = _table_functions(context, node, items)
    if query.group_by or aggregation.uses_aggregates(query):
        node, key, items = aggregation.build(context, node, items)
    elif query.emit == "FINAL" and context.persistent:
        raise KsqlError("EMIT FINAL is only supported for windowed aggregations.")
    else:
        node, key, items = _partition_by(context, node, key, items)
    result = projection.build(context, node, key, items)
    return _planned(context, result, key)


def _planned(context: Context, result: Projection, key: KeyInfo) -> PlannedQuery:
    node: Node = ProjectNode(result.schema, result.source, result.expressions)
    return PlannedQuery(
        node,
        result.columns,
        tuple(b.source.name for b in context.names.bindings),
        node.window,
        key.changed,
        context.names,
    )


def _check_clauses(query: ast.Query) -> None:
    if query.group_by and query.partition_by:
        raise KsqlError("PARTITION BY cannot be used together with GROUP BY.")


def _refuse_what_is_not_there(context: Context) -> None:
    """What ksqlDB reads but does not carry out."""
    if context.persistent and context.query.limit is not None:
        raise KsqlError("LIMIT is not supported in persistent queries.")

    def look(node: ast.Expression, bound: frozenset[str]) -> ast.Expression | None:
        if isinstance(node, ast.Case) and node.operand is not None:
            raise KsqlError("not yet implemented")
        return None

    rewrite(context.query, look)


def _refuse_windowed_tables(context: Context, node: Node) -> None:
    if not context.persistent:
        return
    for binding in context.names.bindings:
        if binding.source.is_table and binding.source.window is not None:
            raise PlainError("KSQL does not support persistent queries on windowed tables.")


def _refuse_tables_sharing_a_topic(context: Context) -> None:
    """A query reads a table's topic as that table alone: a table begins at the beginning, a stream where the query does."""
    sources = [binding.source for binding in context.names.bindings]
    for source in sources:
        if source.is_table and sum(other.topic == source.topic for other in sources) > 1:
            raise PlainError(f"Invalid topology: Topic {source.topic} has already been registered by another source.")


def _where(context: Context, node: Node) -> Node:
    condition = context.query.where
    if condition is None:
        return node
    predicate = with_times(context.names.resolve(condition, "WHERE"))
    for call in calls(predicate):
        function = FUNCTIONS.get(call.name)
        if function is not None and function.kind != "SCALAR":
            error = refusals.CodeError(f"Can't find any functions with the name '{call.name}'")
            raise refusals.predicate(error, format_expression(predicate), schema_text(context, node))
    check_predicate(context, node, predicate, "WHERE")
    return FilterNode(node.schema, node, predicate)


def with_times(condition: ast.Expression) -> ast.Expression:
    """String literals that ROWTIME and the window bounds are compared with, as points in time (BIGINT)."""

    def is_time(expression: ast.Expression) -> bool:
        return isinstance(expression, ast.ColumnRef) and expression.name.endswith((ROWTIME, *WINDOW_BOUNDS))

    def time(expression: ast.Expression) -> ast.Expression:
        if not isinstance(expression, ast.Literal) or not isinstance(expression.value, str):
            return expression
        try:
            return ast.Literal(parse_timestamp(expression.value), BIGINT, location=expression.location)
        except EvaluationError as error:
            raise KsqlError(str(error)) from None

    def change(node: ast.Expression, bound: frozenset[str]) -> ast.Expression | None:
        match node:
            case ast.Comparison(op=op, left=left, right=right) if is_time(left) or is_time(right):
                return ast.Comparison(op, time(left), time(right), location=node.location)
            case ast.Between(operand=operand, low=low, high=high) if is_time(operand):
                return ast.Between(operand, time(low), time(high), location=node.location)
        return None

    return rewrite(condition, change)


def _table_functions(context: Context, node: Node, items: list[Item]) -> tuple[Node, list[Item]]:
    found: list[ast.FunctionCall] = []
    for item in items:
        for call in calls(item.expression) if item.expression is not None else ():
            function = FUNCTIONS.get(call.name)
            if function is not None and function.kind == "TABLE" and call not in found:
                found.append(call)
    if not found:
        return node, items
    for item in items:
        _refuse_in_case(context, item.expression)
    if node.is_table:
        raise KsqlError("Table source is not supported with table functions")
    if aggregation.uses_aggregates(context.query) or context.query.group_by:
        raise KsqlError("Table functions cannot be used with aggregations.")
    columns, resolved = [], []
    for i, call in enumerate(found):
        _refuse_nested(call)
        inner = context.names.resolve(call, "SELECT")
        assert isinstance(inner, ast.FunctionCall)
        _, variant = context.compiler(node).resolve_call(inner)
        columns.append(Column(f"KSQL_SYNTH_{i}", result_type_of(call, variant)))
        resolved.append(inner)
    schema = Schema(node.schema.key, node.schema.value + tuple(columns))
    replaced = {call: ast.ColumnRef(column.name) for call, column in zip(found, columns, strict=True)}

    def change(expression: ast.Expression, bound: frozenset[str]) -> ast.Expression | None:
        return replaced.get(expression) if isinstance(expression, ast.FunctionCall) else None

    context.names.synthetic_keys.update(c.name for c in columns)
    new_items = [i if i.expression is None else i.with_expression(rewrite(i.expression, change)) for i in items]
    return FlatMapNode(schema, node, tuple(resolved)), new_items


def result_type_of(call: ast.FunctionCall, variant: Resolved) -> SqlType:
    """The type a call returns; KsqlError where it is NULL's, which has none."""
    if variant.returns is None:
        raise KsqlError(f"Can't infer the type of {format_expression(call)}. Please cast its arguments to a type.")
    return variant.returns


def _refuse_in_case(context: Context, expression: ast.Expression | None) -> None:
    """A table function spreads its row whether its branch is taken or not: in a CASE it is refused."""

    def look(node: ast.Expression, bound: frozenset[str]) -> ast.Expression | None:
        if isinstance(node, ast.Case) and any(
            FUNCTIONS[call.name].kind == "TABLE" for call in calls(node) if call.name in FUNCTIONS
        ):
            shown = format_expression(context.names.qualify(node))
            raise KsqlError(f"Table functions cannot be used in CASE: {shown}")
        return None

    if expression is not None:
        rewrite(expression, look)


def _refuse_nested(call: ast.FunctionCall) -> None:
    for inner in calls(call.args):
        function = FUNCTIONS.get(inner.name)
        if function is not None and function.kind == "TABLE":
            raise KsqlError(f"Table functions cannot be nested: `{call.name}`(`{inner.name}`())")


def _partition_by(context: Context, node: Node, key: KeyInfo, items: list[Item]) -> tuple[Node, KeyInfo, list[Item]]:
    expressions = context.query.partition_by
    if not expressions:
        return node, key, items
    if node.is_table:
        raise _no_repartition(node, expressions)
    if node.window is not None:
        raise KsqlError(
            "PARTITION BY on windowed sources is not supported. See https://github.com/confluentinc/ksql/issues/4385."
        )
    aggregation.refuse_unless_scalar(expressions, "PARTITION BY")
    if len(expressions) == 1 and isinstance(expressions[0], ast.Literal) and expressions[0].value is None:
        schema = Schema((), node.schema.value)
        return SelectKeyNode(schema, node, ()), KeyInfo((), "partitioning", changed=True), items
    try:
        resolved = tuple(context.names.resolve(e, "PARTITION BY") for e in expressions)
    except KsqlError as error:
        raise _explain_partition_by(error, expressions) from None
    if [name_of(e) for e in resolved] == [c.name for c in node.schema.key]:
        return node, KeyInfo(key.columns, "partitioning", _qualified(context, expressions), changed=False), items
    compiler = context.compiler(node)
    used = {c.name for c in node.schema.value}
    columns = tuple(_key_column(compiler, e, used) for e in resolved)
    value = projection.value_without_keys(node.schema.value, columns, resolved)
    rekeyed = SelectKeyNode(Schema(columns, node.schema.value), node, resolved)
    info = KeyInfo(columns, "partitioning", _qualified(context, expressions), resolved, changed=True, star=value)
    return rekeyed, info, items


def _no_repartition(node: Node, expressions: tuple[ast.Expression, ...]) -> KsqlError:
    message = "Cannot repartition a TABLE source. If this is a join, "
    if len(node.schema.key) > 1:
        return KsqlError(f"{message}joins on tables with multiple columns is not yet supported.")
    wanted = "[" + ", ".join(map(format_expression, expressions)) + "]"
    key = node.schema.key[0].name
    return KsqlError(f"{message}make sure that the criteria uses the TABLE's key column {key} instead of {wanted}")


def _key_column(compiler: Compiler, expression: ast.Expression, used: set[str]) -> Column:
    """The column that an expression of PARTITION BY makes; the name of one without a name is added to `used`."""
    name = name_of(expression)
    if name is None:
        name = projection.unused_name(used)
        used.add(name)
    return Column(name, projection.type_or_refuse(compiler, expression))


def _explain_partition_by(error: KsqlError, expressions: tuple[ast.Expression, ...]) -> KsqlError:
    if "cannot be resolved" not in error.message:
        return error
    name = next(iter(column_refs(expressions))).name
    return KsqlError(
        f"{error.message} '{name}' must be a column in the source schema since PARTITION BY is applied on the input."
    )


def _qualified(context: Context, expressions: tuple[ast.Expression, ...]) -> tuple[str, ...]:
    return tuple(format_expression(context.names.qualify(e)) for e in expressions)

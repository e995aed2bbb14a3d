"""GROUP BY, aggregate functions, WINDOW and HAVING."""

from __future__ import annotations

from collections.abc import Sequence

from streamguard_ksql import ast
from streamguard_ksql.codegen import Code
from streamguard_ksql.errors import KsqlError
from streamguard_ksql.formatter import format_expression
from streamguard_ksql.functions.registry import FUNCTIONS, Resolved
from streamguard_ksql.functions.resolve import find
from streamguard_ksql.plan import AggregateCall, AggregateNode, FilterNode, Node, grace_ms
from streamguard_ksql.planning import projection
from streamguard_ksql.planning.context import Context, check_predicate, name_of, refuse_window_bounds
from streamguard_ksql.planning.names import WINDOW_BOUNDS
from streamguard_ksql.planning.projection import Item, KeyInfo
from streamguard_ksql.refusals import PlainError, accepted_before
from streamguard_ksql.schema import Column, Schema
from streamguard_ksql.transform import calls, column_refs, rewrite
from streamguard_ksql.types import BIGINT

PLAIN_STATE = frozenset({"COUNT", "MAX", "MIN", "SUM", "SUM_LIST"})
"""Aggregates whose state is one plain value. That of the others is an array, a map or a struct, which the internal topics
of a query over a DELIMITED source cannot carry."""


def is_aggregate(call: ast.FunctionCall) -> bool:
    function = FUNCTIONS.get(call.name)
    return function is not None and function.kind == "AGGREGATE"


def refuse_unless_scalar(expressions: tuple[ast.Expression, ...], clause: str) -> None:
    """Keys are made by scalar functions alone: an aggregate or a table function there is refused."""
    for call in calls(expressions):
        function = FUNCTIONS.get(call.name)
        if function is not None and function.kind != "SCALAR":
            kind, article = ("aggregate", "an") if function.kind == "AGGREGATE" else ("table", "a")
            raise KsqlError(f"{clause} does not support {kind} functions: {call.name} is {article} {kind} function.")


def uses_aggregates(query: ast.Query) -> bool:
    return any(is_aggregate(c) for c in calls((query.select, *([query.having] if query.having else []))))


def build(context: Context, node: Node, items: Sequence[Item]) -> tuple[Node, KeyInfo, list[Item]]:
    """The aggregation over `node`; the items, rewritten over its results."""
    return _Aggregation(context, node).build(items)


class _Aggregation:
    def __init__(self, context: Context, node: Node) -> None:
        self.context = context
        self.query = context.query
        self.node = node
        self.compiler = context.compiler(node)
        self.calls: list[ast.FunctionCall] = []
        self.group_by: tuple[ast.Expression, ...] = ()
        self.keys: tuple[Column, ...] = ()

    def build(self, items: Sequence[Item]) -> tuple[Node, KeyInfo, list[Item]]:
        for call in (c for i in items if i.expression is not None for c in calls(i.expression)):
            find(call.name)
        if not uses_aggregates(self.query):
            raise KsqlError("GROUP BY requires aggregate functions in either the SELECT or HAVING clause.")
        self._check_formats()
        self._check_window()
        self._resolve_group_by(items)
        rewritten = self._rewrite_items(items)
        having = self._rewrite_having()
        if self.query.emit == "FINAL" and self.query.window is None:
            raise KsqlError("EMIT FINAL is only supported for windowed aggregations.")
        node: Node = AggregateNode(
            self._schema(),
            self.node,
            self.group_by,
            tuple(AggregateCall(c) for c in self.calls),
            self.query.window,
            self.query.emit == "FINAL",
        )
        if having is not None:
            self._check_having(node, having)
            node = FilterNode(node.schema, node, having, "HAVING")
        self.context.names.synthetic_keys.update(c.name for c in node.schema.value)
        shown = tuple(format_expression(e) for e in self.query.group_by)
        changed = [name_of(e) for e in self.group_by] != [c.name for c in self.node.schema.key]
        return node, KeyInfo(self.keys, "grouping", shown, changed=changed), rewritten

    # --- checks -------------------------------------------------------------------------------------------------------

    def _check_formats(self) -> None:
        kafka = [b.source.name for b in self.context.names.bindings if b.source.value_format.name == "KAFKA"]
        if kafka and any(b.source.schema.stored for b in self.context.names.bindings):
            raise KsqlError(
                f"Source(s) {', '.join(kafka)} are using the 'KAFKA' value format. This format does not yet support "
                "GROUP BY.\nSee https://github.com/confluentinc/ksql/issues/4692."
            )

    def _check_window(self) -> None:
        window = self.query.window
        if window is None:
            return
        if self.node.is_table:
            raise KsqlError("Windowing not supported for table aggregations.")
        size_ms, late_ms = window.size.ms, grace_ms(window)
        if size_ms <= 0 and window.kind == "SESSION":
            raise KsqlError("Gap time (inactivityGapMs) cannot be zero or negative.")
        if size_ms <= 0:
            raise KsqlError("Size must be positive")
        if window.advance is not None and not 0 < window.advance.ms <= size_ms:
            raise KsqlError(
                "Window advancement interval should be more than zero and less than window duration which is "
                f"{size_ms} ms, but given advancement interval is: {window.advance.ms} ms"
            )
        if window.retention is not None and window.retention.ms < size_ms + late_ms:
            raise PlainError(
                "The retention period of the window store Aggregate-Prepare must be no smaller than its "
                f"window size plus the grace period. Got size=[{size_ms}], grace=[{late_ms}], "
                f"retention=[{window.retention.ms}]"
            )

    def _check_having(self, node: Node, having: ast.Expression) -> None:
        try:
            check_predicate(self.context, node, having, "HAVING")
        except KsqlError as error:
            message = error.message
            for i, call in enumerate(self.calls):
                message = message.replace(f"KSQL_AGG_VARIABLE_{i}", format_expression(call))
            raise KsqlError(message) from None

    def _check_table_aggregates(self) -> None:
        if not self.node.is_table:
            return
        refused = [c.name for c in self.calls if not hasattr(FUNCTIONS[c.name].variants[0].body, "undo")]
        if refused:
            plural = "s" if len(refused) > 1 else ""
            listed = refused[0] if len(refused) == 1 else f"{', '.join(refused[:-1])} and {refused[-1]}"
            raise KsqlError(
                f"The aggregation function{plural} {listed} cannot be applied to a table source, only to a stream source."
            )

    # --- GROUP BY -----------------------------------------------------------------------------------------------------

    def _resolve_group_by(self, items: Sequence[Item]) -> None:
        if not self.query.group_by:
            self._refuse_ungrouped(items)
        refuse_unless_scalar(self.query.group_by, "GROUP BY")
        if self.query.window is not None:
            refuse_window_bounds(self.query.group_by)
        names = self.context.names
        self.group_by = tuple(names.resolve(e, "GROUP BY") for e in self.query.group_by)
        used = {c.name for b in names.bindings for c in b.source.schema}
        columns: list[Column] = []
        for written, expression in zip(self.query.group_by, self.group_by, strict=True):
            name = name_of(expression)
            if name is None or any(c.name == name for c in columns):
                name = self._alias_of(items, written) or projection.unused_name(used)
                used.add(name)
            columns.append(Column(name, projection.type_or_refuse(self.compiler, expression)))
        self.keys = tuple(columns)

    def _alias_of(self, items: Sequence[Item], expression: ast.Expression) -> str | None:
        """The alias under which the SELECT list has a grouping expression."""
        return next((i.alias for i in items if i.expression == expression and i.alias), None)

    def _refuse_ungrouped(self, items: Sequence[Item]) -> None:
        plain = [
            i.expression for i in items if i.expression is not None and not list(self._aggregates_in(i.expression))
        ]
        if plain:
            raise self._not_grouped(plain)
        if not self.context.persistent and self.query.emit == "CHANGES":
            return  # all rows are one group
        name = next(c.name for i in items if i.expression is not None for c in calls(i.expression) if is_aggregate(c))
        raise KsqlError(f"Use of aggregate function {name} requires a GROUP BY clause.")

    def _aggregates_in(self, expression: ast.Expression) -> list[ast.FunctionCall]:
        return [c for c in calls(expression) if is_aggregate(c)]

    # --- SELECT and HAVING over the results ---------------------------------------------------------------------------

    def _rewrite_items(self, items: Sequence[Item]) -> list[Item]:
        rewritten, refused = [], []
        names = projection.ItemNames(self.query, self.context.names)
        for item in self._expand_stars(items):
            assert item.expression is not None
            resolved = self.context.names.resolve(item.expression, "SELECT", self._bounds())
            new, loose = self._over_results(resolved)
            if loose:
                refused.append(resolved)
            alias = item.alias or names.alias(item.expression)
            rewritten.append(Item(new, alias, resolved=True))
        if refused:
            raise self._not_grouped(refused)
        return rewritten

    def _bounds(self) -> frozenset[str]:
        """The bounds of the query's window, which ksqlDB does not find among the columns of a join."""
        is_hidden = self.context.names.is_join and not accepted_before.get()
        return frozenset(() if self.query.window is None or is_hidden else WINDOW_BOUNDS)

    def _expand_stars(self, items: Sequence[Item]) -> list[Item]:
        expanded = []
        for item in items:
            if item.expression is not None:
                expanded.append(item)
                continue
            key = KeyInfo(self.node.schema.key)
            for column in projection.star_columns(self.context, self.node, key, item.star):
                binding = self.context.names.bindings[0] if not self.context.names.is_join else None
                name = column.name
                if binding is None:
                    owner = next(
                        b
                        for b in self.context.names.bindings
                        if name.startswith(f"{b.alias}_") and b.has(name.removeprefix(f"{b.alias}_"))
                    )
                    ref = ast.ColumnRef(name.removeprefix(f"{owner.alias}_"), owner.alias)
                    expanded.append(Item(ref, name))
                else:
                    expanded.append(Item(ast.ColumnRef(name), name))
        return expanded

    def _rewrite_having(self) -> ast.Expression | None:
        if self.query.having is None:
            return None
        if self.query.window is not None:
            refuse_window_bounds((self.query.having,))
        resolved = self.context.names.resolve(self.query.having, "HAVING")
        new, loose = self._over_results(resolved)
        if loose:
            raise KsqlError(
                f"Non-aggregate HAVING expression not part of GROUP BY: {', '.join(loose)}\n"
                "Consider switching the HAVING clause to a WHERE clause before the GROUP BY."
            )
        return new

    def _over_results(self, expression: ast.Expression) -> tuple[ast.Expression, list[str]]:
        """The expression over the results of the aggregation, and the columns in it that are not grouped by."""
        loose: list[str] = []

        def change(node: ast.Expression, bound: frozenset[str]) -> ast.Expression | None:
            for column, grouped in zip(self.keys, self.group_by, strict=True):
                if node == grouped:
                    return ast.ColumnRef(column.name, location=node.location)
            if isinstance(node, ast.FunctionCall) and is_aggregate(node):
                return ast.ColumnRef(f"KSQL_AGG_VARIABLE_{self._index(node)}", location=node.location)
            if isinstance(node, ast.ColumnRef) and node.name not in bound:
                if not (self.query.window is not None and node.name in WINDOW_BOUNDS):
                    loose.append(node.name)
                return node
            return None

        return rewrite(expression, change), loose

    def _index(self, call: ast.FunctionCall) -> int:
        for argument in call.args:
            for inner in self._aggregates_in(argument):
                raise KsqlError(f"Aggregate functions can not be nested: {call.name}({inner.name}())")
        if self.query.window is not None and any(r.name in WINDOW_BOUNDS for r in column_refs(call)):
            refuse_window_bounds((call,))
        if call not in self.calls:
            self.calls.append(call)
        return self.calls.index(call)

    def _not_grouped(self, expressions: Sequence[ast.Expression]) -> KsqlError:
        listed = ", ".join(format_expression(e) for e in expressions)
        return KsqlError(
            f"Non-aggregate SELECT expression(s) not part of GROUP BY: {listed}\n"
            "Either add the column(s) to the GROUP BY or remove them from the SELECT."
        )

    # --- the node -----------------------------------------------------------------------------------------------------

    def _schema(self) -> Schema:
        self._check_table_aggregates()
        self._check_states()
        results = []
        for i, call in enumerate(self.calls):
            codes, resolved = self.compiler.resolve_call(call)
            _check_constants(call, codes, resolved)
            if resolved.returns is None:
                raise KsqlError(
                    f"Can't infer the type of {format_expression(call)}. Please cast its arguments to a type."
                )
            results.append(Column(f"KSQL_AGG_VARIABLE_{i}", resolved.returns))
        bounds = [Column(b, BIGINT) for b in WINDOW_BOUNDS] if self.query.window is not None else []
        return Schema(self.keys, (*self.keys, *results, *bounds))

    def _check_states(self) -> None:
        internal = self.context.names.bindings[0].source.value_format.name
        if internal == "DELIMITED" and not all(c.name in PLAIN_STATE for c in self.calls):
            raise KsqlError(
                "One of the functions used in the statement has an intermediate type that the value format can not "
                "handle. Please remove the function or change the format."
            )


def _check_constants(call: ast.FunctionCall, codes: Sequence[Code | None], resolved: Resolved) -> None:
    """The last arguments of some aggregates set them up, once: they have to be literals."""
    for i in range(resolved.columns, len(codes)):
        code = codes[i]
        if code is None or not code.constant:
            raise KsqlError(
                f"Parameter {i + 1} passed to function {call.name} must be a literal constant, but was expression: "
                f"'{format_expression(call.args[i])}'"
            )

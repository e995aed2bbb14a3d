"""FROM: the nodes of the sources, and the joins between them, with all that ksqlDB refuses about joins."""

from __future__ import annotations

from dataclasses import dataclass

from streamguard_ksql import ast
from streamguard_ksql.errors import KsqlError
from streamguard_ksql.formatter import format_expression
from streamguard_ksql.plan import (
    ForeignKeyJoinNode,
    Node,
    SelectKeyNode,
    SourceColumn,
    SourceNode,
    StreamStreamJoinNode,
    StreamTableJoinNode,
    TableTableJoinNode,
)
from streamguard_ksql.planning.context import Context
from streamguard_ksql.planning.names import Binding
from streamguard_ksql.planning.projection import KeyInfo, type_or_refuse
from streamguard_ksql.schema import Column, Schema, refuse_map_key
from streamguard_ksql.transform import column_refs
from streamguard_ksql.types import SqlType

WINDOWED_ISSUE = "See https://github.com/confluentinc/ksql/issues/4385."


def build(context: Context) -> tuple[Node, KeyInfo]:
    """The node of the FROM clause and what is known of its key."""
    relation = context.query.source
    if isinstance(relation, ast.Source):
        node = source_node(context, context.names.bindings[0])
        return node, KeyInfo(node.schema.key)
    _refuse_kafka_values(context)
    side = _Joins(context).build(relation)
    return side.node, side.key_info()


def source_node(context: Context, binding: Binding) -> SourceNode:
    """A source's node with the columns that the query may use."""
    source, internal = binding.source, context.names.internal
    columns: list[Column] = []
    origins: list[SourceColumn] = []

    def add(column: Column, origin: SourceColumn) -> None:
        if context.wants(binding.alias, column):
            columns.append(Column(internal(binding.alias, column.name), column.type))
            origins.append(origin)

    stored = header = 0
    for column in source.schema.value:
        if column.header is None:
            add(column, SourceColumn("VALUE", stored))
            stored += 1
        else:
            add(column, SourceColumn("HEADER", header))
            header += 1
    for i, column in enumerate(source.schema.key):
        add(column, SourceColumn("KEY", i))
    taken = {c.name for c in source.schema}
    for column in binding.system_columns():
        if column.name not in taken and context.wants(binding.alias, column):
            columns.append(Column(internal(binding.alias, column.name), column.type))
            origins.append(SourceColumn(column.name))
    keys = tuple(Column(internal(binding.alias, c.name), c.type) for c in source.schema.key)
    return SourceNode(Schema(keys, tuple(columns)), source, tuple(origins))


def _refuse_kafka_values(context: Context) -> None:
    names = [b.source.name for b in context.names.bindings if b.source.value_format.name == "KAFKA"]
    if names:
        raise KsqlError(
            f"Source(s) {', '.join(names)} are using the 'KAFKA' value format. This format does not yet support JOIN.\n"
            "See https://github.com/confluentinc/ksql/issues/4692."
        )


@dataclass(frozen=True)
class Side:
    """One side of a join, or its result. `key_names` are the internal names of all columns that equal the key."""

    node: Node
    bindings: tuple[Binding, ...]
    key_names: tuple[str, ...]
    shown: tuple[str, ...]
    joined: bool = False
    synthetic: bool = False
    foreign: str | None = None
    changed: bool = False

    @property
    def aliases(self) -> set[str]:
        return {b.alias for b in self.bindings}

    def key_info(self) -> KeyInfo:
        if self.foreign is not None:
            return KeyInfo(self.node.schema.key, "join", self.shown, foreign_key_of=self.foreign, changed=self.changed)
        viable = () if self.synthetic or not self.joined else self.key_names
        return KeyInfo(
            self.node.schema.key, "join", self.shown, viable=viable, synthetic=self.synthetic, changed=self.changed
        )


@dataclass(frozen=True)
class Criteria:
    """`left = right`, each expression on its own side of the join, with the text as it was written."""

    left: ast.Expression
    right: ast.Expression
    text: str


class _Joins:
    def __init__(self, context: Context) -> None:
        self.context = context
        self.names = context.names

    def build(self, relation: ast.Relation) -> Side:
        if isinstance(relation, ast.Source):
            binding = self.names.binding(relation.alias)
            node = source_node(self.context, binding)
            keys = tuple(c.name for c in node.schema.key)
            shown = tuple(f"{binding.alias}.{c.name}" for c in binding.source.schema.key)
            return Side(node, (binding,), keys, shown)
        assert isinstance(relation, ast.Join)
        left, right = self.build(relation.left), self.build(relation.right)
        criteria = self._criteria(relation, left, right)
        self._refuse_order(relation, left, right)
        if left.node.is_table:
            return self._join_tables(relation, left, right, criteria)
        if right.node.is_table:
            return self._join_stream_table(relation, left, right, criteria)
        return self._join_streams(relation, left, right, criteria)

    # --- ON -----------------------------------------------------------------------------------------------------------

    def _criteria(self, join: ast.Join, left: Side, right: Side) -> Criteria:
        on = join.criteria
        qualified = self.names.qualify(on, "JOIN ON")
        text = format_expression(qualified)
        if isinstance(on, ast.Logical):
            raise KsqlError(f"Invalid join condition: joins on multiple conditions are not yet supported. Got {text}.")
        if not isinstance(on, ast.Comparison) or on.op != "=":
            raise KsqlError("Only equality join criteria is supported.")
        assert isinstance(qualified, ast.Comparison)
        first, second = self._side_of(qualified.left, text), self._side_of(qualified.right, text)
        expected = next(iter(right.aliases))
        if first == second:
            raise KsqlError(
                "Each side of the join must reference exactly one source and not the same source. "
                f"Left side references `{first}` and right references `{second}`"
            )
        if expected not in (first, second):
            raise KsqlError(
                f"A join criteria is expected to reference the source (`{expected}`) in the FROM clause, instead the "
                f"right source references `{second}` and the left source references `{first}`"
            )
        a, b = (on.left, on.right) if second == expected else (on.right, on.left)
        left_expression = self.names.resolve(a, "JOIN ON")
        right_expression = self.names.resolve(b, "JOIN ON")
        return Criteria(left_expression, right_expression, text[1:-1])

    def _side_of(self, expression: ast.Expression, text: str) -> str:
        aliases = {ref.source for ref in column_refs(expression)}
        if len(aliases) != 1:
            shown = format_expression(expression)
            shown = "null" if shown == "NULL" else shown
            raise KsqlError(
                f"Invalid comparison expression '{shown}' in join '{text.replace('NULL', 'null')}'. Each side of the join "
                "comparision must contain references from exactly one source."
            )
        return aliases.pop() or ""

    def _check_types(self, left: Side, right: Side, criteria: Criteria, *, foreign: bool = False) -> SqlType:
        left_type = type_or_refuse(self.context.compiler(left.node), criteria.left)
        right_type = type_or_refuse(self.context.compiler(right.node), criteria.right)
        if left_type != right_type and not foreign:
            raise KsqlError(f"Invalid join. Key types differ: {left_type} vs {right_type}")
        if left_type != right_type:
            a, b = criteria.text.split(" = ", 1)
            raise KsqlError(f"Invalid join condition: types don't match. Got {a}{{{left_type}}} = {b}{{{right_type}}}.")
        return left_type

    def _refuse_order(self, join: ast.Join, left: Side, right: Side) -> None:
        if left.node.is_table and not right.node.is_table:
            kind = {"INNER": "", "LEFT": "LEFT [OUTER] ", "RIGHT": "RIGHT [OUTER] ", "OUTER": "[FULL] OUTER "}[
                join.kind
            ]
            raise KsqlError(
                "Invalid join order: table-stream joins are not supported; only stream-table joins. "
                f"Got {left.bindings[-1].source.name} {kind}JOIN {right.bindings[0].source.name}."
            )

    def _refuse_other_partitions(self, left: Side, right: Side) -> None:
        """Rows of one key are in partitions of one number only where both topics have as many."""
        a, b = left.bindings[0], right.bindings[0]
        counts = (a.source.partitions, b.source.partitions)
        if self.context.replaying or None in counts or counts[0] == counts[1]:
            return
        raise KsqlError(
            f"Can't join `{a.alias}` with `{b.alias}` since the number of partitions don't match. `{a.alias}` partitions = "
            f"{counts[0]}; `{b.alias}` partitions = {counts[1]}. Please repartition either one so that the number of "
            "partitions match."
        )

    # --- keys ---------------------------------------------------------------------------------------------------------

    def _rekeyed(self, side: Side, expression: ast.Expression, key_type: SqlType, repartition: bool) -> Node:
        """The side's node with the join expression as its key."""
        name = expression.name if isinstance(expression, ast.ColumnRef) else "KSQL_COL_0"
        refuse_map_key(Column(name, key_type))
        if not repartition:
            return side.node
        if side.node.window is not None:
            raise KsqlError(f"Implicit repartitioning of windowed sources is not supported. {WINDOWED_ISSUE}")
        schema = Schema((Column(name, key_type),), side.node.schema.value)
        return SelectKeyNode(schema, side.node, (expression,))

    def _needs_rekey(self, side: Side, expression: ast.Expression) -> bool:
        if len(side.node.schema.key) != 1:
            return True
        return not (isinstance(expression, ast.ColumnRef) and expression.name in side.key_names)

    def _joined(
        self, join: ast.Join, left: Side, right: Side, criteria: Criteria, key_type: SqlType
    ) -> tuple[Column, tuple[str, ...], tuple[str, ...], bool]:
        """The key column of the result, the names that equal it, how messages show them, and whether it is made up."""
        names: list[str] = []
        shown: list[str] = []
        kept = isinstance(criteria.left, ast.ColumnRef) and criteria.left.name in left.key_names and left.joined
        if kept and not left.synthetic:
            names += left.key_names
            shown += left.shown
        elif isinstance(criteria.left, ast.ColumnRef):
            names.append(criteria.left.name)
            shown.append(self._shown(criteria.left, left))
        if isinstance(criteria.right, ast.ColumnRef):
            names.append(criteria.right.name)
            shown.append(self._shown(criteria.right, right))
        if not names or join.kind == "OUTER":
            name = self._synthetic_name()
            self.names.synthetic_keys.add(name)
            return Column(name, key_type), (name,), (name,), True
        return Column(names[0], key_type), tuple(names), tuple(shown), False

    def _synthetic_name(self) -> str:
        taken = {c.name for b in self.names.bindings for c in b.source.schema}
        name, n = "ROWKEY", 0
        while name in taken:
            n += 1
            name = f"ROWKEY_{n}"
        return name

    def _shown(self, ref: ast.ColumnRef, side: Side) -> str:
        for binding in side.bindings:
            prefix = f"{binding.alias}_"
            if ref.name.startswith(prefix) and binding.has(ref.name.removeprefix(prefix)):
                return f"{binding.alias}.{ref.name.removeprefix(prefix)}"
        return ref.name

    def _result_schema(self, key: Column, left: Node, right: Node, synthetic: bool) -> Schema:
        value = (*left.schema.value, *right.schema.value)
        return Schema((key,), (*value, key) if synthetic else value)

    # --- the four joins -----------------------------------------------------------------------------------------------

    def _join_streams(self, join: ast.Join, left: Side, right: Side, criteria: Criteria) -> Side:
        key_type = self._check_types(left, right, criteria)
        if join.within is None:
            raise KsqlError("Stream-Stream joins must have a WITHIN clause specified. None was provided.")
        self._check_windows(left, right)
        left_node = self._rekeyed(left, criteria.left, key_type, self._needs_rekey(left, criteria.left))
        right_node = self._rekeyed(right, criteria.right, key_type, self._needs_rekey(right, criteria.right))
        key, names, shown, synthetic = self._joined(join, left, right, criteria, key_type)
        schema = self._result_schema(key, left_node, right_node, synthetic)
        node = StreamStreamJoinNode(schema, left_node, right_node, join.kind, join.within)
        return self._result(node, left, right, names, shown, synthetic, changed=left_node is not left.node)

    def _join_stream_table(self, join: ast.Join, left: Side, right: Side, criteria: Criteria) -> Side:
        self._refuse_within(join, "(ie. the WITHIN clause) and try to execute your join", "Stream-Table")
        if join.kind == "OUTER":
            raise KsqlError(
                "Invalid join type: full-outer join not supported for stream-table join. "
                f"Got {left.bindings[-1].source.name} [FULL] OUTER JOIN {right.bindings[0].source.name}."
            )
        if join.kind == "RIGHT":
            raise KsqlError("Invalid join type encountered: RIGHT [OUTER] JOIN")
        key_type = self._check_types(left, right, criteria)
        if self._needs_rekey(right, criteria.right):
            raise KsqlError(
                "Invalid join condition: stream-table joins require to join on the table's primary key. "
                f"Got {criteria.text}."
            )
        self._check_windows(left, right)
        left_node = self._rekeyed(left, criteria.left, key_type, self._needs_rekey(left, criteria.left))
        key, names, shown, synthetic = self._joined(join, left, right, criteria, key_type)
        schema = self._result_schema(key, left_node, right.node, synthetic)
        node = StreamTableJoinNode(schema, left_node, right.node, join.kind)
        return self._result(node, left, right, names, shown, synthetic, changed=left_node is not left.node)

    def _join_tables(self, join: ast.Join, left: Side, right: Side, criteria: Criteria) -> Side:
        self._refuse_within(join, "(i.e. the WITHIN clause) and try to execute your Table-Table join", "Table-Table")
        foreign = self._needs_rekey(left, criteria.left)
        key_type = self._check_types(left, right, criteria, foreign=foreign)
        if self._needs_rekey(right, criteria.right):
            raise KsqlError(
                "Invalid join condition: table-table joins require to join on the primary key of the right input table. "
                f"Got {criteria.text}."
            )
        if foreign:
            return self._join_on_foreign_key(join, left, right, criteria)
        self._check_windows(left, right)
        key, names, shown, synthetic = self._joined(join, left, right, criteria, key_type)
        schema = self._result_schema(key, left.node, right.node, synthetic)
        node = TableTableJoinNode(schema, left.node, right.node, join.kind)
        return self._result(node, left, right, names, shown, synthetic, changed=False)

    def _join_on_foreign_key(self, join: ast.Join, left: Side, right: Side, criteria: Criteria) -> Side:
        if join.kind in ("RIGHT", "OUTER"):
            kind = "RIGHT OUTER" if join.kind == "RIGHT" else "FULL OUTER"
            raise KsqlError(f"{kind} JOIN on a foreign key is not supported")
        schema = Schema(left.node.schema.key, (*left.node.schema.value, *right.node.schema.value))
        node = ForeignKeyJoinNode(schema, left.node, right.node, join.kind, criteria.left)
        foreign = None if left.joined else left.bindings[0].alias
        return Side(
            node,
            left.bindings + right.bindings,
            left.key_names,
            left.shown,
            joined=left.joined,
            synthetic=left.synthetic,
            foreign=foreign,
        )

    def _result(
        self,
        node: Node,
        left: Side,
        right: Side,
        names: tuple[str, ...],
        shown: tuple[str, ...],
        synthetic: bool,
        *,
        changed: bool,
    ) -> Side:
        self._refuse_other_partitions(left, right)
        bindings = left.bindings + right.bindings
        return Side(node, bindings, names, shown, joined=True, synthetic=synthetic, changed=changed or left.changed)

    def _refuse_within(self, join: ast.Join, advice: str, what: str) -> None:
        if join.within is not None:
            raise KsqlError(
                f"A window definition was provided for a {what} join. These joins are not windowed. "
                f"Please drop the window definition {advice} again."
            )

    def _check_windows(self, left: Side, right: Side) -> None:
        a, b = left.node.window, right.node.window
        if (a is None) != (b is None):
            described = [
                f"`{side.bindings[0].source.name}` is "
                + (f"{window.kind} windowed" if window is not None else "not windowed")
                for side, window in ((left, a), (right, b))
            ]
            raise KsqlError("Can not join windowed source to non-windowed source.\n" + "\n".join(described))
        if a is not None and b is not None and (a.kind == "SESSION") != (b.kind == "SESSION"):
            raise KsqlError(
                f"Incompatible windowed sources.\nLeft source: {a.kind}\nRight source: {b.kind}\n"
                "Session windowed sources can only be joined to other session windowed sources, and may still not result "
                "in expected behaviour as session bounds must be an exact match for the join to work\n"
                "Hopping and tumbling windowed sources can only be joined to other hopping and tumbling windowed sources"
            )
        if a is not None and b is not None and a.size_ms != b.size_ms:
            raise KsqlError(f"Implicit repartitioning of windowed sources is not supported. {WINDOWED_ISSUE}")

"""Filter, project, spread and rekey: operators that remember nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice, zip_longest
from typing import Any, TypeVar

from streamguard_ksql import ast
from streamguard_ksql.codegen import Environment, list_of
from streamguard_ksql.errors import ROW_ERRORS, reason
from streamguard_ksql.expressions.compiler import Compiler
from streamguard_ksql.expressions.scope import Scope
from streamguard_ksql.operators.base import Operator, Receive, Runtime, Skip
from streamguard_ksql.operators.record import Record
from streamguard_ksql.own_values import row_copier
from streamguard_ksql.plan import FilterNode, FlatMapNode, ForeignKeyJoinNode, Node, ProjectNode, SelectKeyNode
from streamguard_ksql.transform import column_refs

Row = Sequence[Any]
Result = TypeVar("Result")
ROWS_AT_ONCE = 1_000


class RowFunction:
    """Several expressions as one function from a row to a list; a column that fails becomes NULL and is reported."""

    def __init__(self, expressions: Sequence[ast.Expression], source: Node, runtime: Runtime, step: str) -> None:
        scope = Scope(source.schema.value, runtime.config)
        self._own = row_copier(scope.columns, expressions)
        compiler = Compiler(scope, Environment(), owns_values=self._own is not None)
        texts = [compiler.compile(e).column for e in expressions]
        name = step.lower()
        self.fast: Callable[[Row], list[Any]] = compiler.env.function(name, scope.row, list_of(texts))
        self.fast_tuple: Callable[[Row], tuple[Any, ...]] = compiler.env.function(
            name, scope.row, f"({''.join(t + ',' for t in texts)})"
        )
        if self._own is not None:
            self.fast, self.fast_tuple = _over(self._own, self.fast), _over(self._own, self.fast_tuple)
        self._single = [compiler.env.function(f"{name}_{i}", scope.row, text) for i, text in enumerate(texts)]
        self._runtime = runtime
        self._step = step

    def __call__(self, row: Row) -> list[Any]:
        try:
            return self.fast(row)
        except ROW_ERRORS:
            own = row if self._own is None else self._own(row)
            return [self._one(function, own) for function in self._single]

    def _one(self, function: Callable[[Row], Any], row: Row) -> Any:
        try:
            return function(row)
        except ROW_ERRORS as error:
            self._runtime.row_error(self._step, reason(error), row)
            return None


def _over(own: Callable[[Row], Row], function: Callable[[Row], Result]) -> Callable[[Row], Result]:
    return lambda row: function(own(row))


class Predicate:
    """A condition on a row; one that fails is false, and reported."""

    def __init__(self, node: FilterNode, runtime: Runtime) -> None:
        compiler = Compiler(Scope(node.source.schema.value, runtime.config))
        self.fast: Callable[[Row], Any] = compiler.function(node.predicate, node.clause.lower())
        self._runtime = runtime
        self._step = {"WHERE": "WhereFilter", "HAVING": "Aggregate.HavingFilter"}.get(node.clause, node.clause)
        self._skip = Skip.EXPRESSION if node.clause == "WHERE" else ""

    def __call__(self, row: Row | None) -> bool:
        if row is None:
            return False
        try:
            return self.fast(row) is True
        except ROW_ERRORS as error:
            self._runtime.row_error(self._step, reason(error), row, self._skip)
            return False


class Filter(Operator):
    """WHERE over a stream: rows that are not true for the predicate, and null values, go no further."""

    def __init__(self, node: FilterNode, runtime: Runtime, emit: Receive) -> None:
        super().__init__(emit)
        self.predicate = Predicate(node, runtime)

    def receive(self, partition: int, records: list[Record]) -> None:
        test = self.predicate.fast
        try:
            kept = [r for r in records if r.value is not None and test(r.value) is True]
        except ROW_ERRORS:
            kept = [r for r in records if self.predicate(r.value)]
        if kept:
            self.emit(partition, kept)


class TableFilter(Operator):
    """WHERE or HAVING over a table: a row that passed and no longer does becomes a tombstone, once.

    Over a foreign-key join, whose rows come without those before them, each row that does not pass becomes one.
    """

    def __init__(self, node: FilterNode, runtime: Runtime, emit: Receive) -> None:
        super().__init__(emit)
        self.predicate = Predicate(node, runtime)
        self.forgets = _is_over_foreign_key(node)

    def receive(self, partition: int, records: list[Record]) -> None:
        kept = []
        for r in records:
            old = r.old if self.predicate(r.old) else None
            new = r.value if self.predicate(r.value) else None
            if new is not None or old is not None or self.forgets:
                kept.append(r.with_value(new, old))
        if kept:
            self.emit(partition, kept)


def _is_over_foreign_key(node: Node) -> bool:
    while isinstance(node, FilterNode | ProjectNode):
        node = node.source
    return isinstance(node, ForeignKeyJoinNode)


class Project(Operator):
    """SELECT: the value becomes the results of the expressions."""

    def __init__(self, node: ProjectNode, runtime: Runtime, emit: Receive, *, with_old: bool) -> None:
        super().__init__(emit)
        self.row = RowFunction(node.expressions, node.source, runtime, "Project")
        self.with_old = with_old

    def receive(self, partition: int, records: list[Record]) -> None:
        row, with_old = self.row, self.with_old
        self.emit(
            partition,
            [
                Record(
                    r.key,
                    None if r.value is None else row(r.value),
                    r.time,
                    r.window,
                    r.headers,
                    row(r.old) if with_old and r.old is not None else None,
                )
                for r in records
            ],
        )


class FlatMap(Operator):
    """Table functions: a row becomes as many as the longest result has values, the shorter ones filled with NULL.

    Rows are passed on in batches of about ROWS_AT_ONCE: a record may make a million of them.
    """

    def __init__(self, node: FlatMapNode, runtime: Runtime, emit: Receive) -> None:
        super().__init__(emit)
        compiler = Compiler(Scope(node.source.schema.value, runtime.config))
        self.functions: list[tuple[Callable[..., Any], Callable[[Row], Any]]] = []
        for call in node.calls:
            codes, resolved = compiler.resolve_call(call)
            body = compiler.body_of(resolved, codes)
            texts = [
                compiler.converted(c, p).text for c, p in zip(codes, resolved.parameters, strict=False) if c is not None
            ]
            name = f"{call.name.lower()}_arguments"
            arguments = compiler.env.function(name, compiler.scope.row, f"({', '.join(texts)},)")
            self.functions.append((body, arguments))
        self.runtime = runtime

    def receive(self, partition: int, records: list[Record]) -> None:
        spread: list[Record] = []
        for r in records:
            if r.value is None:
                continue
            values = zip_longest(*[self._results(body, arguments, r.value) for body, arguments in self.functions])
            while rows := [r.with_value([*r.value, *row]) for row in islice(values, ROWS_AT_ONCE)]:
                spread += rows
                if len(spread) >= ROWS_AT_ONCE:
                    self.runtime.steps += 1
                    self.emit(partition, spread)
                    spread = []
        if spread:
            self.emit(partition, spread)

    def _results(self, body: Callable[..., Any], arguments: Callable[[Row], Any], row: Row) -> Sequence[Any]:
        try:
            return body(*arguments(row)) or ()
        except ROW_ERRORS as error:
            self.runtime.row_error("FlatMap", reason(error), row)
            return ()


class SelectKey(Operator):
    """PARTITION BY: a new key, and with it the partition that the row belongs to from here on.

    Without `partition_of` rows stay where they are, in their order: nothing behind it has state by partition.
    """

    def __init__(
        self,
        node: SelectKeyNode,
        runtime: Runtime,
        emit: Receive,
        partition_of: Callable[[tuple[Any, ...] | None], int] | None,
    ) -> None:
        super().__init__(emit)
        self.keys = RowFunction(node.keys, node.source, runtime, "PartitionBy") if node.keys else None
        self.partition_of = partition_of
        names = [c.name for c in node.source.schema.key]
        self.from_key = [names.index(c.name) if c.name in names else None for c in node.source.schema.value]
        self.key_only = [all(ref.name in names for ref in column_refs(e)) for e in node.keys]

    def receive(self, partition: int, records: list[Record]) -> None:
        moved = []
        for r in records:
            key = self._null_key(r) if r.value is None else None if self.keys is None else tuple(self.keys(r.value))
            if key is not None and len(key) == 1 and key[0] is None:
                key = None
            moved.append(Record(key, r.value, r.time, None, r.headers))
        if self.partition_of is None:
            self.emit(partition, moved)
            return
        batches: dict[int, list[Record]] = {}
        for r in moved:
            batches.setdefault(self.partition_of(r.key), []).append(r)
        for target, batch in batches.items():
            self.emit(target, batch)

    def _null_key(self, record: Record) -> tuple[Any, ...] | None:
        """The new key of a null value: all that is known is the old key, so only expressions over it have a value."""
        if self.keys is None:
            return None
        key = record.key
        row = [None if i is None or key is None else key[i] for i in self.from_key]
        return tuple(v if known else None for v, known in zip(self.keys(row), self.key_only, strict=True))

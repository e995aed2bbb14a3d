"""What all aggregations share: the key of a row, the fold of a row into a state, the row that a state stands for."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from streamguard.ksql import ast
from streamguard.ksql.expressions.compiler import Compiler
from streamguard.ksql.expressions.scope import Scope
from streamguard.ksql.functions.registry import Resolved
from streamguard.ksql.operators.base import ROW_ERRORS, Runtime, text_of
from streamguard.ksql.operators.stateless import RowFunction
from streamguard.ksql.plan import AggregateNode
from streamguard.ksql.types import SqlType

Row = Sequence[Any]


class Folder:
    """The aggregates of one node, compiled. A state is a list: one state per aggregate.

    `add(states, row)` and `undo(states, row)` change the list in place; generated code evaluates the arguments and
    calls the aggregates without a loop.
    """

    def __init__(self, node: AggregateNode, runtime: Runtime) -> None:
        self.runtime = runtime
        self.compiler = Compiler(Scope(node.source.schema.value, runtime.config))
        self.bodies: list[Any] = []
        self.arguments: list[str] = []
        for aggregate in node.aggregates:
            body, text = self._compile(aggregate.call)
            self.bodies.append(body)
            self.arguments.append(text)
        self.add = self._fold("add")
        self.undo = self._fold("undo") if all(hasattr(b, "undo") for b in self.bodies) else None
        self.initials = [b.initial for b in self.bodies]
        self.results = [b.result for b in self.bodies]

    def _compile(self, call: ast.FunctionCall) -> tuple[Any, str]:
        codes, resolved = self.compiler.resolve_call(call)
        body = self.compiler.body_of(resolved, codes)
        if not call.args:
            return body, "1"
        return body, self._argument(codes, resolved)

    def _argument(self, codes: Sequence[Any], resolved: Resolved) -> str:
        """What `add` is given: the value, or a list of the values where the function takes several columns."""
        converted = [self.compiler.converted(c, p) for c, p in zip(codes, resolved.parameters, strict=False)]
        columns = [c.text for i, c in enumerate(converted) if i == 0 or not c.constant]
        return columns[0] if len(columns) == 1 else f"[{', '.join(columns)}]"

    def _fold(self, method: str) -> Callable[[list[Any], Row], None]:
        """`def fold(s, v): s[0] = add0(s[0], <argument 0>); ...` with arguments that fail taken as NULL."""
        env = self.compiler.env
        singles = []
        lines = ["def fold(s, v):"]
        for i, (body, argument) in enumerate(zip(self.bodies, self.arguments, strict=True)):
            function = env.bind(getattr(body, method), "f")
            lines.append(f"    s[{i}] = {function}(s[{i}], {argument})")
            singles.append((getattr(body, method), env.function("v", argument)))
        exec("\n".join(lines or ["    pass"]), env.names)
        fast: Callable[[list[Any], Row], None] = env.names["fold"]

        def fold(states: list[Any], row: Row) -> None:
            before = list(states)
            try:
                fast(states, row)
            except ROW_ERRORS:
                for i, (function, argument_of) in enumerate(singles):
                    states[i] = self._careful(function, argument_of, before[i], row)

        return fast if self._cannot_fail() else fold

    def _cannot_fail(self) -> bool:
        """Arguments that are bare columns or constants always have a value: no safety net is needed."""
        return all(a == "1" or (a.startswith("v[") and a[2:-1].isdigit()) for a in self.arguments)

    def _careful(
        self, function: Callable[[Any, Any], Any], argument_of: Callable[[Row], Any], state: Any, row: Row
    ) -> Any:
        try:
            value = argument_of(row)
        except ROW_ERRORS as error:
            self.runtime.row_error("Aggregate.Prepare", text_of(error), row)
            value = None
        try:
            return function(state, value)
        except ROW_ERRORS as error:
            self.runtime.row_error("Aggregate", text_of(error), row)
            return state

    def initial(self) -> list[Any]:
        return [make() for make in self.initials]

    def merge(self, left: list[Any], right: list[Any]) -> list[Any]:
        return [b.merge(x, y) for b, x, y in zip(self.bodies, left, right, strict=True)]

    def row(self, key: tuple[Any, ...], states: list[Any], *bounds: int) -> list[Any]:
        """The row of a group: its key, the results, and the window's bounds."""
        return [*key, *[result(s) for result, s in zip(self.results, states, strict=False)], *bounds]


class Grouping:
    """The key that rows are grouped by: a tuple, or None for a row that belongs to no group (a NULL in its key).

    `identity(key)` is the key in a form that can be hashed.
    """

    def __init__(self, node: AggregateNode, runtime: Runtime) -> None:
        self.values = RowFunction(node.keys, node.source, runtime, "GroupBy")
        self.runtime = runtime
        nested = any(_is_nested(c.type) for c in node.schema.key)
        self.identity: Callable[[tuple[Any, ...]], Any] = _frozen if nested else _same

    def key(self, row: Row | None) -> tuple[Any, ...] | None:
        if row is None:
            return None
        key = tuple(self.values(row))
        if None in key:
            self.runtime.row_error("GroupBy", "Group-by column with index 0 resolved to null. The record is left out.", row)
            return None
        return key


def _is_nested(sql_type: SqlType) -> bool:
    return sql_type.base in ("ARRAY", "MAP", "STRUCT")


def _same(key: tuple[Any, ...]) -> Any:
    return key


def _frozen(key: tuple[Any, ...]) -> Any:
    """A nested key as text that is equal for equal values."""
    return json.dumps(key, sort_keys=True, default=str)

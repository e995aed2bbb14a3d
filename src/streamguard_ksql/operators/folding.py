"""What all aggregations share: the key of a row, the fold of a row into a state, the row that a state stands for."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from streamguard_ksql import ast
from streamguard_ksql.expressions.compiler import Compiler
from streamguard_ksql.expressions.inlining import inlined
from streamguard_ksql.expressions.scope import Scope
from streamguard_ksql.operators.base import ROW_ERRORS, Runtime, text_of
from streamguard_ksql.operators.edges import ColumnTexts, inner_key
from streamguard_ksql.operators.stateless import RowFunction
from streamguard_ksql.plan import AggregateNode
from streamguard_ksql.types import SqlType

Row = Sequence[Any]


FIRST_STATE = 2
"""Where the states begin in an entry: what stands before them is the aggregation's business."""


class Folder:
    """The aggregates of one node, compiled: what folds a row into an entry, and reads an entry as a row.

    An entry is a flat list whose states, one per aggregate, begin at FIRST_STATE. All that touches entries is generated
    code without loops; HAVING is evaluated on the entry itself, so that groups that do not pass never become rows.
    """

    def __init__(self, node: AggregateNode, runtime: Runtime, having: ast.Expression | None = None) -> None:
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
        self._compile_results(node, having)

    def _compile(self, call: ast.FunctionCall) -> tuple[Any, str]:
        codes, resolved = self.compiler.resolve_call(call)
        body = self.compiler.body_of(resolved, codes)
        if not call.args:
            return body, "1"
        columns = [
            self.compiler.converted(c, p).text
            for c, p in list(zip(codes, resolved.parameters, strict=False))[: resolved.columns]
            if c is not None
        ]
        return body, columns[0] if len(columns) == 1 else f"[{', '.join(columns)}]"

    # --- folding ------------------------------------------------------------------------------------------------------

    def _fold(self, method: str) -> Callable[[list[Any], Row], None]:
        """`def fold(e, v): s, a = e[2], <argument>; e[2] = add(s, a); ...`; an argument that fails is taken as NULL, and
        reported."""
        env = self.compiler.env
        functions = [getattr(body, method) for body in self.bodies]
        apply = ["def apply(e, given):"]
        direct = ["def direct(e, v):"]
        for i, (function, argument) in enumerate(zip(functions, self.arguments, strict=True)):
            call, state = inlined(function, "s", "a") or f"{env.bind(function, 'f')}(s, a)", f"e[{i + FIRST_STATE}]"
            apply.append(f"    s, a = {state}, given[{i}]; {state} = {call}")
            direct.append(f"    s, a = {state}, {argument}; {state} = {call}")
        exec("\n".join(direct if self._cannot_fail() else apply), env.names)
        if self._cannot_fail():
            found: Callable[[list[Any], Row], None] = env.names["direct"]
            return found
        applied = env.names["apply"]
        values = env.function("v", f"[{', '.join(self.arguments)}]")
        singles = [env.function("v", argument) for argument in self.arguments]

        def fold(entry: list[Any], row: Row) -> None:
            try:
                given = values(row)
            except ROW_ERRORS:
                given = [self._value(single, row) for single in singles]
            try:
                applied(entry, given)
            except ROW_ERRORS as error:
                self.runtime.row_error("Aggregate", text_of(error), row)

        return fold

    def _cannot_fail(self) -> bool:
        """Arguments that are bare columns or constants always have a value: no safety net is needed."""
        return all(a == "1" or (a.startswith("v[") and a[2:-1].isdigit()) for a in self.arguments)

    def _value(self, argument_of: Callable[[Row], Any], row: Row) -> Any:
        try:
            return argument_of(row)
        except ROW_ERRORS as error:
            self.runtime.row_error("Aggregate.Prepare", text_of(error), row)
            return None

    def initial(self) -> list[Any]:
        """The states of an empty group."""
        return [body.initial() for body in self.bodies]

    def merge(self, left: list[Any], right: list[Any]) -> list[Any]:
        """The states of two groups together."""
        return [b.merge(x, y) for b, x, y in zip(self.bodies, left, right, strict=True)]

    # --- results ------------------------------------------------------------------------------------------------------

    def _compile_results(self, node: AggregateNode, having: ast.Expression | None) -> None:
        """Generated code over a group's key k, its entry e and its window's start s and end x: `row` is its row,
        `passes` whether HAVING takes it, `change` its row as the table has it, None where HAVING leaves it out."""
        env, arguments = self.compiler.env, "k, e, s=0, x=0"
        keys = [f"k[{i}]" for i in range(len(node.schema.key))]
        states = [f"e[{i + FIRST_STATE}]" for i in range(len(self.bodies))]
        results = [
            inlined(body.result, state) or f"{env.bind(body.result, 'r')}({state})"
            for body, state in zip(self.bodies, states, strict=True)
        ]
        texts = [*keys, *results, "s", "x"][: len(node.schema.value)]
        row = f"[{', '.join(texts)}]"
        initial = ", ".join(inlined(body.initial) or f"{env.bind(body.initial, 'i')}()" for body in self.bodies)
        self.entry: Callable[[int, Any], list[Any]] = env.function("time, key", f"[time, key, {initial}]")
        self.row: Callable[..., list[Any]] = env.function(arguments, row)
        self.change: Callable[..., list[Any] | None] = self.row
        self.passes: Callable[..., bool] = _always
        if having is not None:
            scope = ColumnTexts(node.schema.value, self.runtime.config, texts=tuple(texts))
            predicate = Compiler(scope, env).compile(having).text
            self.passes = self._careful(arguments, f"{predicate} is True", "False")
            self.change = self._careful(arguments, f"{row} if {predicate} is True else None", "None")

    def _careful(self, arguments: str, body: str, otherwise: str) -> Callable[..., Any]:
        """The function, giving `otherwise` (after a word in the log) where HAVING has no value."""

        def report(error: BaseException, key: tuple[Any, ...], entry: list[Any], start: int, end: int) -> None:
            self.runtime.row_error("Aggregate.HavingFilter", text_of(error), self.row(key, entry, start, end))

        env = self.compiler.env
        name, errors, told = env.fresh("guarded"), env.bind(ROW_ERRORS, "errors"), env.bind(report, "report")
        exec(
            f"def {name}({arguments}):\n"
            f"    try:\n        return {body}\n"
            f"    except {errors} as error:\n        {told}(error, k, e, s, x)\n        return {otherwise}\n",
            env.names,
        )
        return env.names[name]  # type: ignore[no-any-return]


def _always(key: tuple[Any, ...], entry: list[Any], start: int = 0, end: int = 0) -> bool:
    return True


class Grouping:
    """The key that rows are grouped by: a tuple, or None for a row that belongs to no group (a NULL in its key).

    `identity(key)` is the key in a form that can be hashed; `bytes_of(key)` orders keys as Kafka Streams' stores do.
    """

    def __init__(self, node: AggregateNode, runtime: Runtime) -> None:
        self.careful = RowFunction(node.keys, node.source, runtime, "GroupBy")
        self.fast = self.careful.fast_tuple
        self.runtime = runtime
        self.bytes_of = inner_key(node.schema.key)
        nested = any(_is_nested(c.type) for c in node.schema.key)
        self.identity: Callable[[tuple[Any, ...]], Any] = _frozen if nested else _same

    def key(self, row: Row | None) -> tuple[Any, ...] | None:
        if row is None:
            return None
        try:
            key = self.fast(row)
        except ROW_ERRORS:
            key = tuple(self.careful(row))
        if None in key:
            self.runtime.row_error(
                "GroupBy", "Group-by column with index 0 resolved to null. The record is left out.", row
            )
            return None
        return key


def _is_nested(sql_type: SqlType) -> bool:
    return sql_type.base in ("ARRAY", "MAP", "STRUCT")


def _same(key: tuple[Any, ...]) -> Any:
    return key


def _frozen(key: tuple[Any, ...]) -> Any:
    """A nested key as text that is equal for equal values."""
    return json.dumps(key, sort_keys=True, default=str)

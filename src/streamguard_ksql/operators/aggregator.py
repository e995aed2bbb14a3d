"""The aggregates of a GROUP BY, compiled: a row is accumulated into the states of its group, and these read as a row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from streamguard_ksql import ast
from streamguard_ksql.codegen import applied, list_of
from streamguard_ksql.errors import ROW_ERRORS, reason
from streamguard_ksql.expressions.compiler import Compiler
from streamguard_ksql.expressions.scope import ColumnTexts, Scope
from streamguard_ksql.operators.base import Runtime
from streamguard_ksql.plan import AggregateNode

Row = Sequence[Any]
Accumulate = Callable[[list[Any], Row], None]

FIRST_STATE = 2
"""Where the states begin in an entry: what is before them is the aggregation's business."""


class Aggregator:
    """The aggregates of one node: what accumulates a row in an entry, and reads an entry as a row.

    An entry is a flat list whose states, one per aggregate, begin at FIRST_STATE. All that touches entries is generated
    code without loops; HAVING is evaluated on the entry itself, so that groups that do not pass never become rows.
    """

    def __init__(self, node: AggregateNode, runtime: Runtime, having: ast.Expression | None = None) -> None:
        self.runtime = runtime
        merges = node.window_spec is not None and node.window_spec.kind == "SESSION"
        self.compiler = Compiler(Scope(node.source.schema.value, runtime.config), merges=merges)
        self.env = self.compiler.env
        compiled = [self._compile(aggregate.call) for aggregate in node.aggregates]
        self.bodies: list[Any] = [body for body, _ in compiled]
        self.arguments = [argument for _, argument in compiled]
        self.key_texts = [self.compiler.compile(key).column for key in node.keys]
        """Code over a row: the key of its group."""
        self.add = self._accumulate("add")
        self.undo = self._accumulate("undo") if all(hasattr(b, "undo") for b in self.bodies) else None
        self._compile_results(node, having)

    def _compile(self, call: ast.FunctionCall) -> tuple[Any, str]:
        """The aggregate that a call means, and the text of what it is given for a row."""
        codes, resolved = self.compiler.resolve_call(call)
        body = self.compiler.body_of(resolved, codes)
        if not call.args:
            return body, "1"
        columns = [
            self.compiler.converted(c, p).column
            for c, p in list(zip(codes, resolved.parameters, strict=False))[: resolved.columns]
            if c is not None
        ]
        return body, columns[0] if len(columns) == 1 else f"[{', '.join(columns)}]"

    # --- accumulating -------------------------------------------------------------------------------------------------

    def _accumulate(self, method: str) -> Accumulate:
        """Generated code with a line `s, a = e[2], <argument>; e[2] = <method(s, a)>` per aggregate.

        An argument that fails is taken as NULL, and reported: arguments that can fail are evaluated beforehand.
        """
        arguments = self.arguments
        if self._arguments_cannot_fail():
            return self._states_function(method, "v", arguments)
        given = [f"given[{i}]" for i in range(len(arguments))]
        apply = self._states_function(method, "v, given", given)
        values = self.env.function("arguments", "v", list_of(arguments))
        singles = [self.env.function(f"argument_{i}", "v", argument) for i, argument in enumerate(arguments)]

        def accumulate(entry: list[Any], row: Row) -> None:
            try:
                found = values(row)
            except ROW_ERRORS:
                found = [self._value(single, row) for single in singles]
            apply(entry, row, found)

        return accumulate

    def _states_function(self, method: str, parameters: str, arguments: Sequence[str]) -> Callable[..., None]:
        """`def add(e, <parameters>)` that changes the states of the entry e; an aggregate that fails is reported."""
        lines = []
        for i, (body, argument) in enumerate(zip(self.bodies, arguments, strict=True), FIRST_STATE):
            lines.append(
                f"    s, a = e[{i}], {argument}; e[{i}] = {applied(self.env, getattr(body, method), 's', 'a')}"
            )
        report = self.env.call(self._report, "error", "v")
        errors = self.env.bind(ROW_ERRORS, "errors")
        return self.env.define(
            method,
            f"e, {parameters}",
            ["try:", *(lines or ["    pass"]), f"except {errors} as error:", f"    {report}"],
        )

    def accumulating(self) -> list[str]:
        """Statements that accumulate the row v in the entry e: see `_accumulate`."""
        env, errors = self.env, self.env.bind(ROW_ERRORS, "errors")
        texts = list(self.arguments)
        failing = [i for i, text in enumerate(texts) if not _cannot_fail(text)]
        lines = []
        if failing:
            names = [f"given{i}" for i in failing]
            singles = [env.function(f"argument_{i}", "v", texts[i]) for i in failing]

            def one_by_one(row: Row) -> list[Any]:
                return [self._value(single, row) for single in singles]

            lines += ["try:", *(f"    {name} = {texts[i]}" for name, i in zip(names, failing, strict=True))]
            lines += [f"except {errors}:", f"    {', '.join(names)}, = {env.call(one_by_one, 'v')}"]
            texts = [f"given{i}" if i in failing else text for i, text in enumerate(texts)]
        lines.append("try:")
        for i, (body, text) in enumerate(zip(self.bodies, texts, strict=True), FIRST_STATE):
            lines.append(f"    y, a = e[{i}], {text}; e[{i}] = {applied(env, body.add, 'y', 'a')}")
        return [*lines, "    pass", f"except {errors} as error:", f"    {env.call(self._report, 'error', 'v')}"]

    def _report(self, error: BaseException, row: Row) -> None:
        self.runtime.row_error("Aggregate", reason(error), row)

    def _arguments_cannot_fail(self) -> bool:
        """Bare columns and constants always have a value."""
        return all(map(_cannot_fail, self.arguments))

    def _value(self, argument_of: Callable[[Row], Any], row: Row) -> Any:
        try:
            return argument_of(row)
        except ROW_ERRORS as error:
            self.runtime.row_error("Aggregate.Prepare", reason(error), row)
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
        env, parameters = self.env, "k, e, s=0, x=0"
        keys = [f"k[{i}]" for i in range(len(node.schema.key))]
        results = [applied(env, body.result, f"e[{i}]") for i, body in enumerate(self.bodies, FIRST_STATE)]
        texts = [*keys, *results, "s", "x"][: len(node.schema.value)]
        initial = [applied(env, body.initial) for body in self.bodies]
        self.entry: Callable[[int, Any], list[Any]] = env.function(
            "entry", "time, key", list_of(["time", "key", *initial])
        )
        self.initial_texts, self.row_texts = initial, texts
        self.predicate: str | None = None
        """The code of HAVING, as `row_texts` over k, e, s and x."""
        self.row: Callable[..., list[Any]] = env.function("row", parameters, list_of(texts))
        self.change: Callable[..., list[Any] | None] = self.row
        self.passes: Callable[..., bool] = _always
        if having is not None:
            scope = ColumnTexts(node.schema.value, self.runtime.config, texts=tuple(texts))
            predicate = Compiler(scope, env).compile(having).text
            self.predicate = predicate
            self.passes = self._having("passes", parameters, f"{predicate} is True", "False")
            self.change = self._having(
                "change", parameters, f"{list_of(texts)} if {predicate} is True else None", "None"
            )

    def _having(self, name: str, parameters: str, result: str, otherwise: str) -> Callable[..., Any]:
        """The function, giving `otherwise` (and an entry in the processing log) where HAVING has no value."""
        return self.env.define(
            name,
            parameters,
            [
                "try:",
                f"    return {result}",
                f"except {self.env.bind(ROW_ERRORS, 'errors')} as error:",
                f"    {self.env.call(self.report_having, 'error', 'k', 'e', 's', 'x')}",
                f"    return {otherwise}",
            ],
        )

    def report_having(self, error: BaseException, key: tuple[Any, ...], entry: list[Any], start: int, end: int) -> None:
        """Report a group for which HAVING has no value: it does not pass."""
        self.runtime.row_error("Aggregate.HavingFilter", reason(error), self.row(key, entry, start, end))


def _cannot_fail(argument: str) -> bool:
    """Whether the text is that of a bare column or a constant."""
    return argument == "1" or (argument.startswith("v[") and argument[2:-1].isdigit())


def _always(key: tuple[Any, ...], entry: list[Any], start: int = 0, end: int = 0) -> bool:
    return True

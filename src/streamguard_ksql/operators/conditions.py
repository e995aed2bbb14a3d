"""WHERE right above a source, and the conditions that several queries over one topic have in common.

The conditions that most queries over a topic share are evaluated once for each record of a batch, for all of them. A record
that meets these is given to the rest of a query's WHERE alone; any other to the whole of it, so that what is reported
of it is the same as without sharing.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache, reduce
from typing import Any
from weakref import WeakSet

from streamguard_ksql import ast
from streamguard_ksql.codegen import Environment
from streamguard_ksql.errors import ROW_ERRORS
from streamguard_ksql.expressions.compiler import Compiler
from streamguard_ksql.expressions.scope import Scope
from streamguard_ksql.formatter import format_expression
from streamguard_ksql.operators.record import Batch
from streamguard_ksql.transform import calls, column_refs

RECORD_PARTS = "v, k, t, p, o, w, h"
"""The parameters of code over a record: stored values, key, time, partition, offset, window, header columns."""
Test = Callable[..., bool]
"""Code over RECORD_PARTS."""
CHANGING = frozenset({"RANDOM", "UUID"})
"""Functions that give another value at each call."""

_COLUMN = re.compile(r"\bv\[(\d+)\]")

_lock = threading.Lock()
_conditions: dict[object, WeakSet[Condition]] = {}
"""By kind of source, those of all queries of the process."""
_changes = 0


class Condition:
    """A WHERE over the records of a source. `kind` is one object for all sources that are read alike.

    `whole` decides on any record; `rest` on those that meet what is shared, None where that is all.
    """

    def __init__(self, predicate: ast.Expression, scope: Scope, kind: object) -> None:
        self._scope = scope
        self._kind = kind
        self._parts = ast.operands(predicate, "AND")
        self.names = [_name(part, scope) for part in self._parts]
        """For each part what it has in common with the same part of other queries; None if it cannot be shared."""
        self.whole: Test = self._test(self._parts)
        self.rest: Test | None = self.whole
        self._rest = self._parts
        self._meet: Callable[[Sequence[tuple[Any, Any, Any]]], list[bool]] | None = None
        self._shared: object = None
        self._is_shared = [False] * len(self._parts)
        self._seen = -1
        global _changes
        with _lock:
            _conditions.setdefault(kind, WeakSet()).add(self)
            _changes += 1

    def _test(self, parts: Sequence[ast.Expression]) -> Test:
        env = Environment()
        loads, text = self._local(parts, env)
        return env.define("where", RECORD_PARTS, [*loads, f"return {text}"])

    def _meeting(self, parts: Sequence[ast.Expression]) -> Callable[[Sequence[tuple[Any, Any, Any]]], list[bool]]:
        """Generated code: for each reading whether it meets parts over key and values alone; not where it cannot be read,
        and not where they fail."""
        env = Environment()
        loads, text = self._local(parts, env)
        return env.define(
            "meet",
            "readings",
            [
                "found = []",
                "add = found.append",
                "for k, v, _ in readings:",
                "    if v.__class__ is not tuple and v.__class__ is not list:",
                "        add(False)",
                "        continue",
                "    try:",
                *(f"        {line}" for line in loads),
                f"        add({text})",
                f"    except {env.bind(ROW_ERRORS, 'errors')}:",
                "        add(False)",
                "return found",
            ],
        )

    def _local(self, parts: Sequence[ast.Expression], env: Environment) -> tuple[list[str], str]:
        """A local variable for each column, most of which are looked at several times, and the condition over these."""
        text = self._text(parts, env)
        loads = [f"c{i} = v[{i}]" for i in sorted(set(_COLUMN.findall(text)))]
        return loads, _COLUMN.sub(r"c\1", text)

    def _text(self, parts: Sequence[ast.Expression], env: Environment) -> str:
        predicate = reduce(lambda left, right: ast.Logical("AND", left, right), parts)
        return f"{Compiler(self._scope, env).compile(predicate).text} is True"

    def rest_text(self, env: Environment) -> str:
        """`rest` as code over RECORD_PARTS, for a loop that needs no call for each record."""
        return self._text(self._rest, env) if self._rest else "True"

    def shared(self, batch: Batch, read: Callable[[Batch], Sequence[tuple[Any, Any, Any]]]) -> Sequence[bool] | None:
        """For each record whether it meets what is shared; None where nothing is. `read` reads a batch of the kind of source."""
        if self._seen != _changes:
            self._divide()
        if self._shared is None or self._meet is None:
            return None
        meeting, kind = self._meet, self._kind

        def meet(given: Batch) -> list[bool]:
            return meeting(given.reading(kind, read))

        found: Sequence[bool] = batch.reading(self._shared, meet)
        return found

    def _divide(self) -> None:
        """Find the parts that most other queries have too, as things are now."""
        with _lock:
            self._seen = _changes
            found = Counter(name for c in _conditions[self._kind] for name in set(c.names))
        most = max((found[name] for name in self.names if name is not None), default=0)
        is_shared = [name is not None and found[name] == most > 1 for name in self.names]
        if is_shared == self._is_shared:
            return
        self._is_shared = is_shared
        shared = [part for part, is_one in zip(self._parts, is_shared, strict=True) if is_one]
        rest = [part for part, is_one in zip(self._parts, is_shared, strict=True) if not is_one]
        self._shared = None
        if shared:
            self._meet = self._meeting(shared)
            self.rest = self._test(rest) if rest else None
            self._rest = rest
            names = [name for name, is_one in zip(self.names, is_shared, strict=True) if is_one]
            self._shared = _shared_kind(self._kind, *names)


@cache
def _shared_kind(*what: object) -> object:
    """One object for all that is equal."""
    return object()


def _name(part: ast.Expression, scope: Scope) -> object:
    """What is equal for parts that mean the same over records read alike, None for one that is not to be shared."""
    columns = {ref.name: scope.column(ref)[0] for ref in column_refs(part)}
    of_record = all(text.startswith(("v[", "(None if k is None")) for text in columns.values())
    if not of_record or any(call.name in CHANGING for call in calls(part)):
        return None
    return format_expression(part), tuple(sorted(columns.items())), _settings(scope.config)


def _settings(config: Mapping[str, Any]) -> object:
    return tuple(sorted((name, str(value)) for name, value in config.items()))

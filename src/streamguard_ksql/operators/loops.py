"""Generated code: the loop that accumulates a batch in the groups of a stream and says which rows of their table change.

All that is done for a row stands in one function, for calls would take longer than what they do. Names in it: r the record, v
its row, k its key, n what it is filed under, e the entry, o and w the row of the table before and after, at the record's
time; of windows also now, the stream time, s and x, the start and the end of the window.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from streamguard_ksql.codegen import list_of
from streamguard_ksql.errors import ROW_ERRORS
from streamguard_ksql.operators.aggregator import Aggregator
from streamguard_ksql.operators.grouping import Grouping
from streamguard_ksql.operators.record import Record

GroupLoop = Callable[..., None]
"""Of records, the table of a partition, what notes a changed entry, the groups that HAVING lets pass, and what takes results."""
WindowLoop = Callable[..., int]
"""Of records, what gives for the start of a window the table, what notes a changed entry and the groups that pass, the stream
time before, and what takes results; gives the stream time after."""


class Loops:
    """Makes the loop of an aggregation.

    `with_old`: changes have the row before; `emits`: there are changes of each row; `notes`: changed entries are noted.
    """

    def __init__(
        self, aggregator: Aggregator, grouping: Grouping, *, with_old: bool, emits: bool = True, notes: bool = True
    ) -> None:
        self._aggregator = aggregator
        self._grouping = grouping
        self._env = aggregator.env
        self._errors = aggregator.env.bind(ROW_ERRORS, "errors")
        self._with_old = with_old
        self._emits = emits
        self._notes = notes

    @property
    def notes_passing(self) -> bool:
        """Whether the loop keeps which groups pass HAVING, to know which become tombstones."""
        return self._aggregator.predicate is not None and self._emits and not self._with_old

    def of_groups(self) -> GroupLoop:
        """For GROUP BY without a window."""
        body = [*self._row(), "at = r.time", *self._entry("None")]
        return self._env.define(
            "accumulate", "records, table, note, passing, add", ["for r in records:", *_indented(body)]
        )

    def of_windows(
        self,
        size: int,
        advance: int,
        grace: int,
        late: Callable[[tuple[Any, ...], Record, int], None],
        closing: Callable[[int, int], Sequence[Record]] | None,
    ) -> WindowLoop:
        """For tumbling and hopping windows, times in milliseconds.

        `late` reports a row for a window that has closed. `closing` gives the results of windows that close as stream time goes
        from one value to another (EMIT FINAL).
        """
        env = self._env
        in_window = [
            "if s != current: (table, note, passing), current = enter(s), s",
            *self._entry("(s, x)"),
        ]
        each = [
            f"x = s + {size}",
            f"if x <= now - {grace}:",
            f"    {env.call(late, 'k', 'r', 's')}",
            "else:",
            *_indented(in_window),
        ]
        first = (
            f"at // {size} * {size}" if size == advance else f"max(0, at - {size - advance}) // {advance} * {advance}"
        )
        windows = each if size == advance else ["while s <= at:", *_indented([*each, f"s += {advance}"])]
        body = [
            *self._row(),
            "at, last = r.time, now",
            "if at > now: now = at",
            f"s = {first}",
            *windows,
            *([] if closing is None else [f"for w in {env.call(closing, 'last', 'now')}: add(w)"]),
        ]
        return env.define(
            "accumulate",
            "records, enter, now, add",
            ["current = None", "for r in records:", *_indented(body), "return now"],
        )

    def _row(self) -> list[str]:
        """The row and its key; one without goes no further."""
        keys = "".join(f"{text}," for text in self._aggregator.key_texts)
        slow = self._env.call(self._grouping.key, "v")
        return [
            "v = r.value",
            "if v is None: continue",
            "try:",
            f"    k = ({keys})",
            f"    if None in k: k = {slow}",
            f"except {self._errors}:",
            f"    k = {slow}",
            "if k is None: continue",
            f"n = {self._env.call(self._grouping.identity, 'k') if self._grouping.is_nested else 'k'}",
        ]

    def _entry(self, window: str) -> list[str]:
        """Accumulate the row in the entry of its group, and add what changes in the table."""
        aggregator, env = self._aggregator, self._env
        bounds = ("0", "0") if window == "None" else ("s", "x")
        initial = aggregator.initial_texts
        named = "None if k is n else k" if self._grouping.is_nested else "None"
        lines = ["e = table.get(n)"]
        if self._with_old:
            lines.append(f"o = None if e is None else {env.call(aggregator.change, 'k', 'e', *bounds)}")
        return [
            *lines,
            f"if e is None: e = table[n] = [at, {named}, {', '.join(initial)}]",
            *aggregator.accumulating(),
            "if at > e[0]: e[0] = at",
            *(["note(n)"] if self._notes else []),
            *(self._change(window, bounds) if self._emits else []),
        ]

    def _change(self, window: str, bounds: tuple[str, str]) -> list[str]:
        aggregator, env = self._aggregator, self._env
        row = list_of(aggregator.row_texts)
        record = env.bind(Record, "Record")
        if aggregator.predicate is None:
            old = ", o" if self._with_old else ""
            return [f"add({record}(k, {row}, e[0], {window}, r.headers{old}))"]
        failed = env.call(aggregator.report_having, "error", "k", "e", *bounds)
        decided = [
            "try:",
            f"    w = {row} if {aggregator.predicate} is True else None",
            f"except {self._errors} as error:",
            f"    {failed}",
            "    w = None",
        ]
        if self._with_old:
            return [*decided, f"if w is not None or o is not None: add({record}(k, w, e[0], {window}, r.headers, o))"]
        return [
            *decided,
            "if w is not None:",
            "    passing.add(n)",
            f"    add({record}(k, w, e[0], {window}, r.headers))",
            "elif n in passing:",
            "    passing.discard(n)",
            f"    add({record}(k, None, e[0], {window}, r.headers))",
        ]


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"    {line}" for line in lines]

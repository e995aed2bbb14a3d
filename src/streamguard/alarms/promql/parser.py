"""From the text of an expression to its tree, by descent: one function for each level of precedence."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from streamguard.alarms.promql.functions import AGGREGATIONS, FUNCTIONS
from streamguard.alarms.promql.tree import (
    Aggregation,
    Binary,
    Call,
    Expression,
    ExpressionError,
    Matcher,
    Number,
    Selector,
)

_TOKEN = re.compile(
    r"""\s*(?:\#[^\n]*\s*)*(?:
        (?P<duration>(?:\d+(?:ms|[smhdwy]))+(?![\w.]))
      | (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.])|[Ii]nf\b|NaN\b)
      | (?P<name>[a-zA-Z_:][\w:]*)
      | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<sign>=~|!~|==|!=|<=|>=|[-+*/%^<>=(){}\[\],])
      | (?P<end>$)
    )""",
    re.VERBOSE,
)
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0, "y": 31_536_000.0}
_LEVELS = (("or",), ("and", "unless"), ("==", "!=", "<=", "<", ">=", ">"), ("+", "-"), ("*", "/", "%"))
_SETS = ("or", "and", "unless")
Item = TypeVar("Item")


def duration_s(words: str) -> float:
    """`1h30m` as seconds. Raises ExpressionError."""
    parts = re.findall(r"(\d+)(ms|[smhdwy])", words)
    if not parts or "".join(number + unit for number, unit in parts) != words:
        raise ExpressionError(f"{words!r} is no duration, such as 5m or 1h30m")
    return sum(int(number) * _UNITS_S[unit] for number, unit in parts)


def parse(words: str) -> Expression:
    """The tree of an expression. Raises ExpressionError, which says where it cannot be understood."""
    return _Parser(words).whole()


class _Parser:
    def __init__(self, words: str) -> None:
        self._words, self._place = words, 0
        self._kind, self._text = "", ""
        self._next()

    def whole(self) -> Expression:
        found = self._binary(0)
        if self._kind != "end":
            raise self._wrong()
        return found

    def _next(self) -> str:
        """Go to the next token; returns the one before."""
        before, found = self._text, _TOKEN.match(self._words, self._place)
        if found is None or found.lastgroup is None:
            raise ExpressionError(f"cannot be understood from {self._words[self._place :][:30].strip()!r} on")
        self._place, self._kind, self._text = found.end(), found.lastgroup, found[found.lastgroup]
        return before

    def _wrong(self) -> ExpressionError:
        return ExpressionError(
            f"cannot be understood at {self._text or 'its end'!r}, before {self._words[self._place :]!r}"
        )

    def _take(self, text: str) -> bool:
        if self._text != text or self._kind == "text":
            return False
        self._next()
        return True

    def _need(self, text: str) -> None:
        if not self._take(text):
            raise self._wrong()

    def _binary(self, level: int) -> Expression:
        if level == len(_LEVELS):
            return self._unary()
        left = self._binary(level + 1)
        while self._text in _LEVELS[level] and self._kind in ("sign", "name"):
            made = Binary(self._next(), left, left)
            made = replace(made, is_bool=self._take("bool"))
            if self._text in ("on", "ignoring"):
                made = self._matching(made)
            left = replace(made, right=self._binary(level + 1))
        return left

    def _matching(self, made: Binary) -> Binary:
        kind, labels = self._next(), self._labels()
        made = replace(made, on=labels) if kind == "on" else replace(made, ignoring=labels)
        if self._take("group_left"):
            if made.operator in _SETS or (self._text == "(" and self._labels()):
                raise ExpressionError("group_left of a set operator, or with labels, is not understood here")
            made = replace(made, many_to_one=True)
        if self._text == "group_right":
            raise ExpressionError("group_right is not understood here: exchange the sides and use group_left")
        return made

    def _unary(self) -> Expression:
        if self._take("-"):
            return Binary("*", Number(-1.0), self._unary())
        self._take("+")
        return self._primary()

    def _primary(self) -> Expression:
        if self._kind == "number":
            return Number(float(self._next()))
        if self._take("("):
            found = self._binary(0)
            self._need(")")
            return found
        if self._kind != "name":
            if self._text == "{":
                raise ExpressionError("series without a name are not understood here")
            raise self._wrong()
        name = self._next()
        if name in AGGREGATIONS and self._text in ("(", "by", "without"):
            return self._aggregation(name)
        if self._text == "(":
            return self._call(name)
        return self._selector(name)

    def _aggregation(self, operator: str) -> Expression:
        grouping = self._grouping()
        self._need("(")
        of = self._binary(0)
        self._need(")")
        labels, without = grouping or self._grouping() or ((), False)
        return Aggregation(operator, labels, without, of)

    def _grouping(self) -> tuple[tuple[str, ...], bool] | None:
        if self._text not in ("by", "without") or self._kind != "name":
            return None
        without = self._next() == "without"
        return self._labels(), without

    def _labels(self) -> tuple[str, ...]:
        def label() -> str:
            if self._kind != "name":
                raise self._wrong()
            return self._next()

        return tuple(self._list("(", ")", label))

    def _list(self, begin: str, end: str, item: Callable[[], Item]) -> list[Item]:
        self._need(begin)
        found: list[Item] = []
        while not self._take(end):
            found.append(item())
            if self._text != end:
                self._need(",")
        return found

    def _call(self, name: str) -> Expression:
        if name not in FUNCTIONS:
            raise ExpressionError(f"the function {name} is not understood here: {', '.join(sorted(FUNCTIONS))} are")
        arguments = tuple(self._list("(", ")", lambda: self._binary(0)))
        if len(arguments) != len(FUNCTIONS[name].arguments):
            raise ExpressionError(f"{name} takes {len(FUNCTIONS[name].arguments)} arguments, not {len(arguments)}")
        return Call(name, arguments)

    def _selector(self, name: str) -> Expression:
        matchers = tuple(self._list("{", "}", self._matcher)) if self._text == "{" else ()
        found = Selector(name, matchers)
        if self._take("["):
            found = replace(found, range_s=self._duration())
            self._need("]")
        if self._take("offset"):
            found = replace(found, offset_s=self._duration())
        if self._text == "[" or self._text == "@":
            raise ExpressionError("subqueries and @ are not understood here")
        return found

    def _duration(self) -> float:
        if self._kind != "duration":
            raise self._wrong()
        return duration_s(self._next())

    def _matcher(self) -> Matcher:
        if self._kind != "name":
            raise self._wrong()
        label = self._next()
        if self._text not in ("=", "!=", "=~", "!~"):
            raise self._wrong()
        operator = self._next()
        if self._kind != "text":
            raise self._wrong()
        quoted = self._next()
        return Matcher(label, operator, re.sub(r"\\(.)", r"\1", quoted[1:-1]))

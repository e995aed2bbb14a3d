"""Signatures of SQL functions: a text as ksqlDB prints it, read into a small tree of type patterns.

    (val1 DOUBLE, val2 ANY..., k INT) -> ARRAY<S>

A parameter is an optional name (it starts in lower case, or is in backticks if it has blanks) and a type. Type
words are the SQL types (VARCHAR = STRING, INT = INTEGER), `DECIMAL` (of any precision), `ANY`, one capital letter for a
type variable, ARRAY<>, MAP<,>, STRUCT<name type, ...>, `INTERVAL UNIT` and `LAMBDA (T, ...) => R`. A parameter whose
type ends in `...` may come any number of times, also none; there is at most one, and it may be in the middle.

Source: the output of DESCRIBE FUNCTION and SHOW FUNCTIONS of ksqlDB's server.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from streamguard_ksql.types import PRIMITIVES, Primitive


@dataclass(frozen=True)
class Pattern:
    """Base of the type patterns; `str()` gives the text that ksqlDB prints."""


@dataclass(frozen=True)
class Exactly(Pattern):
    """One primitive type."""

    type: Primitive

    def __str__(self) -> str:
        return {"STRING": "VARCHAR", "INTEGER": "INT"}.get(self.type.name, self.type.name)


@dataclass(frozen=True)
class AnyDecimal(Pattern):
    """A DECIMAL of any precision and scale."""

    def __str__(self) -> str:
        return "DECIMAL"


@dataclass(frozen=True)
class Anything(Pattern):
    """Any type at all, bound to nothing."""

    def __str__(self) -> str:
        return "ANY"


@dataclass(frozen=True)
class Variable(Pattern):
    """Any type, the same wherever the variable is in the signature."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class ArrayOf(Pattern):
    item: Pattern

    def __str__(self) -> str:
        return f"ARRAY<{self.item}>"


@dataclass(frozen=True)
class MapOf(Pattern):
    key: Pattern
    value: Pattern

    def __str__(self) -> str:
        return f"MAP<{self.key}, {self.value}>"


@dataclass(frozen=True)
class StructOf(Pattern):
    fields: tuple[tuple[str, Pattern], ...]

    def __str__(self) -> str:
        return f"STRUCT<{', '.join(f'{name} {pattern}' for name, pattern in self.fields)}>"


@dataclass(frozen=True)
class IntervalUnitWord(Pattern):
    """A bare time unit: DAYS, HOURS, ..."""

    def __str__(self) -> str:
        return "INTERVAL UNIT"


@dataclass(frozen=True)
class LambdaOf(Pattern):
    parameters: tuple[Pattern, ...]
    returns: Pattern

    def __str__(self) -> str:
        return f"LAMBDA ({', '.join(map(str, self.parameters))}) => {self.returns}"


@dataclass(frozen=True)
class Parameter:
    name: str
    type: Pattern
    variadic: bool = False

    def __str__(self) -> str:
        return f"{self.type}{'...' if self.variadic else ''} {self.name}".rstrip()


@dataclass(frozen=True)
class Signature:
    """What a variant takes and gives; `str()` is the argument list as the messages of ksqlDB show it."""

    parameters: tuple[Parameter, ...]
    returns: Pattern

    @property
    def variadic(self) -> bool:
        return any(parameter.variadic for parameter in self.parameters)

    @property
    def types(self) -> tuple[tuple[Pattern, bool], ...]:
        """The parameters without their names: what makes two variants of a function different."""
        return tuple((parameter.type, parameter.variadic) for parameter in self.parameters)

    def expand(self, count: int) -> tuple[Pattern, ...] | None:
        """The pattern of each of `count` arguments, the variadic one repeated as needed; None if they do not fit."""
        if not self.variadic:
            return tuple(p.type for p in self.parameters) if count == len(self.parameters) else None
        repeats = count - (len(self.parameters) - 1)
        if repeats < 0:
            return None
        return tuple(p.type for p in self.parameters for _ in range(repeats if p.variadic else 1))

    def __str__(self) -> str:
        return f"({', '.join(map(str, self.parameters))})"


_TOKEN = re.compile(r"\s*(`[^`]*`|\w+|->|=>|\.\.\.|[<>(),])")


def parse_signature(text: str) -> Signature:
    """Read `(name TYPE, ...) -> TYPE`; ValueError if the text is not of that form."""
    reader = _Reader(text)
    reader.take("(")
    parameters = tuple(reader.listed(reader.parameter, ")"))
    reader.take("->")
    returns = reader.type()
    reader.end()
    if sum(parameter.variadic for parameter in parameters) > 1:
        raise ValueError(f"more than one variadic parameter: {text}")
    return Signature(parameters, returns)


class _Reader:
    """A recursive-descent reader over the tokens of one signature."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _TOKEN.findall(text)
        if "".join(self._tokens).replace(" ", "") != re.sub(r"\s", "", text):
            raise ValueError(f"not a signature: {text}")
        self._next = 0

    def peek(self) -> str:
        return self._tokens[self._next] if self._next < len(self._tokens) else ""

    def take(self, expected: str | None = None) -> str:
        token = self.peek()
        if not token or (expected is not None and token != expected):
            raise ValueError(f"expected {expected or 'more'} at token {self._next} of the signature {self._text}")
        self._next += 1
        return token

    def end(self) -> None:
        if self.peek():
            raise ValueError(f"unexpected {self.peek()} at the end of the signature {self._text}")

    def listed(self, read: Callable[[], Parameter], close: str) -> Iterator[Parameter]:
        """Items with commas between them, up to the closing token."""
        while self.peek() != close:
            yield read()
            if self.peek() == ",":
                self.take()
        self.take(close)

    def parameter(self) -> Parameter:
        name = ""
        if self.peek().startswith("`") or self.peek()[:1].islower():
            name = self.take().strip("`")
        pattern = self.type()
        variadic = self.peek() == "..."
        if variadic:
            self.take()
        return Parameter(name, pattern, variadic)

    def field(self) -> Parameter:
        return Parameter(self.take(), self.type())

    def type(self) -> Pattern:
        word = self.take()
        if word in PRIMITIVES:
            return Exactly(PRIMITIVES[word])
        if word == "DECIMAL":
            return AnyDecimal()
        if word == "ANY":
            return Anything()
        if len(word) == 1 and word.isupper():
            return Variable(word)
        if word == "INTERVAL":
            self.take("UNIT")
            return IntervalUnitWord()
        return self._compound(word)

    def _compound(self, word: str) -> Pattern:
        if word == "LAMBDA":
            self.take("(")
            parameters = tuple(p.type for p in self.listed(self.parameter, ")"))
            self.take("=>")
            return LambdaOf(parameters, self.type())
        if word not in ("ARRAY", "MAP", "STRUCT"):
            raise ValueError(f"{word} is no type, in the signature {self._text}")
        self.take("<")
        if word == "STRUCT":
            return StructOf(tuple((f.name, f.type) for f in self.listed(self.field, ">")))
        inner = [p.type for p in self.listed(self.parameter, ">")]
        if word == "ARRAY" and len(inner) == 1:
            return ArrayOf(inner[0])
        if word == "MAP" and len(inner) == 2:
            return MapOf(inner[0], inner[1])
        raise ValueError(f"{word} with {len(inner)} parameters, in the signature {self._text}")

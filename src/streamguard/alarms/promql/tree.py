"""What an expression consists of. Times are in seconds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

LOOKBACK_S = 300.0
"""How old the newest sample of a series may be to be its value."""


class ExpressionError(ValueError):
    """An expression that is wrong, or beyond what is understood here."""


@dataclass(frozen=True)
class Number:
    """A number."""

    value: float


@dataclass(frozen=True)
class Matcher:
    """A condition on a label: `=`, `!=`, `=~` or `!~`."""

    label: str
    operator: str
    value: str


@dataclass(frozen=True)
class Selector:
    """Series by name and labels; with `range_s` their samples of so many seconds, `offset_s` ago."""

    name: str
    matchers: tuple[Matcher, ...] = ()
    range_s: float | None = None
    offset_s: float = 0.0

    @property
    def reach_s(self) -> float:
        """How old the samples are that it may need."""
        return self.offset_s + (self.range_s or LOOKBACK_S)


@dataclass(frozen=True)
class Call:
    """A function of arguments."""

    name: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True)
class Aggregation:
    """Groups of series as one each: those that agree in `labels`, or in all others with `without`."""

    operator: str
    labels: tuple[str, ...]
    without: bool
    of: Expression


@dataclass(frozen=True)
class Binary:
    """An operation on two values. Series fit each other by all labels, by those `on`, or by all but those with `ignoring`."""

    operator: str
    left: Expression
    right: Expression
    is_bool: bool = False
    on: tuple[str, ...] | None = None
    ignoring: tuple[str, ...] = ()
    many_to_one: bool = False


Expression: TypeAlias = "Number | Selector | Call | Aggregation | Binary"


def selectors(of: Expression) -> Iterator[Selector]:
    """All selectors of an expression."""
    if isinstance(of, Selector):
        yield of
    elif isinstance(of, Call):
        for argument in of.arguments:
            yield from selectors(argument)
    elif isinstance(of, Aggregation):
        yield from selectors(of.of)
    elif isinstance(of, Binary):
        yield from selectors(of.left)
        yield from selectors(of.right)

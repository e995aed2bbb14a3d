"""Does a type fit a pattern, and which concrete type is the pattern then?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from streamguard_ksql.functions.signature import (
    AnyDecimal,
    Anything,
    ArrayOf,
    Exactly,
    LambdaOf,
    MapOf,
    Pattern,
    StructOf,
    Variable,
)
from streamguard_ksql.types import Array, Decimal, Map, SqlType, Struct, as_decimal, is_numeric
from streamguard_ksql.widening import widens, wider_decimal, wider_number


class Mismatch(Exception):
    """The type does not fit the pattern."""


@dataclass
class Bindings:
    """What the type variables of one signature are, and whether arguments may be converted to fit."""

    casts: bool
    types: dict[str, SqlType] = field(default_factory=dict)
    decimal: Decimal | None = None

    def match(self, pattern: Pattern, actual: SqlType | None) -> None:
        """Bind what the pattern leaves open; raises Mismatch. An untyped NULL (None) fits every pattern."""
        if actual is None:
            return
        if isinstance(pattern, Variable):
            self._bind(pattern.name, actual)
        elif isinstance(pattern, Exactly):
            if actual != pattern.type and not (self.casts and widens(actual, pattern.type)):
                raise Mismatch
        elif isinstance(pattern, AnyDecimal):
            self._match_decimal(actual)
        elif not isinstance(pattern, Anything):
            self._match_compound(pattern, actual)

    def _match_decimal(self, actual: SqlType) -> None:
        if not isinstance(actual, Decimal) and not (self.casts and actual.base in ("INTEGER", "BIGINT")):
            raise Mismatch
        found = as_decimal(actual)
        self.decimal = found if self.decimal is None else wider_decimal(self.decimal, found)

    def _match_compound(self, pattern: Pattern, actual: SqlType) -> None:
        if isinstance(pattern, ArrayOf) and isinstance(actual, Array):
            self._match_inside(pattern.item, actual.item)
        elif isinstance(pattern, MapOf) and isinstance(actual, Map):
            self._match_inside(pattern.key, actual.key)
            self._match_inside(pattern.value, actual.value)
        elif isinstance(pattern, StructOf) and isinstance(actual, Struct):
            for name, field_pattern in pattern.fields:
                self._match_inside(field_pattern, actual.field(name) or _no_field())
        else:
            raise Mismatch

    def _match_inside(self, pattern: Pattern, actual: SqlType) -> None:
        """Elements of collections are never converted, only bound."""
        casts, self.casts = self.casts, False
        try:
            self.match(pattern, actual)
        finally:
            self.casts = casts

    def _bind(self, name: str, actual: SqlType) -> None:
        bound = self.types.get(name)
        if bound is None or bound == actual:
            self.types[name] = actual
        elif self.casts and is_numeric(bound) and is_numeric(actual) and not _is_inexact(bound, actual):
            self.types[name] = wider_number(bound, actual)
        elif not (self.casts and widens(actual, bound)) or _is_inexact(bound, actual):
            raise Mismatch

    def concrete(self, pattern: Pattern, actual: SqlType | None = None) -> SqlType | None:
        """The type that the pattern is; None for an ANY or an unbound variable: that is decided by the argument."""
        if isinstance(pattern, Exactly):
            return pattern.type
        if isinstance(pattern, AnyDecimal):
            return self.decimal
        if isinstance(pattern, Variable):
            return self.types.get(pattern.name, actual)
        if isinstance(pattern, ArrayOf):
            item = self.concrete(pattern.item)
            return Array(item) if item else actual
        if isinstance(pattern, MapOf):
            key, value = self.concrete(pattern.key), self.concrete(pattern.value)
            return Map(key, value) if key and value else actual
        if isinstance(pattern, StructOf):
            fields = [(name, self.concrete(inner)) for name, inner in pattern.fields]
            known = tuple((name, found) for name, found in fields if found)
            return Struct(known) if len(known) == len(fields) else actual
        return actual

    def lambda_parameters(self, pattern: LambdaOf) -> tuple[SqlType | None, ...]:
        return tuple(self.concrete(parameter) for parameter in pattern.parameters)


def _is_inexact(left: SqlType, right: SqlType) -> bool:
    """A DECIMAL and a DOUBLE: neither becomes the other by itself."""
    return {left.base, right.base} == {"DECIMAL", "DOUBLE"}


def has_variables(pattern: Pattern) -> bool:
    """Whether a type variable is in a pattern."""
    match pattern:
        case Variable():
            return True
        case ArrayOf(item):
            return has_variables(item)
        case MapOf(key, value):
            return has_variables(key) or has_variables(value)
        case LambdaOf(parameters, returns):
            return any(map(has_variables, (*parameters, returns)))
    return False


def _no_field() -> SqlType:
    raise Mismatch


def variables(patterns: Sequence[Pattern]) -> int:
    """How many of the patterns are open (a variable or ANY on top): the fewer, the closer the match."""
    return sum(isinstance(pattern, Variable | Anything) for pattern in patterns)

"""Which variant of a function a call means.

1. Variants whose parameters are exactly the arguments' types; if there is none,
2. variants that fit once arguments are converted as ksqlDB does by itself (see `widening.widens`): more than one such
   variant is refused as ambiguous. Arguments of aggregates are never converted: AVG of a DECIMAL is refused.

Within each step a variant without a variadic parameter goes before one with, and one of plain types before one with
type variables. An untyped NULL fits every parameter. Lambdas are typed last: the caller is asked for the type of a
lambda's body once the types of its parameters are known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streamguard_ksql.errors import KsqlError
from streamguard_ksql.functions.matching import Bindings, Mismatch, has_variables, variables
from streamguard_ksql.functions.registry import FUNCTIONS, Function, Resolved, Variant
from streamguard_ksql.functions.signature import IntervalUnitWord, LambdaOf, Pattern, Variable
from streamguard_ksql.text import type_text
from streamguard_ksql.types import BIGINT, SqlType
from streamguard_ksql.widening import widens


@dataclass(frozen=True)
class LambdaType:
    """Among the argument types: a lambda with so many parameters."""

    arity: int

    def __str__(self) -> str:
        return "LAMBDA"


@dataclass(frozen=True)
class IntervalUnitType:
    """Among the argument types: a bare time unit (at run time: its name in upper case, plural)."""

    def __str__(self) -> str:
        return "INTERVAL UNIT"


INTERVAL_UNIT = IntervalUnitType()

ArgumentType = SqlType | LambdaType | IntervalUnitType | None
TypeLambda = Callable[[int, tuple[SqlType | None, ...]], SqlType | None]
"""`type_lambda(argument index, parameter types)` gives the type of the lambda's body; it may raise KsqlError."""


@dataclass(frozen=True)
class _Candidate:
    variant: Variant
    patterns: tuple[Pattern, ...]
    bindings: Bindings


def find(name: str) -> Function:
    """The function of that name (any case); KsqlError if there is none."""
    function = FUNCTIONS.get(name.upper())
    if function is None:
        raise KsqlError(f"Can't find any functions with the name '{name}'")
    return function


def resolve(
    name: str,
    arguments: Sequence[ArgumentType],
    literals: Mapping[int, Any] | None = None,
    type_lambda: TypeLambda | None = None,
) -> Resolved:
    """The variant of function `name` for arguments of these types; `literals` has the constant ones by position.

    COUNT without arguments is COUNT(*): it resolves as COUNT of a BIGINT, and takes any value that is not NULL.
    Raises KsqlError if there is no such function, if no variant fits, or if several do once arguments are converted.
    """
    function = find(name)
    if function.name == "COUNT" and not arguments:
        arguments = (BIGINT,)
    candidate = _choose(function, arguments)
    if function.kind == "SCALAR":
        _refuse_untyped(candidate, arguments)
    try:
        return _resolved(function, candidate, arguments, literals or {}, type_lambda)
    except Mismatch:
        raise _refused(function, arguments) from None


def _refuse_untyped(candidate: _Candidate, arguments: Sequence[ArgumentType]) -> None:
    """A bare NULL says nothing of the types of a generic function: ksqlDB fails to infer them, without many words."""
    if not any(has_variables(pattern) for pattern in candidate.patterns):
        return
    for pattern, argument in zip(candidate.patterns, arguments, strict=True):
        if argument is None:
            raise KsqlError(f"null value in entry: {pattern}=null" if isinstance(pattern, Variable) else "")


def _choose(function: Function, arguments: Sequence[ArgumentType]) -> _Candidate:
    exact = _closest(_candidates(function, arguments, casts=False))
    if exact:
        return exact[0]
    converted = [] if function.kind == "AGGREGATE" else _closest(_candidates(function, arguments, casts=True))
    if not converted:
        raise _refused(function, arguments)
    if len(converted) > 1:
        types = ", ".join(map(_type_text, arguments))
        calls = "\n".join(_alternatives(function))
        raise KsqlError(
            f"Function '{_spelt(function)}' cannot be resolved due to ambiguous method parameters ({types}).\n"
            f"Use CAST() to explicitly cast your parameters to one of the supported function calls.\n"
            f"Valid function calls are:\n{calls}\n{_DETAILS}"
        )
    return converted[0]


def _candidates(function: Function, arguments: Sequence[ArgumentType], *, casts: bool) -> list[_Candidate]:
    found = []
    for variant in function.variants:
        patterns = variant.signature.expand(len(arguments))
        if patterns is None:
            continue
        bindings = Bindings(casts)
        try:
            for pattern, argument in zip(patterns, arguments, strict=True):
                _match(bindings, pattern, argument)
        except Mismatch:
            continue
        found.append(_Candidate(variant, patterns, bindings))
    return found


def _match(bindings: Bindings, pattern: Pattern, argument: ArgumentType) -> None:
    if isinstance(pattern, LambdaOf):
        if not isinstance(argument, LambdaType) or argument.arity != len(pattern.parameters):
            raise Mismatch
    elif isinstance(pattern, IntervalUnitWord) or isinstance(argument, IntervalUnitType):
        if not (isinstance(pattern, IntervalUnitWord) and isinstance(argument, IntervalUnitType)):
            raise Mismatch
    elif isinstance(argument, LambdaType):
        raise Mismatch
    else:
        bindings.match(pattern, argument)


def _closest(candidates: list[_Candidate]) -> list[_Candidate]:
    """The best of the candidates: not variadic before variadic, then the fewest open parameters."""

    def distance(candidate: _Candidate) -> tuple[bool, int]:
        return candidate.variant.signature.variadic, variables(candidate.patterns)

    best = min(map(distance, candidates), default=None)
    return [candidate for candidate in candidates if distance(candidate) == best]


def _resolved(
    function: Function,
    best: _Candidate,
    arguments: Sequence[ArgumentType],
    literals: Mapping[int, Any],
    type_lambda: TypeLambda | None,
) -> Resolved:
    bindings, variant = best.bindings, best.variant
    lambdas: dict[int, tuple[tuple[SqlType | None, ...], SqlType | None]] = {}
    for index, pattern in enumerate(best.patterns):
        if isinstance(pattern, LambdaOf):
            parameter_types = bindings.lambda_parameters(pattern)
            body = type_lambda(index, parameter_types) if type_lambda else None
            _match_body(bindings, pattern, body)
            lambdas[index] = (parameter_types, bindings.concrete(pattern.returns, body))
    plain = [a if isinstance(a, SqlType) else None for a in arguments]
    parameters = tuple(a and bindings.concrete(p, a) for p, a in zip(best.patterns, plain, strict=True))
    rule = variant.returns_rule
    returns = rule(parameters, literals) if rule else bindings.concrete(variant.signature.returns)
    return Resolved(function, variant, returns, parameters, lambdas)


def _match_body(bindings: Bindings, pattern: LambdaOf, body: SqlType | None) -> None:
    """A lambda's body has to give the type asked for, or one that widens to it; else it settles that type."""
    wanted = bindings.concrete(pattern.returns)
    if wanted is None:
        bindings.match(pattern.returns, body)
    elif body is not None and body != wanted and not widens(body, wanted):
        given = ", ".join(_type_text(bindings.concrete(parameter)) for parameter in pattern.parameters)
        raise KsqlError(
            f"Cannot infer generics for {pattern} from LAMBDA ({given}) => {_type_text(body)} because they do not have "
            "the same schema structure."
        )


def _refused(function: Function, arguments: Sequence[ArgumentType]) -> KsqlError:
    types = ", ".join(map(_type_text, arguments))
    alternatives = "\n".join(_alternatives(function))
    return KsqlError(
        f"Function '{_spelt(function)}' does not accept parameters ({types}).\nValid alternatives are:\n"
        f"{alternatives}\n{_DETAILS}"
    )


_DETAILS = "For detailed information on a function run: DESCRIBE FUNCTION <Function-Name>;"
_SPELT = {name.upper(): name for name in ("Abs", "Ceil", "Floor", "Round", "IFNULL", "NULLIF", "COALESCE")}
"""Functions whose own name is not in lower case; some are recorded, the others of their kind."""


def _spelt(function: Function) -> str:
    return _SPELT.get(function.name, function.name.lower())


def _alternatives(function: Function) -> list[str]:
    """The variants, named in capitals if they are scalar."""
    name = function.name if function.kind == "SCALAR" else function.name.lower()
    return [f"{name}{variant.signature}" for variant in function.variants]


def _type_text(argument: ArgumentType) -> str:
    return type_text(argument) if argument is None or isinstance(argument, SqlType) else str(argument)

"""Signatures, and which variant of a function a call means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from streamguard_ksql.errors import KsqlError
from streamguard_ksql.functions.registry import FUNCTIONS, CallSite, bind, scalar
from streamguard_ksql.functions.resolve import INTERVAL_UNIT, ArgumentType, LambdaType, resolve
from streamguard_ksql.functions.signature import parse_signature
from streamguard_ksql.types import (
    BIGINT,
    BOOLEAN,
    BYTES,
    DATE,
    DOUBLE,
    INTEGER,
    STRING,
    TIMESTAMP,
    Array,
    Decimal,
    Map,
    SqlType,
)


@pytest.mark.parametrize(
    "text",
    [
        "() -> DOUBLE",
        "(val1 DOUBLE, val2 ANY..., k INT) -> ARRAY<S>",
        "(map MAP<K, V>, biFunction LAMBDA (K, V) => BOOLEAN) -> MAP<K, V>",
        "(map MAP<VARCHAR, INT>, sorted BOOLEAN) -> ARRAY<STRUCT<K VARCHAR, V INT>>",
        "(unit INTERVAL UNIT, interval INT, date DATE) -> DATE",
        "(`input STRING to be masked` VARCHAR, `digit mask, or NULL` VARCHAR) -> VARCHAR",
    ],
)
def test_a_signature_prints_as_it_was_written(text: str) -> None:
    signature = parse_signature(text)
    parameters = ", ".join(
        f"{'`' if ' ' in p.name else ''}{p.name}{'`' if ' ' in p.name else ''} {p.type}{'...' if p.variadic else ''}"
        for p in signature.parameters
    )
    assert f"({parameters}) -> {signature.returns}" == text


@pytest.mark.parametrize(
    "text", ["", "(INT)", "(INT -> INT", "(a INT..., b INT...) -> INT", "(a ARRAY<INT, INT>) -> INT", "(a FOO) -> INT"]
)
def test_what_is_no_signature(text: str) -> None:
    with pytest.raises(ValueError):
        parse_signature(text)


D42, D53 = Decimal(4, 2), Decimal(5, 3)
CHOICES: list[tuple[str, list[SqlType | None], list[SqlType | None], SqlType | None]] = [
    ("ABS", [INTEGER], [INTEGER], INTEGER),
    ("ABS", [D42], [D42], D42),
    ("SQRT", [D42], [DOUBLE], DOUBLE),
    ("ROUND", [Decimal(33, 16)], [Decimal(33, 16)], Decimal(17, 0)),
    ("ROUND", [Decimal(33, 16), INTEGER], [Decimal(33, 16), INTEGER], Decimal(33, 16)),
    ("GEO_DISTANCE", [DOUBLE, INTEGER, BIGINT, D42], [DOUBLE] * 4, DOUBLE),
    ("COALESCE", [D42, D53], [D53, D53], D53),
    ("IFNULL", [INTEGER, DOUBLE], [DOUBLE, DOUBLE], DOUBLE),
    ("GREATEST", [D42, D53], [D53, D53], D53),
    ("LEAST", [INTEGER, BIGINT, D42, DOUBLE, None], [DOUBLE] * 4 + [None], DOUBLE),
    ("GREATEST", [TIMESTAMP, None, STRING], [TIMESTAMP, None, TIMESTAMP], TIMESTAMP),
    ("ARRAY_CONTAINS", [Array(BIGINT), INTEGER], [Array(BIGINT), BIGINT], BOOLEAN),
    ("EXPLODE", [Array(D42)], [Array(D42)], D42),
    ("EXPLODE", [Array(STRING)], [Array(STRING)], STRING),
    ("CONCAT", [BYTES, None, BYTES], [BYTES, None, BYTES], BYTES),
    ("AS_MAP", [Array(STRING), Array(DOUBLE)], [Array(STRING), Array(DOUBLE)], Map(STRING, DOUBLE)),
    ("SUM", [Decimal(10, 3)], [Decimal(10, 3)], Decimal(10, 3)),
    ("UNIX_TIMESTAMP", [], [], BIGINT),
    ("DATEADD", [INTERVAL_UNIT, INTEGER, STRING], [None, INTEGER, DATE], DATE),  # type: ignore[list-item]
]


@pytest.mark.parametrize(("name", "arguments", "parameters", "returns"), CHOICES)
def test_choice(
    name: str, arguments: Sequence[Any], parameters: Sequence[SqlType | None], returns: SqlType | None
) -> None:
    resolved = resolve(name, arguments)
    assert (resolved.parameters, resolved.returns) == (tuple(parameters), returns)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("NOFUNC", [], "Can't find any functions with the name 'NOFUNC'"),
        (
            "EXPLODE",
            [Map(STRING, INTEGER)],
            "Function 'explode' does not accept parameters (MAP<STRING, INTEGER>).\nValid alternatives are:\n"
            "explode(ARRAY<DECIMAL> input)\nexplode(ARRAY<T> list)",
        ),
        ("LEAST", [], "Function 'least' does not accept parameters ()."),
        ("LEAST", [STRING, INTEGER], "Function 'least' does not accept parameters (STRING, INTEGER)."),
        ("LEAST", [INTEGER, BIGINT, Decimal(50, 30)], "ambiguous method parameters (INTEGER, BIGINT, DECIMAL(50, 30))"),
        ("GREATEST", [D42, INTEGER], "ambiguous method parameters (DECIMAL(4, 2), INTEGER)"),
        ("AVG", [D42], "Function 'avg' does not accept parameters (DECIMAL(4, 2))."),
        ("TOPK", [DATE, INTEGER], "Function 'topk' does not accept parameters (DATE, INTEGER)."),
        ("DATESUB", [DATE, INTEGER, DATE], "Function 'datesub' does not accept parameters (DATE, INTEGER, DATE)."),
        ("TRANSFORM", [Array(INTEGER), INTEGER], "does not accept parameters (ARRAY<INTEGER>, INTEGER)"),
        ("IFNULL", [INTEGER, STRING], "does not accept parameters (INTEGER, STRING)"),
    ],
)
def test_refusal(name: str, arguments: Sequence[Any], message: str) -> None:
    with pytest.raises(KsqlError) as refusal:
        resolve(name, arguments)
    assert message in refusal.value.message


def test_a_lambda_is_typed_once_its_parameters_are() -> None:
    asked = []

    def type_lambda(index: int, parameters: tuple[SqlType | None, ...]) -> SqlType | None:
        asked.append((index, parameters))
        return DOUBLE if index == 2 else STRING

    resolved = resolve("TRANSFORM", [Map(STRING, INTEGER), LambdaType(2), LambdaType(2)], type_lambda=type_lambda)
    assert asked == [(1, (STRING, INTEGER)), (2, (STRING, INTEGER))]
    assert resolved.returns == Map(STRING, DOUBLE)
    assert resolved.lambdas == {1: ((STRING, INTEGER), STRING), 2: ((STRING, INTEGER), DOUBLE)}


@pytest.mark.parametrize("arguments", [[None, BIGINT, INTEGER], [None, None]])
def test_a_null_literal_tells_coalesce_no_type(arguments: list[ArgumentType]) -> None:
    with pytest.raises(KsqlError, match="null value in entry: T=null"):
        resolve("COALESCE", arguments)


def test_the_body_of_a_reduction_has_to_fit_its_state() -> None:
    arguments: list[ArgumentType] = [Array(INTEGER), DOUBLE, LambdaType(2)]
    assert resolve("REDUCE", arguments, type_lambda=lambda *_: INTEGER).lambdas[2] == ((DOUBLE, INTEGER), DOUBLE)
    with pytest.raises(KsqlError, match="Cannot infer generics"):
        resolve("REDUCE", arguments, type_lambda=lambda *_: STRING)


def test_null_never_reaches_a_body_that_does_not_ask_for_it() -> None:
    resolved = resolve("LPAD", [STRING, INTEGER, STRING])
    body = bind(resolved, CallSite(resolved.parameters, resolved.returns))
    assert body("a", 3, "-") == "--a"
    assert body(None, 3, "-") is None and body("a", None, "-") is None


def test_a_clock_can_be_passed_in() -> None:
    resolved = resolve("UNIX_TIMESTAMP", [])
    assert bind(resolved, CallSite((), BIGINT, now_ms=lambda: 42))() == 42


def test_a_function_is_registered_once() -> None:
    with pytest.raises(ValueError, match="registered twice"):
        scalar("UCASE", "(text VARCHAR) -> VARCHAR", category="STRING")(str.upper)
    assert len(FUNCTIONS["UCASE"].variants) == 1

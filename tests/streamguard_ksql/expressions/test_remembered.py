"""Conditions that are answered from memory: the same answers as without, each asked once, in bounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard_ksql.codegen import Code, Environment
from streamguard_ksql.errors import EvaluationError
from streamguard_ksql.expressions import remembered
from streamguard_ksql.expressions.compiler import Compiler
from streamguard_ksql.expressions.scope import Scope
from streamguard_ksql.parser import parse_expression
from streamguard_ksql.schema import Column
from streamguard_ksql.types import INTEGER, STRING

SCOPE = Scope((Column("A", STRING), Column("B", STRING), Column("N", INTEGER)))
KNOWN = "INSTR('EUR USD GBP', UCASE(a)) % 4 = 1"


class WithoutMemory(Compiler):
    """Asks every condition each time."""

    def _remembered(self, *conditions: Any, op: str = "AND") -> Code | None:
        return None


def condition(sql: str, kind: type[Compiler] = Compiler) -> Callable[[Sequence[Any]], Any]:
    return kind(SCOPE).function(parse_expression(sql))


def answer(function: Callable[[Sequence[Any]], Any], row: Sequence[Any]) -> Any:
    try:
        return function(row)
    except EvaluationError as error:
        return str(error)


def asked(sql: str) -> list[str]:
    """The generated functions that conditions are asked by."""
    env = Environment()
    made: list[str] = []
    define = env.define

    def spy(name: str, parameters: str, statements: Sequence[str]) -> Callable[..., Any]:
        made.extend([name] if name == "remembered" else [])
        return define(name, parameters, statements)

    env.define = spy  # type: ignore[method-assign]
    Compiler(SCOPE, env).compile(parse_expression(sql))
    return made


@pytest.mark.parametrize(
    ("sql", "count"),
    [
        (KNOWN, 1),
        (f"LEN(UCASE(a)) = 3 AND {KNOWN}", 1),
        (f"n > 3 AND LEN(a) = 3 AND {KNOWN} AND b = 'x'", 1),
        (f"{KNOWN} AND n > 3 AND (b IS NULL OR (LEN(b) = 2 AND INSTR('DE', b) > 0))", 2),
        (f"CASE WHEN {KNOWN} THEN 1 ELSE n END = 1", 1),
        ("a LIKE 'x%' OR a LIKE 'y%'", 1),
        ("LEN(a) = 3", 0),
        ("INSTR(UCASE(a), UCASE(b)) = 1", 0),
        ("LEN(UCASE(a)) = n", 0),
        ("LEN(UCASE(a)) > RANDOM()", 0),
        ("LEN(UCASE(a)) > UNIX_TIMESTAMP()", 0),
        ("ARRAY_LENGTH(FILTER(ARRAY[UCASE(a)], x => LEN(x) > 1)) > 0", 0),
        ("ABS(ABS(n)) = 3", 0),
    ],
)
def test_what_is_remembered(sql: str, count: int) -> None:
    assert len(asked(sql)) == count


ASKED = [
    KNOWN,
    f"LEN(UCASE(a)) = 3 AND {KNOWN}",
    f"(a IS NULL OR (LEN(a) = 3 AND {KNOWN})) AND n > 0",
    f"NOT ({KNOWN}) OR LEN(TRIM(a)) = 0",
    f"CASE WHEN {KNOWN} THEN 'known' WHEN LEN(TRIM(a)) = 0 THEN 'empty' ELSE b END",
    "a LIKE 'E%' OR a LIKE '%D'",
    "NOT (a LIKE 'E%' AND a LIKE '%R')",
    "CAST(SUBSTRING(TRIM(a), 2) AS INT) > 3",
    "CAST(TRIM(LCASE(a)) AS INT) + n > 3",
]
TEXTS = st.sampled_from(["EUR", "eur", "USD", "xxx", "", " ", "é", "x12", "x1x", "EUR" * 30, None])


@pytest.mark.parametrize("sql", ASKED)
@given(rows=st.lists(st.tuples(TEXTS, TEXTS, st.sampled_from([0, 5, None])), min_size=1, max_size=20))
def test_the_answers_are_the_same(sql: str, rows: list[tuple[Any, ...]]) -> None:
    function, plain = condition(sql), condition(sql, WithoutMemory)
    assert [answer(function, row) for row in rows] == [answer(plain, row) for row in rows]


def test_memory_is_bounded() -> None:
    answers = remembered.Answers()
    for number in range(2 * remembered.VALUES):
        assert answers.keep(str(number), True)
    assert answers.keep("x" * (remembered.LONGEST + 1), True)
    assert len(answers) == remembered.VALUES and max(map(len, answers)) <= remembered.LONGEST

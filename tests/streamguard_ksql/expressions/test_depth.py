"""Long and deep expressions: chains of any length have a value, and what is nested too deep is refused with the limit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streamguard_ksql import ast
from streamguard_ksql.errors import KsqlError, SqlSyntaxError
from streamguard_ksql.expressions.compiler import Compiler
from streamguard_ksql.expressions.scope import Scope
from streamguard_ksql.formatter import format_expression
from streamguard_ksql.parser import parse_expression, parse_type
from streamguard_ksql.parsing.size import DEPTH_LIMIT, PARTS_LIMIT
from streamguard_ksql.schema import Column
from streamguard_ksql.transform import column_refs, expressions, rewrite
from streamguard_ksql.types import DOUBLE, INTEGER, STRING

ROW = (7, "x", 1.5, None)
SCOPE = Scope((Column("N", INTEGER), Column("S", STRING), Column("D", DOUBLE), Column("MISSING", INTEGER)))
Kind = tuple[Callable[[int], str], Callable[[int], Any]]
CHAINS: dict[str, Kind] = {
    "OR": (lambda n: " OR ".join(f"n = {i + 8}" for i in range(n)), lambda n: False),
    "OR, last": (lambda n: " OR ".join(f"n = {i}" for i in range(8, 7 + n)) + " OR n = 7", lambda n: True),
    "AND": (lambda n: " AND ".join(f"n < {i + 8}" for i in range(n)), lambda n: True),
    "+": (lambda n: " + ".join(["n"] * n), lambda n: 7 * n),
    "+ and -": (lambda n: "n" + " + n - 1" * n, lambda n: 7 + 6 * n),
    "+ of DOUBLE": (lambda n: " + ".join(["d"] * n), lambda n: 1.5 * n),
    "+ of STRING": (lambda n: " + ".join(["s"] * n), lambda n: "x" * n),
    "+ with NULL": (lambda n: " + ".join(["n"] * (n - 1)) + " + missing", lambda n: None),
    "parentheses": (lambda n: "(" * n + "n" + ")" * n, lambda n: 7),
    "IN": (lambda n: f"n IN ({', '.join(map(str, range(n)))})", lambda n: True),
    "WHEN": (lambda n: "CASE " + " ".join(f"WHEN n < {i - n} THEN {i}" for i in range(n)) + " ELSE 5 END", lambda n: 5),
    "ARRAY": (lambda n: f"ARRAY_LENGTH(ARRAY[{', '.join(['n'] * n)}])", lambda n: n),
    "arguments": (lambda n: f"CONCAT({', '.join(['s'] * n)})", lambda n: "x" * n),
}
NESTED: dict[str, Kind] = {
    "NOT": (lambda n: "NOT " * n + "n = 7", lambda n: n % 2 == 0),
    "minus": (lambda n: "- " * n + "n", lambda n: 7 * (-1) ** n),
    "OR to the right": (lambda n: "(n = 1 OR " * n + "n = 7" + ")" * n, lambda n: True),
    "+ to the right": (lambda n: "(n + " * n + "n" + ")" * n, lambda n: 7 * (n + 1)),
    "CASE in THEN": (lambda n: "CASE WHEN n = 7 THEN " * n + "n" + " ELSE 0 END" * n, lambda n: 7),
    "CASE in ELSE": (lambda n: "CASE WHEN n = 1 THEN 0 ELSE " * n + "n" + " END" * n, lambda n: 7),
    "functions": (lambda n: "ABS(" * n + "-n" + ")" * n, lambda n: 7),
    "CAST": (lambda n: "CAST(" * n + "n" + " AS BIGINT)" * n, lambda n: 7),
    "subscripts": (lambda n: "ARRAY[" * n + "n" + "]" * n + "[1]" * n, lambda n: 7),
    "STRUCT": (lambda n: "STRUCT(a := " * n + "n" + ")" * n + "->a" * n, lambda n: 7),
    "MAP": (lambda n: "MAP('a' := " * n + "n" + ")" * n + "['a']" * n, lambda n: 7),
    "lambdas": (
        lambda n: "REDUCE(ARRAY[1], n, (s, x) => s + " * n + "0" + ")" * n,
        lambda n: 7 * n,
    ),
}


def evaluate(sql: str) -> Any:
    return Compiler(SCOPE).function(parse_expression(sql))(ROW)


@pytest.mark.parametrize("length", [10, 11, 50, 199, 1000, 5000, pytest.param(20_000, marks=pytest.mark.soak)])
@pytest.mark.parametrize("kind", CHAINS)
def test_a_chain_of_any_length_has_a_value(kind: str, length: int) -> None:
    text, expected = CHAINS[kind]
    if kind == "WHEN" and length * 10 >= PARTS_LIMIT:
        length = 10_000
    assert evaluate(text(length)) == expected(length)


@pytest.mark.parametrize("depth", [2, 10, 19, 20, 21, 22, 50, 120])
@pytest.mark.parametrize("kind", NESTED)
def test_what_is_nested_has_a_value(kind: str, depth: int) -> None:
    text, expected = NESTED[kind]
    if kind == "lambdas":
        depth = min(depth, 60)
    assert evaluate(text(depth)) == expected(depth)


@pytest.mark.parametrize("depth", [240, DEPTH_LIMIT, 1000, pytest.param(20_000, marks=pytest.mark.soak)])
@pytest.mark.parametrize("kind", NESTED)
def test_what_is_nested_too_deep_is_refused_with_the_limit(kind: str, depth: int) -> None:
    text, expected = NESTED[kind]
    try:
        assert evaluate(text(depth)) == expected(depth)
        assert depth < DEPTH_LIMIT
    except SqlSyntaxError as error:
        assert f"nested deeper than {DEPTH_LIMIT} levels" in error.message


def test_a_type_that_is_nested_too_deep_is_refused_with_the_limit() -> None:
    parse_type("ARRAY<" * 200 + "INT" + ">" * 200)
    with pytest.raises(SqlSyntaxError, match=f"deeper than {DEPTH_LIMIT}"):
        parse_type("ARRAY<" * 300 + "INT" + ">" * 300)


def test_a_statement_that_is_too_large_is_refused_with_the_limit() -> None:
    with pytest.raises(SqlSyntaxError, match=f"more than {PARTS_LIMIT} columns"):
        parse_expression(f"n IN ({', '.join(['1'] * PARTS_LIMIT)})")


def test_operands_that_double_at_each_level_are_refused() -> None:
    """The operand of a CASE is evaluated for each WHEN."""
    depth = 40
    with pytest.raises(KsqlError, match="more than 300000 parts"):
        evaluate("CASE " * depth + "n" + " WHEN 1 THEN 1 WHEN 7 THEN 7 END" * depth)


def test_visitors_follow_a_chain_without_recursion() -> None:
    tree = parse_expression(" OR ".join(f"(n + {i} - 1 = {i})" for i in range(5000)))
    other = parse_expression(" OR ".join(f"(n + {i} - 1 = {i})" for i in range(5000)))
    assert tree == other and hash(tree) == hash(other) and {tree: 1}[other] == 1
    assert tree != parse_expression(" OR ".join(f"(n + {i} - 1 = {i})" for i in range(1, 5001)))
    assert sum(1 for _ in expressions(tree)) == 5000 * 7 + 4999
    assert [ref.name for ref in column_refs(tree)] == ["N"] * 5000
    renamed = rewrite(tree, lambda e, bound: ast.ColumnRef("M") if isinstance(e, ast.ColumnRef) else None)
    assert format_expression(renamed) == format_expression(tree).replace("N +", "M +")
    assert rewrite(tree, lambda e, bound: None) is tree

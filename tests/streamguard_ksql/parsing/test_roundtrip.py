"""What is printed reads back as the same tree, for unusual trees too."""

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard_ksql import ast, types
from streamguard_ksql.formatter import format_expression, format_type
from streamguard_ksql.parser import parse_expression, parse_type

_QUOTED = [
    "_X",
    "1A",
    "lower",
    "two words",
    "ti`ck",
    'quo"te',
    "GROUP",
    "NULL",
    "ARRAY",
    "ALL",
    "END",
    "WINDOW",
    "DAYS",
    "AT",
    "É",
    "",
]
_PLAIN = ["A", "B_1", "X@Y", "MAP", "STRUCT", "SOURCE", "ESCAPE", "TIMESTAMP", "DAY", "ADD", "ALTER"]
NAMES = st.sampled_from(_PLAIN + _QUOTED)


def _integer(value: int) -> ast.Literal:
    return ast.Literal(value, types.INTEGER if types.INT_MIN <= value <= types.INT_MAX else types.BIGINT)


def _decimal(value: Decimal) -> ast.Literal:
    _, digits, exponent = value.as_tuple()
    scale = -int(exponent)
    return ast.Literal(value, types.Decimal(max(len(digits), scale, 1), scale))


LITERALS = st.one_of(
    st.just(ast.Literal(None, None)),
    st.booleans().map(lambda value: ast.Literal(value, types.BOOLEAN)),
    st.integers(types.BIGINT_MIN, types.BIGINT_MAX).map(_integer),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda value: ast.Literal(value, types.DOUBLE)),
    st.decimals(-(10**12), 10**12, places=3).map(_decimal),
    st.text().map(lambda value: ast.Literal(value, types.STRING)),
)

TYPES = st.recursive(
    st.one_of(
        st.sampled_from(list(types.PRIMITIVES.values())),
        st.builds(types.Decimal, st.integers(1, 38), st.integers(0, 38)),
        st.sampled_from(["ADDRESS", "lower"]).map(types.Named),
    ),
    lambda inner: st.one_of(
        st.builds(types.Array, inner),
        st.builds(types.Map, inner, inner),
        st.lists(st.tuples(NAMES, inner), max_size=3).map(lambda fields: types.Struct(tuple(fields))),
    ),
    max_leaves=8,
)


def _compound(inner: st.SearchStrategy[ast.Expression]) -> st.SearchStrategy[ast.Expression]:
    some = st.lists(inner, min_size=1, max_size=3).map(tuple)
    no_number = inner.filter(lambda node: not (isinstance(node, ast.Literal) and types.is_numeric(node.type)))
    comparisons = ["=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"]
    params = st.lists(NAMES, min_size=1, max_size=3, unique=True).map(tuple)
    whens = st.lists(st.builds(ast.WhenClause, inner, inner), min_size=1, max_size=2).map(tuple)
    arguments = st.lists(inner | st.builds(ast.LambdaFunction, params, inner), max_size=3).map(tuple)
    return st.one_of(
        st.builds(ast.Dereference, inner, NAMES),
        st.builds(ast.Subscript, inner, inner),
        st.builds(ast.FunctionCall, st.sampled_from(["ABS", "COUNT", "MY FUNCTION"]), arguments),
        st.builds(lambda arg: ast.FunctionCall("DATEADD", (ast.IntervalUnit("DAYS"), arg)), inner),
        st.builds(ast.Cast, inner, TYPES),
        st.builds(ast.Arithmetic, st.sampled_from("+-*/%"), inner, inner),
        st.builds(ast.Negation, st.sampled_from("+-"), no_number),
        st.builds(ast.Comparison, st.sampled_from(comparisons), inner, inner),
        st.builds(ast.Logical, st.sampled_from(["AND", "OR"]), inner, inner),
        st.builds(ast.Not, inner),
        st.builds(ast.IsNull, inner, st.booleans()),
        st.builds(ast.InList, inner, some),
        st.builds(ast.Between, inner, inner, inner),
        st.builds(ast.Like, inner, inner, st.none() | st.text(max_size=2)),
        st.builds(ast.Case, st.none() | inner, whens, st.none() | inner),
        st.builds(ast.CreateArray, st.just(()) | some),
        st.builds(ast.CreateMap, st.lists(st.tuples(inner, inner), max_size=2).map(tuple)),
        st.builds(ast.CreateStruct, st.lists(st.tuples(NAMES, inner), max_size=2).map(tuple)),
    )


EXPRESSIONS = st.recursive(LITERALS | st.builds(ast.ColumnRef, NAMES, st.none() | NAMES), _compound, max_leaves=10)


@settings(max_examples=400, deadline=None)
@given(EXPRESSIONS)
def test_expressions(expression: ast.Expression) -> None:
    assert parse_expression(format_expression(expression)) == expression


@settings(max_examples=100, deadline=None)
@given(TYPES)
def test_types(sql_type: types.SqlType) -> None:
    assert parse_type(format_type(sql_type)) == sql_type

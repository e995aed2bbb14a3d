"""Every variant of every scalar function, called with any values: the result has the type of the signature.

NULLs are among the values, and so are borders. A row may have no result (a row error), but nothing else may be raised.
"""

from __future__ import annotations

import decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamguard_ksql.ast import UNIT_MS
from streamguard_ksql.errors import ROW_ERRORS
from streamguard_ksql.functions.registry import FUNCTIONS, CallSite, Function, Variant, bind
from streamguard_ksql.functions.resolve import INTERVAL_UNIT, resolve
from streamguard_ksql.functions.signature import (
    AnyDecimal,
    Anything,
    ArrayOf,
    Exactly,
    IntervalUnitWord,
    LambdaOf,
    MapOf,
    Pattern,
    Variable,
)
from streamguard_ksql.types import (
    BIGINT_MAX,
    BIGINT_MIN,
    INT_MAX,
    INT_MIN,
    STRING,
    Array,
    Decimal,
    Map,
    SqlType,
    Struct,
)

DECIMAL = Decimal(12, 3)
TEXTS = st.sampled_from(
    [
        "",
        "a",
        "\ud83d",
        "$1",
        "%zz",
        "a\\",
        "Ab 1$",
        "yyyy-MM-dd",
        "2020-01-01",
        "UTC",
        '{"a": [1]}',
        "[1]",
        "$.a",
        "(a)",
        ",",
    ]
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "BOOLEAN": st.booleans(),
    "INTEGER": st.integers(-40, 40) | st.sampled_from([INT_MIN, INT_MAX]),
    "BIGINT": st.integers(-40, 40) | st.sampled_from([BIGINT_MIN, BIGINT_MAX]),
    "DOUBLE": st.floats(),
    "DECIMAL": st.integers(-(10**12) + 1, 10**12 - 1).map(lambda n: decimal.Decimal(n).scaleb(-3)),
    "STRING": st.text(max_size=8) | TEXTS,
    "BYTES": st.binary(max_size=16),
    "DATE": st.integers(-(10**6), 10**6),
    "TIME": st.integers(0, 86_399_999),
    "TIMESTAMP": st.integers(-(10**14), 10**15),
}


def concrete(pattern: Pattern) -> SqlType:
    """A type that fits the pattern; variables and ANY are strings."""
    if isinstance(pattern, Exactly):
        return pattern.type
    if isinstance(pattern, AnyDecimal):
        return DECIMAL
    if isinstance(pattern, ArrayOf):
        return Array(concrete(pattern.item))
    if isinstance(pattern, MapOf):
        return Map(concrete(pattern.key), concrete(pattern.value))
    assert isinstance(pattern, Variable | Anything)
    return STRING


def values(sql_type: SqlType) -> st.SearchStrategy[Any]:
    if isinstance(sql_type, Array):
        return st.none() | st.lists(values(sql_type.item), max_size=4)
    if isinstance(sql_type, Map):
        return st.none() | st.dictionaries(VALUES[sql_type.key.base], values(sql_type.value), max_size=3)
    return st.none() | VALUES[sql_type.base]


def is_of(value: Any, sql_type: SqlType | None) -> bool:
    if value is None or sql_type is None:
        return True
    if isinstance(sql_type, Array):
        return isinstance(value, list) and all(is_of(item, sql_type.item) for item in value)
    if isinstance(sql_type, Map):
        return isinstance(value, dict) and all(is_of(v, sql_type.value) for v in value.values())
    if isinstance(sql_type, Struct):
        return isinstance(value, dict) and all(is_of(value[name], t) for name, t in sql_type.fields)
    if isinstance(sql_type, Decimal):
        return isinstance(value, decimal.Decimal) and value.as_tuple().exponent == -sql_type.scale
    kinds = {"BOOLEAN": bool, "DOUBLE": float, "STRING": str, "BYTES": bytes}
    if sql_type.base in kinds:
        return type(value) is kinds[sql_type.base]
    low, high = (INT_MIN, INT_MAX) if sql_type.base in ("INTEGER", "DATE", "TIME") else (BIGINT_MIN, BIGINT_MAX)
    return type(value) is int and low <= value <= high


VARIANTS = [
    pytest.param(function, variant, id=f"{name}{variant.signature}")
    for name, function in sorted(FUNCTIONS.items())
    if function.kind == "SCALAR"
    for variant in function.variants
    if not any(isinstance(p.type, LambdaOf) for p in variant.signature.parameters)
]


@pytest.mark.parametrize(("function", "variant"), VARIANTS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_the_result_has_its_type(function: Function, variant: Variant, data: st.DataObject) -> None:
    patterns = [p.type for p in variant.signature.parameters for _ in range(2 if p.variadic else 1)]
    types = [INTERVAL_UNIT if isinstance(p, IntervalUnitWord) else concrete(p) for p in patterns]
    resolved = resolve(function.name, types)
    body = bind(resolved, CallSite(resolved.parameters, resolved.returns))
    arguments = [data.draw(values(t) if isinstance(t, SqlType) else st.sampled_from(sorted(UNIT_MS))) for t in types]
    try:
        result = body(*arguments)
    except ROW_ERRORS:
        return
    assert is_of(result, resolved.returns), f"{arguments} -> {result!r}, not {resolved.returns}"

"""Dealing with NULL: COALESCE, IFNULL, NULLIF; and AS_VALUE."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamguard_ksql.functions.registry import CallSite, scalar
from streamguard_ksql.ordering import identity_of

CONDITIONAL = "CONDITIONAL"


@scalar("COALESCE", "(first T, others T...) -> T", category=CONDITIONAL, nulls="pass",
        description="The first argument that is not NULL.")  # fmt: skip
def coalesce(*values: Any) -> Any:
    for value in values:
        if value is not None:
            return value
    return None


@scalar("IFNULL", "(expression T, altValue T) -> T", category=CONDITIONAL, nulls="pass",
        description="The expression, or the alternative if the expression is NULL.")  # fmt: skip
def if_null(expression: Any, alternative: Any) -> Any:
    return alternative if expression is None else expression


@scalar("NULLIF", "(expr1 T, expr2 T) -> T", category=CONDITIONAL, nulls="pass", bind=True,
        description="NULL if both are equal, else the first.")  # fmt: skip
def bind_null_if(site: CallSite) -> Callable[[Any, Any], Any]:
    key = identity_of(site.returns)
    if key is None:
        return lambda first, second: None if first == second else first
    return lambda first, second: None if key(first) == key(second) else first


@scalar("AS_VALUE", "(keyColumn T) -> T", category="OTHER", nulls="pass",
        description="A copy of a key column, for the value of the record.")  # fmt: skip
def as_value(key: Any) -> Any:
    return key

"""Dealing with NULL: COALESCE, IFNULL, NULLIF; and AS_VALUE."""

from __future__ import annotations

from typing import Any

from streamguard_ksql.functions.registry import scalar

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


@scalar("NULLIF", "(expr1 T, expr2 T) -> T", category=CONDITIONAL, nulls="pass",
        description="NULL if both are equal, else the first.")  # fmt: skip
def null_if(first: Any, second: Any) -> Any:
    return None if first == second else first


@scalar("AS_VALUE", "(keyColumn T) -> T", category="OTHER", nulls="pass",
        description="A copy of a key column, for the value of the record.")  # fmt: skip
def as_value(key: Any) -> Any:
    return key

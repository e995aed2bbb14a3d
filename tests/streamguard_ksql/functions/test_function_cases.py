"""SQL expressions and their values, a file per family in `cases/`.

A case is `sql` with a `value` (BYTES in base64, DECIMAL as text, NaN and infinities by their Java names), with
`refused`, a part of the message with which the expression is not accepted at all, or with `error`, a part of the reason
for which this row has no value.
"""

from __future__ import annotations

import base64
import decimal
import json
import math
from pathlib import Path
from typing import Any

import pytest

from streamguard_ksql.errors import ROW_ERRORS, KsqlError
from streamguard_ksql.expressions.compiler import Compiler
from streamguard_ksql.expressions.scope import Scope
from streamguard_ksql.java import double_to_string
from streamguard_ksql.parser import parse_expression

CASES = [
    pytest.param(case, id=f"{path.stem}: {case['sql']}")
    for path in sorted((Path(__file__).parent / "cases").glob("*.json"))
    for case in json.loads(path.read_text(encoding="utf-8"))
]


def shown(value: Any) -> Any:
    """A value as the case files write it."""
    if isinstance(value, list):
        return [shown(item) for item in value]
    if isinstance(value, dict):
        return {key: shown(item) for key, item in value.items()}
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, decimal.Decimal):
        return str(value)
    return double_to_string(value) if isinstance(value, float) and not math.isfinite(value) else value


def evaluate(sql: str) -> Any:
    return Compiler(Scope(())).function(parse_expression(sql))(())


@pytest.mark.parametrize("case", CASES)
def test_case(case: dict[str, Any]) -> None:
    if "refused" in case:
        with pytest.raises(KsqlError) as refusal:
            evaluate(case["sql"])
        assert case["refused"] in str(refusal.value)
    elif "error" in case:
        with pytest.raises(ROW_ERRORS) as error:
            evaluate(case["sql"])
        assert case["error"] in str(error.value)
    else:
        value = shown(evaluate(case["sql"]))
        assert value == case["value"] and type(value) is type(case["value"])

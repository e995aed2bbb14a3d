"""How large the values may be that functions make: small arguments must not make values that take all memory."""

from __future__ import annotations

from typing import Any

from streamguard_ksql.errors import EvaluationError
from streamguard_ksql.limits import SERIES_LIMIT, TEXT_LIMIT


def check_text(function: str, size: int) -> None:
    """EvaluationError for a text of so many characters, or so many bytes, where that is more than the limit."""
    if size > TEXT_LIMIT:
        raise EvaluationError(f"{function} gives at most {TEXT_LIMIT} characters")


def check_array(function: str, size: int) -> None:
    """EvaluationError for an array or map of so many elements, where that is more than the limit."""
    if size > SERIES_LIMIT:
        raise EvaluationError(f"{function} gives at most {SERIES_LIMIT} elements")


def check_value(function: str, value: Any) -> None:
    """`check_text` or `check_array` of a value, whichever it is."""
    if isinstance(value, (str, bytes)):
        check_text(function, len(value))
    elif isinstance(value, (list, dict)):
        check_array(function, len(value))

"""Case, trimming, padding, joining and replacing of strings and bytes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, AnyStr

from streamguard_ksql import java
from streamguard_ksql.codegen import Expression
from streamguard_ksql.errors import EvaluationError
from streamguard_ksql.functions.registry import CallSite, scalar
from streamguard_ksql.functions.sizes import check_text
from streamguard_ksql.limits import TEXT_LIMIT
from streamguard_ksql.own_values import joined

STRING = "STRING"
SUM_OF_TEXTS = 20
_WORD = re.compile(r"[^ \t\n\x0b\f\r]+[ \t\n\x0b\f\r]*")


scalar("LCASE", "(input VARCHAR) -> VARCHAR", category=STRING, description="The string in lower case.")(
    Expression("{text}.lower()", "text")
)
scalar("UCASE", "(input VARCHAR) -> VARCHAR", category=STRING, description="The string in upper case.")(
    Expression("{text}.upper()", "text")
)


@scalar(
    "INITCAP",
    "(str VARCHAR) -> VARCHAR",
    category=STRING,
    description="Each word with a capital first letter and the rest in lower case.",
)
def initial_capitals(text: str) -> str:
    """White space behind a word is kept as it is, that at the beginning is left out."""
    return "".join([_capital(word[0]) + word[1:].lower() for word in _WORD.findall(text)])


def _capital(letter: str) -> str:
    """Beyond the basic plane it stays as it is."""
    return letter.upper() if letter <= "\uffff" else letter


@scalar(
    "TRIM",
    "(input VARCHAR) -> VARCHAR",
    category=STRING,
    description="The string without blanks and control characters at both ends.",
)
def trim(text: str) -> str:
    return text.strip(java.SPACE)


scalar("LEN", "(input VARCHAR) -> INT", category=STRING, description="The number of characters, or of bytes.")(
    # In UTF-16 units, as Java counts: an emoji has two.
    Expression("len({t}) if {t}.isascii() else len({t}.encode('utf-16-le', 'surrogatepass')) // 2", "t")
)


@scalar("LEN", "(input BYTES) -> INT", category=STRING)
def bytes_length(value: bytes) -> int:
    return len(value)


@scalar(
    "CONCAT",
    "(inputs VARCHAR...) -> VARCHAR",
    category=STRING,
    nulls="pass",
    bind=True,
    description="All inputs in a row; NULLs are left out.",
)
def bind_concat(site: CallSite) -> Callable[..., str]:
    """One sum of texts, where they are not many."""
    names = [f"text{i}" for i in range(len(site.types))]
    if not 0 < len(names) <= SUM_OF_TEXTS:
        return _concatenated
    return Expression(" + ".join(f"({{{name}}} or '')" for name in names), *names)


def _concatenated(*inputs: str | None) -> str:
    return "".join([text for text in inputs if text is not None])


@scalar("CONCAT", "(inputs BYTES...) -> BYTES", category=STRING, nulls="pass")
def concat_bytes(*inputs: bytes | None) -> bytes:
    return joined(b"", [value for value in inputs if value is not None])


def _check_inputs(count: int) -> None:
    if count < 2:
        raise EvaluationError("Function Concat_WS expects at least two input arguments.")


@scalar(
    "CONCAT_WS",
    "(inputs VARCHAR...) -> VARCHAR",
    category=STRING,
    nulls="pass",
    description="All inputs but the first in a row, with the first as separator; NULLs are left out.",
)
def concat_with_separator(*inputs: str | None) -> str | None:
    _check_inputs(len(inputs))
    separator, *values = inputs
    return None if separator is None else separator.join([value for value in values if value is not None])


@scalar("CONCAT_WS", "(inputs BYTES...) -> BYTES", category=STRING, nulls="pass")
def concat_bytes_with_separator(*inputs: bytes | None) -> bytes | None:
    _check_inputs(len(inputs))
    separator, *values = inputs
    return None if separator is None else joined(separator, [value for value in values if value is not None])


@scalar(
    "REPLACE",
    "(str VARCHAR, oldStr VARCHAR, newStr VARCHAR) -> VARCHAR",
    category=STRING,
    description="The string with every occurrence of one text replaced by another.",
)
def replace(text: str, old: str, new: str) -> str:
    if len(new) > len(old):
        check_text("REPLACE", len(text) + text.count(old) * (len(new) - len(old)))
    return text.replace(old, new) if old else java.from_units(java.units(text).replace("", new))


def _padded(value: Any, target: int, padding: Any, join: Callable[[Any, Any], Any]) -> Any:
    """Lengths of strings are in UTF-16 units."""
    if isinstance(value, str) and not (value.isascii() and padding.isascii()):
        value, padding = java.units(value), java.units(padding)
        filling = _padding(value, target, padding)
        return None if filling is None else java.from_units(join(filling, value[:target]))
    filling = _padding(value, target, padding)
    return None if filling is None else join(filling, value[:target])


def _padding(value: AnyStr, target: int, padding: AnyStr) -> AnyStr | None:
    """What is missing to the target length; None if no result is possible."""
    if target < 0 or not padding:
        return None
    if target > TEXT_LIMIT:
        raise EvaluationError(f"cannot pad to more than {TEXT_LIMIT}")
    missing = max(0, target - len(value))
    return (padding * (missing // len(padding) + 1))[:missing]


@scalar(
    "LPAD",
    "(input VARCHAR, targetLen INT, padding VARCHAR) -> VARCHAR",
    "(input BYTES, targetLen INT, padding BYTES) -> BYTES",
    category=STRING,
    description="The input padded at its beginning, or cut, to a length.",
)
def pad_left(value: Any, target: int, padding: Any) -> Any:
    return _padded(value, target, padding, lambda filling, kept: filling + kept)


@scalar(
    "RPAD",
    "(input VARCHAR, targetLen INT, padding VARCHAR) -> VARCHAR",
    "(input BYTES, targetLen INT, padding BYTES) -> BYTES",
    category=STRING,
    description="The input padded at its end, or cut, to a length.",
)
def pad_right(value: Any, target: int, padding: Any) -> Any:
    return _padded(value, target, padding, lambda filling, kept: kept + filling)


@scalar(
    "ELT",
    "(n INT, args VARCHAR...) -> VARCHAR",
    category=STRING,
    nulls="pass",
    description="The n-th of the other arguments, from 1; NULL if there are not that many.",
)
def element(n: int | None, *values: str | None) -> str | None:
    return values[n - 1] if n is not None and 1 <= n <= len(values) else None


@scalar(
    "FIELD",
    "(str VARCHAR, args VARCHAR...) -> INT",
    category=STRING,
    nulls="pass",
    description="The place, from 1, of the string among the other arguments; 0 if it is not there.",
)
def place(text: str | None, *values: str | None) -> int:
    return values.index(text) + 1 if text is not None and text in values else 0

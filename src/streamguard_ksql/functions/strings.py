"""Case, trimming, padding, joining and replacing of strings and bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import AnyStr

from streamguard_ksql import java
from streamguard_ksql.codegen import Expression
from streamguard_ksql.errors import EvaluationError
from streamguard_ksql.functions.registry import CallSite, scalar
from streamguard_ksql.functions.sizes import check_text
from streamguard_ksql.limits import TEXT_LIMIT

STRING = "STRING"
SUM_OF_TEXTS = 20


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
    """Words are the text between white space, which is kept as it is."""
    letters = list(text.lower())
    for index, letter in enumerate(letters):
        if index == 0 or letters[index - 1].isspace():
            letters[index] = letter.upper()
    return "".join(letters)


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
    return b"".join([value for value in inputs if value is not None])


def _join(inputs: tuple[AnyStr | None, ...]) -> AnyStr | None:
    if len(inputs) < 2:
        raise EvaluationError("Function Concat_WS expects at least two input arguments.")
    separator = inputs[0]
    if separator is None:
        return None
    return separator.join([value for value in inputs[1:] if value is not None])


@scalar(
    "CONCAT_WS",
    "(inputs VARCHAR...) -> VARCHAR",
    category=STRING,
    nulls="pass",
    description="All inputs but the first in a row, with the first as separator; NULLs are left out.",
)
def concat_with_separator(*inputs: str | None) -> str | None:
    return _join(inputs)


@scalar("CONCAT_WS", "(inputs BYTES...) -> BYTES", category=STRING, nulls="pass")
def concat_bytes_with_separator(*inputs: bytes | None) -> bytes | None:
    return _join(inputs)


@scalar(
    "REPLACE",
    "(str VARCHAR, oldStr VARCHAR, newStr VARCHAR) -> VARCHAR",
    category=STRING,
    description="The string with every occurrence of one text replaced by another.",
)
def replace(text: str, old: str, new: str) -> str:
    if len(new) > len(old):
        check_text("REPLACE", len(text) + text.count(old) * (len(new) - len(old)))
    return text.replace(old, new)


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
def pad_left(value: AnyStr, target: int, padding: AnyStr) -> AnyStr | None:
    filling = _padding(value, target, padding)
    return None if filling is None else filling + value[:target]


@scalar(
    "RPAD",
    "(input VARCHAR, targetLen INT, padding VARCHAR) -> VARCHAR",
    "(input BYTES, targetLen INT, padding BYTES) -> BYTES",
    category=STRING,
    description="The input padded at its end, or cut, to a length.",
)
def pad_right(value: AnyStr, target: int, padding: AnyStr) -> AnyStr | None:
    filling = _padding(value, target, padding)
    return None if filling is None else value[:target] + filling


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

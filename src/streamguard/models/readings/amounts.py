"""Amounts as people write them: separators of two kinds, signs in three places, a currency before or behind.

A text is read exactly or not at all. Which separator is the decimal one is a property of the column (`AmountForm`): in
`1.234` alone it cannot be seen, so `guess_decimal` looks at many values and says if none of them tells.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from streamguard.models.iso import CURRENCIES
from streamguard.models.readings.currencies import SIGNS

Separator = Literal[".", ","]

_SPACES = re.compile("[\\s\u00a0\u2009\u202f'\u2019]+")
_SPLIT = re.compile("\\d[\\s\u00a0\u2009\u202f'\u2019]+(?!\\d{3}(?!\\d))\\d")
_PLAIN = re.compile(r"\d+(?:\.\d*)?|\.\d+")
_EXPONENT = re.compile(r"(?:\d+(?:\.\d*)?|\.\d+)[eE][+-]?\d{1,3}")
_POINT = re.compile(r"(?:\d+|\d{1,3}(?:,\d{2,3})*,\d{3})?(?:\.\d*)?")
_COMMA = re.compile(r"(?:\d+|\d{1,3}(?:\.\d{2,3})*\.\d{3})?(?:,\d*)?")
_SIGNS_AND_CODES = sorted([*SIGNS, *CURRENCIES, "$", "¥", "kr", "Rs", "Rs."], key=len, reverse=True)
_MONEY = "|".join(re.escape(sign) for sign in _SIGNS_AND_CODES)
_MARKED = re.compile(
    rf"(?P<before>{_MONEY})?(?P<digits>[+-]?[\d.,]*?(?:[eE][+-]?\d+)?)(?P<behind>{_MONEY})?", re.IGNORECASE
)
_SIDE = re.compile(r"(.*[\d)])([dc])r\.?", re.IGNORECASE)
_AROUND = re.compile(rf"({_MONEY})?\(([^()]*)\)({_MONEY})?", re.IGNORECASE)
_CODE_OF = {**{sign.lower(): code for sign, code in SIGNS.items()}, **{code.lower(): code for code in CURRENCIES}}


@dataclass(frozen=True, slots=True)
class AmountForm:
    """How a column writes amounts. `minor` counts cents (or what the currency has for them); `sign` is what becomes of it.

    `sign`: "keep" leaves it (below 0 is then no payment), "drop" takes the absolute value, "flip" turns it round, for
    statements in which what was spent is negative.
    """

    decimal: Separator = "."
    minor: bool = False
    sign: Literal["keep", "drop", "flip"] = "keep"


def amount_reader(form: AmountForm) -> Callable[[Any], tuple[Decimal, str | None]]:
    """A function from a value to the exact amount and the currency written beside it, None where none is.

    Numbers of JSON and Parquet are read as they are. The sign is treated as `form` says; minor units are left to whoever
    knows the currency. The function raises ValueError for what is no amount in this form.
    """
    sign = form.sign
    read = _point if form.decimal == "." else _comma

    def amount(value: Any) -> tuple[Decimal, str | None]:
        if type(value) is str:
            number, code = read(value)
        else:
            number, code = _number(value), None
        if sign != "keep":
            number = abs(number) if sign == "drop" else -number
        return number, code

    return amount


def guess_decimal(values: Iterable[Any]) -> Separator | None:
    """The decimal separator of a column, None if its texts could be read either way. Values that are no text tell nothing.

    A column without any separator is read with a point.
    """
    point = comma = unclear = 0
    for value in values:
        if not isinstance(value, str):
            continue
        _, digits, _ = _taken_apart(value)
        last = max(digits.rfind("."), digits.rfind(","))
        if last < 0 or _EXPONENT.fullmatch(digits):
            continue
        mark, places = digits[last], len(digits) - last - 1
        if digits.count(mark) > 1:
            mark = "," if mark == "." else "."
        elif digits.count(".") + digits.count(",") == 1 and places == 3 and 0 < last <= 3 and digits[0] != "0":
            unclear += 1
            continue
        point, comma = point + (mark == "."), comma + (mark == ",")
    if point or comma:
        return "." if point >= comma else ","
    return None if unclear else "."


def is_negative(value: Any) -> bool:
    """Whether an amount, written in any form, is below 0: by its sign, in brackets, or a debit (DR)."""
    if isinstance(value, str):
        negative, digits, _ = _taken_apart(value)
        return negative and any(character in "123456789" for character in digits)
    return isinstance(value, int | float | Decimal) and value < 0


def _number(value: Any) -> Decimal:
    """A number that was not a text; raises ValueError."""
    kind = type(value)
    if kind is int or kind is Decimal:
        number = Decimal(value)
    elif kind is float:
        number = Decimal(repr(value))
    else:
        raise ValueError("amount is empty" if value is None else f"amount {value!r} is no number")
    if not number.is_finite():
        raise ValueError(f"amount {value!r} is no number")
    return number


def _point(text: str) -> tuple[Decimal, str | None]:
    if _PLAIN.fullmatch(text):
        return Decimal(text), None
    return _any(text, _POINT, ",", ".")


def _comma(text: str) -> tuple[Decimal, str | None]:
    return _any(text, _COMMA, ".", ",")


def _any(text: str, grouped: re.Pattern[str], group: str, decimal: str) -> tuple[Decimal, str | None]:
    """An amount with all that may stand around its digits; raises ValueError."""
    negative, digits, code = _taken_apart(text)
    if _SPLIT.search(text):
        raise ValueError(f"amount {text!r} is no number: a space or apostrophe between digits groups three of them")
    if _EXPONENT.fullmatch(digits):
        number = Decimal(digits)
    elif any(map(str.isdigit, digits)) and grouped.fullmatch(digits):
        number = Decimal(digits.replace(group, "").replace(decimal, "."))
    elif not text.strip():
        raise ValueError("amount is empty")
    else:
        raise ValueError(
            f"amount {text!r} is no number with {'a point' if decimal == '.' else 'a comma'} before the decimals"
        )
    return (-number if negative else number), code


def _taken_apart(text: str) -> tuple[bool, str, str | None]:
    """Whether it is negative, its digits with their separators, and the currency written beside them.

    What is no amount comes back as its own digits, for the caller to refuse.
    """
    bare = _SPACES.sub("", text).replace("\u2212", "-")
    negative = False
    if side := _SIDE.fullmatch(bare):
        # Debit and credit, as banks write them behind an amount.
        bare, negative = side[1], side[2].lower() == "d"
    if around := _AROUND.fullmatch(bare):
        bare = f"({around[1] or ''}{around[2]}{around[3] or ''})"
    if bare.startswith("(") and bare.endswith(")"):
        bare, negative = bare[1:-1], not negative
    if bare[-1:] in ("-", "+") and len(bare) > 1:
        negative, bare = negative ^ (bare[-1] == "-"), bare[:-1]
    before, bare = _sign(bare)
    found = _MARKED.fullmatch(bare)
    if found is None:
        return negative, bare, None
    inner, digits = _sign(found["digits"])
    mark = found["before"] or found["behind"]
    return negative ^ before ^ inner, digits, _CODE_OF.get(mark.lower()) if mark else None


def _sign(text: str) -> tuple[bool, str]:
    return (text[0] == "-", text[1:]) if text[:1] in ("-", "+") else (False, text)

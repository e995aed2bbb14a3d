"""The field types that the record models share: each is a type, its limits, and the message for what is outside of them.

The limits are those of the database the records end in (no NUL in text, money as NUMERIC(15,2), instants that a
timestamp can hold): what passes here can be stored, so a bad record is rejected when it is decoded and never inside a batch.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Annotated, Any

from pydantic import AfterValidator, Field, PlainSerializer, PlainValidator

from streamguard.models.iso import COUNTRIES, CURRENCIES

CENT = Decimal("0.01")
MAX_AMOUNT = Decimal(10) ** 13
"""Amounts are below this, in units of the currency: the limit of NUMERIC(15, 2)."""
MAX_TIME_MS = 253_402_300_800_000
"""Epoch milliseconds of the year 10000: the first instant we refuse."""


def _number(value: Any) -> Decimal:
    """A JSON number as the decimal that was written; `bool` and `str` are no numbers. Raises ValueError."""
    kind = type(value)
    if kind is float:
        number = Decimal(repr(value))
    elif kind is int or kind is Decimal:
        number = Decimal(value)
    else:
        raise ValueError(f"a JSON number is expected, not {_json_name(value)}")
    if not number.is_finite():
        raise ValueError("a finite number is expected")
    return number


def _json_name(value: object) -> str:
    """The JSON name of a value's type, for messages that a person reads."""
    names = {bool: "a boolean", str: "a string", list: "an array", dict: "an object", type(None): "null"}
    return names.get(type(value), type(value).__name__)


def _to_cents(number: Decimal) -> Decimal:
    """Round to two places. Raises ValueError for what NUMERIC(15, 2) cannot hold."""
    if abs(number) >= MAX_AMOUNT:
        raise ValueError(f"below {MAX_AMOUNT} is expected")
    try:
        return number.quantize(CENT, rounding=ROUND_HALF_EVEN)
    except InvalidOperation:  # pragma: no cover - unreachable below MAX_AMOUNT, kept for a changed decimal context
        raise ValueError("two decimal places are expected") from None


def exact_amount(value: Any) -> Decimal:
    """A transaction's amount: a number above 0 with at most two decimal places. Raises ValueError."""
    number = _number(value)
    if number <= 0:
        raise ValueError("an amount above 0 is expected")
    cents = _to_cents(number)
    if cents != number:
        raise ValueError("at most two decimal places are expected")
    return cents


def summed_amount(value: Any) -> Decimal | None:
    """An alert's amount: may be absent, and is rounded, for ksqlDB adds DOUBLEs (0.1 + 0.2 = 0.30000000000000004)."""
    return None if value is None else _to_cents(_number(value))


def _known_currency(code: str) -> str:
    if code not in CURRENCIES:
        raise ValueError("an ISO 4217 currency code is expected")
    return code


def _known_country(code: str) -> str:
    if code not in COUNTRIES:
        raise ValueError("an ISO 3166 alpha-2 country code is expected")
    return code


# Postgres cannot store NUL in text.
_NO_NUL = r"^[^\x00]*$"

_as_json_number = PlainSerializer(float, return_type=float, when_used="json")

Amount = Annotated[Decimal, PlainValidator(exact_amount), _as_json_number]
SummedAmount = Annotated[
    Decimal | None,
    PlainValidator(summed_amount),
    PlainSerializer(lambda v: None if v is None else float(v), return_type=float | None, when_used="json"),
]
Identifier = Annotated[str, Field(min_length=1, max_length=255, pattern=_NO_NUL)]
AlertId = Annotated[str, Field(min_length=1, max_length=320, pattern=_NO_NUL)]
"""Made of a rule's name, an identifier and a time: long enough for the longest, short enough for an index of Postgres."""
Text = Annotated[str, Field(max_length=255, pattern=_NO_NUL)]
Currency = Annotated[str, AfterValidator(_known_currency)]
Country = Annotated[str, AfterValidator(_known_country)]
INSTANT = "epoch milliseconds"
"""Marks a whole number as a time: the database keeps it as a timestamp."""
EpochMs = Annotated[int, Field(ge=0, lt=MAX_TIME_MS), INSTANT]
Latitude = Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)]
Longitude = Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)]

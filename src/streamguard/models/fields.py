"""The field types that the record models share: each is a type, its limits, and the message for what is outside of them.

The limits are those of the database the records end in (no NUL in text, money as NUMERIC(19,4), instants that a
timestamp can hold): what passes here can be stored, so a bad record is rejected when it is decoded and never inside a batch.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from types import NoneType
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, Field, PlainSerializer, PlainValidator
from pydantic_core import PydanticCustomError

from streamguard.models.amounts import in_coins
from streamguard.models.diagnosis import not_finite
from streamguard.models.iso import COUNTRIES, CURRENCIES, places

MAX_AMOUNT = Decimal(10) ** 12
"""The amount of a transaction is below this, in units of its currency."""
MAX_SUM = Decimal(10) ** 15
"""The amount of an alert, a sum perhaps, is below this: the limit of NUMERIC(19, 4)."""
MAX_ID_LENGTH = 255
"""In UTF-16 units, as SQL's LEN counts."""
MIN_TIME_MS = 100_000_000_000
"""Epoch milliseconds of 3 March 1973: the first instant of a transaction. Seconds of our days are below it."""
MAX_TIME_MS = 253_402_300_800_000
"""Epoch milliseconds of the year 10000: the first instant we refuse."""

_YEAR_2100_MS = 4_102_444_800_000
_CENT = Decimal("0.01")


def _number(value: Any) -> Decimal:
    """A JSON number as the decimal that was written; `bool` and `str` are no numbers. Raises ValueError."""
    kind = type(value)
    if kind is float:
        number = Decimal(repr(value))
    elif kind is Decimal:
        number = value
    elif kind is int:
        number = Decimal(value)
    else:
        raise ValueError(f"a JSON number is expected, not {_json_name(value)}")
    if not number.is_finite():
        raise ValueError(not_finite(float(number)))
    return number


def _json_name(value: object) -> str:
    """The JSON name of a value's type, for messages that a person reads."""
    names = {bool: "a boolean", str: "a string", list: "an array", dict: "an object", type(None): "null"}
    return names.get(type(value), type(value).__name__)


def _below(limit: Decimal, number: Decimal) -> Decimal:
    if abs(number) >= limit:
        raise ValueError(f"below {limit} is expected")
    return number


def exact_amount(value: Any) -> Decimal:
    """A transaction's amount as it was written: a number above 0, with two decimal places or more. Raises ValueError.

    Whether its currency has so many is for `check_places`.
    """
    number = _number(value)
    if number <= 0:
        raise ValueError("an amount above 0 is expected")
    if _below(MAX_AMOUNT, number).same_quantum(_CENT):
        return number
    cents = number.quantize(_CENT, rounding=ROUND_HALF_EVEN)
    return cents if cents == number else number


def check_places(amount: Decimal, currency: str) -> None:
    """Raise an error on the field `amount` that has more decimal places than its currency."""
    if amount != in_coins(amount, currency):
        about = {"field": "amount", "currency": currency, "count": places(currency) or "no"}
        raise PydanticCustomError("decimal_places", "{currency} has {count} decimal places", about)


def summed_amount(value: Any) -> Decimal | None:
    """An alert's amount, with two to four decimal places: may be absent, and is rounded.

    ksqlDB adds DOUBLEs (0.1 + 0.2 = 0.30000000000000004), and an alert does not name its currency.
    """
    if value is None:
        return None
    return _below(MAX_SUM, in_coins(_below(MAX_SUM, _number(value)), None))


def time_unit(number: int, latest_ms: int) -> str | None:
    """The unit that makes an instant between 1973 and `latest_ms` of a number that is no such instant in milliseconds."""
    units = {"seconds": number * 1_000, "microseconds": number // 1_000, "nanoseconds": number // 1_000_000}
    return next((unit for unit, time_ms in units.items() if MIN_TIME_MS <= time_ms <= latest_ms), None)


def looks_like(unit: str) -> str:
    """The message for a time in another unit."""
    return f"looks like {unit}: epoch milliseconds are expected"


def _in_our_days(time_ms: int) -> int:
    if MIN_TIME_MS <= time_ms < MAX_TIME_MS:
        return time_ms
    if unit := time_unit(time_ms, _YEAR_2100_MS):
        raise ValueError(looks_like(unit))
    raise ValueError("epoch milliseconds between March 1973 and the year 9999 are expected")


def _known_currency(code: str) -> str:
    """The code in upper case, as SQL's UCASE writes it. Raises ValueError."""
    if code in CURRENCIES:
        return code
    if (upper := code.upper()) not in CURRENCIES:
        raise ValueError("an ISO 4217 currency code is expected")
    return upper


def _known_country(code: str) -> str:
    if code not in COUNTRIES:
        raise ValueError("an ISO 3166 alpha-2 country code is expected")
    return code


def _short_enough(identifier: str) -> str:
    if 2 * len(identifier) > MAX_ID_LENGTH and len(identifier.encode("utf-16-le")) // 2 > MAX_ID_LENGTH:
        raise ValueError(f"at most {MAX_ID_LENGTH} characters are expected")
    return identifier


# Postgres cannot store NUL in text.
_NO_NUL = r"^[^\x00]*$"

_as_json_number = PlainSerializer(float, return_type=float, when_used="json")

Amount = Annotated[Decimal, PlainValidator(exact_amount), _as_json_number]
SummedAmount = Annotated[
    Decimal | None,
    PlainValidator(summed_amount),
    PlainSerializer(lambda v: None if v is None else float(v), return_type=float | None, when_used="json"),
]
Identifier = Annotated[str, Field(min_length=1, pattern=_NO_NUL), AfterValidator(_short_enough)]
AlertId = Annotated[str, Field(min_length=1, max_length=320, pattern=_NO_NUL)]
"""Made of a rule's name, an identifier and a time: long enough for the longest, short enough for an index of Postgres."""
Text = Annotated[str, Field(pattern=_NO_NUL)]
Currency = Annotated[str, AfterValidator(_known_currency)]
Country = Annotated[str, AfterValidator(_known_country)]
INSTANT = "epoch milliseconds"
"""Marks a whole number as a time: the database keeps it as a timestamp."""
EpochMs = Annotated[int, Field(ge=0, lt=MAX_TIME_MS), INSTANT]
EventTime = Annotated[int, AfterValidator(_in_our_days), INSTANT]
"""When a transaction was made, in epoch milliseconds: from `MIN_TIME_MS` on."""
Latitude = Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)]
Longitude = Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)]


def parts(annotation: Any) -> set[Any]:
    """An annotation taken apart: its types and the markers in `Annotated`, without `None`."""
    inner = get_args(annotation)
    return set().union(*map(parts, inner)) if inner else {annotation} - {NoneType}

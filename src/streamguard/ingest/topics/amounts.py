"""How a field of amounts is read in SQL: numbers as they are, text by its decimal sign."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import NamedTuple

from streamguard.ingest.topics.fields import Field
from streamguard.ingest.topics.times import Unclear

_POINT = re.compile(r"[+-]?\d+(\.\d+)?")
_THOUSANDS_POINT = re.compile(r"[+-]?\d{1,3}(,\d{3})*(\.\d+)?")
_COMMA = re.compile(r"[+-]?(\d+|\d{1,3}(\.\d{3})*)(,\d+)?")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{2,}={0,2}")


AMOUNT = "DECIMAL(19, 4)"
"""The type of an amount. A number or a text with a decimal point is read as it; with more places the record is left out."""


class AmountReading(NamedTuple):
    sql: Callable[[str], str]
    guess: str
    declared: str


def amount_of(field: Field) -> AmountReading | None:
    """The reading of a field; None where it has no amounts. Raises Unclear."""
    values = [value for value in field.values if not isinstance(value, bool)]
    if not values or len(values) < len(field.values):
        return None
    numbers = [Decimal(str(value)) for value in values if not isinstance(value, str)]
    texts = [value.strip() for value in values if isinstance(value, str)]
    reading = _text(field, texts) if texts else AmountReading(str, _guess(numbers), AMOUNT)
    if reading is None:
        return None
    if numbers and texts and "decimal comma" in reading.guess:
        return None
    negative = sum(number < 0 for number in numbers) + sum(text.startswith("-") for text in texts)
    if negative * 2 > len(values):
        raise Unclear(
            f"most amounts in {field.name} are negative: --map amount='ABS({field.name})' makes them positive"
        )
    return reading


def _guess(numbers: Sequence[Decimal]) -> str:
    if any(number != number.to_integral_value() for number in numbers):
        return "a number"
    return "whole numbers, taken as whole units of the currency; for cents, --map amount='... / 100.0'"


def _text(field: Field, texts: Sequence[str]) -> AmountReading | None:
    if all(map(_POINT.fullmatch, texts)):
        return AmountReading(str, "text with a decimal point", AMOUNT)
    points, commas = all(map(_THOUSANDS_POINT.fullmatch, texts)), all(map(_COMMA.fullmatch, texts))
    if points and commas:
        raise Unclear(
            f"amounts such as {texts[0]} in {field.name}, whose sign may be the decimal one or that of thousands: "
            "--map amount=EXPRESSION says it"
        )
    if points:
        return AmountReading(lambda name: f"REPLACE({name}, ',', '')", "text with commas between thousands", "VARCHAR")
    if commas:
        return AmountReading(
            lambda name: f"REPLACE(REPLACE({name}, '.', ''), ',', '.')",
            "text with a decimal comma",
            "VARCHAR",
        )
    if all(map(_BASE64.fullmatch, texts)):
        raise Unclear(
            f"amounts in {field.name} that are bytes of Connect's Decimal ({texts[0]}): have the connector write numbers, "
            "with decimal.handling.mode=string (Debezium) or numeric.mapping (JDBC)"
        )
    return None

"""How a field of the records becomes a column: an expression of SQL, what was found out, and the type to declare."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from streamguard.ingest.topics.amounts import amount_of
from streamguard.ingest.topics.answers import NUMBER_FIELDS, Answers
from streamguard.ingest.topics.fields import Field
from streamguard.ingest.topics.roles import FITS
from streamguard.ingest.topics.times import time_of
from streamguard.models.iso import CURRENCIES

Read = tuple[str, str, str]
"""Expression, guess, type."""
Reader = Callable[[Field, str, Answers], Read | None]
"""Of a field, its reference in SQL and what was told; None where its values do not fit. Raises times.Unclear."""


def read_as(name: str) -> Reader:
    """The reader for a field of a transaction."""
    return _READERS.get(name, _text)


def _text(field: Field, reference: str, answers: Answers) -> Read | None:
    return reference, "", "VARCHAR"


def _number(field: Field, reference: str, answers: Answers) -> Read | None:
    return reference, "", "DOUBLE"


def _amount(field: Field, reference: str, answers: Answers) -> Read | None:
    reading = amount_of(field)
    return reading and (reading.sql(reference), reading.guess, reading.declared)


def _time(field: Field, reference: str, answers: Answers) -> Read | None:
    reading = time_of(field, answers)
    return reading and (reading.sql(reference), reading.guess, reading.declared)


def _currency(field: Field, reference: str, answers: Answers) -> Read | None:
    if not FITS["currency"](field):
        return None
    if all(value in CURRENCIES for value in field.values):
        return reference, "ISO 4217", "VARCHAR"
    return f"UCASE(TRIM({reference}))", "ISO 4217 in another letter case", "VARCHAR"


_READERS: Mapping[str, Reader] = {
    "amount": _amount,
    "event_time": _time,
    "currency": _currency,
    **dict.fromkeys(NUMBER_FIELDS, _number),
}

"""Fields that are neither time nor amount: texts, ids, places, currencies, countries and marks."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from streamguard.ingest.columns.bound import (
    EMPTY,
    Bound,
    Read,
    alternatives,
    column_named,
    is_blank,
    is_nothing,
    text_of,
)
from streamguard.ingest.errors import InputError
from streamguard.ingest.expressions import Alternative, Expression, Literal
from streamguard.ingest.rows import Rows
from streamguard.models.readings import (
    is_negative,
    read_currency,
    read_label,
)

_BEGINS_A_NUMBER = frozenset("0123456789=")
_ROUNDED = re.compile(r"\d\.\d+[eE]\+?\d+|\d[eE]\+\d+")
_FORMULA = re.compile(r'="([^"]+)"')
"""How exports keep a spreadsheet from dropping zeros in front."""
_FLOAT = re.compile(r"[1-9]\d*\.0")
_SCENARIOS = {"0": "", "1": "high_amount", "2": "compromised_terminal", "3": "leaked_card"}
"""The handbook, chapter 3, "Transaction data simulator": its three ways to inject fraud."""
_FEW_VALUES = ("currency", "country", "label", "transaction_type", "channel", "merchant_category", "city")
_MOST_REMEMBERED = 10_000
_LABEL_FORMS = ("kind", "scenario")


def fixed(name: str, text: str) -> Bound:
    """The same value in every row; raises InputError for a currency that is none."""
    try:
        value = read_currency(text) if name == "currency" else text
    except ValueError as error:
        raise InputError(str(error)) from None
    return Bound(lambda _: value)


def plain_column(name: str, expression: Expression, rows: Rows) -> Bound | None:
    """A field that is neither time nor amount; None where the file has no such column."""
    if name == "currency":
        # What is taken for granted holds for a file without the column, not for a row that leaves it empty.
        named = tuple(
            one for one in expression.alternatives if any(column_named(rows, c) for c in Expression((one,)).columns)
        )
        expression = Expression(named) if named else expression
    bound = alternatives(name, expression, rows, lambda one, raw: _plain_reader(name, one, raw))
    if bound and not bound.columns and name == "currency":
        [code] = {term.text for one in expression.alternatives for term in one.terms if isinstance(term, Literal)}
        return replace(bound, notes=(f"currency: {code}, for the file names none (--currency for another)",))
    return bound


def _plain_reader(name: str, one: Alternative, raw: Read) -> Read:
    """A text, a place, a currency, a country or a mark; raises InputError for a form that it has not."""
    convert: Read = _CONVERTERS.get(name, text_of)
    for form in one.forms:
        if form not in _FORMS or (form in ("scenario", "kind")) != (name == "label"):
            known = ", ".join(form for form in _FORMS if (form in _LABEL_FORMS) == (name == "label"))
            raise InputError(f"{name}={one}: {form!r} is no form of it: there are {known}")
        change: Callable[[Read], Read] = _FORMS[form]
        convert = change(convert)
    if all(isinstance(term, Literal) for term in one.terms):
        value = convert("".join(term.text for term in one.terms if isinstance(term, Literal)))
        return lambda _: value
    if name in _FEW_VALUES:
        convert = _remembered(convert)
    return lambda values: convert(raw(values))


def _remembered(convert: Read) -> Read:
    """The same for texts that come again and again: read once, and looked up after that."""
    known: dict[str, Any] = {}

    def read(value: Any) -> Any:
        if type(value) is not str:
            return convert(value)
        if value in known:
            return known[value]
        found = convert(value)
        if len(known) < _MOST_REMEMBERED:
            known[value] = found
        return found

    return read


def _number(name: str) -> Read:
    def read(value: Any) -> float | None:
        if value is None or (text := str(value).strip().lower()) in EMPTY:
            return None
        try:
            return float(text.replace(",", ".")) if text.count(",") == 1 and "." not in text else float(text)
        except ValueError:
            raise ValueError(f"{name} {value!r} is no number") from None

    return read


def _currency(value: Any) -> str | None:
    return None if is_blank(value) else read_currency(value)


def _id(name: str) -> Read:
    """An id. A whole number that pandas made a float loses its `.0`; one that was rounded is refused, for it is another's."""

    def read(value: Any) -> str | None:
        try:
            text = text_of(value)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        if text is None or text.isdigit() or text[0] not in _BEGINS_A_NUMBER:
            return text
        if formula := _FORMULA.fullmatch(text):
            return formula[1]
        is_float = _FLOAT.fullmatch(text)
        if _ROUNDED.fullmatch(text) or (is_float and float(text) >= 2**53):
            raise ValueError(
                f"{name} {text!r} is a number that a spreadsheet or pandas has rounded: its last digits are lost; "
                "export it once more as text"
            )
        return text[:-2] if is_float else text

    return read


def _upper(value: Any) -> str | None:
    text = text_of(value)
    return text and text.upper()


def _scenario(value: Any) -> str:
    text = text_of(value) or "0"
    if text not in _SCENARIOS:
        raise ValueError(f"fraud_scenario {text!r} is none of {', '.join(_SCENARIOS)}")
    return _SCENARIOS[text]


def _kind(value: Any) -> str:
    """A label, or the name of a kind of fraud such as velocity_burst."""
    text = text_of(value) or ""
    if text.replace("_", "a").isalnum() and text.islower() and text[0].isalpha() and "_" in text:
        return text
    return read_label(value)


def _direction(spent_is_negative: bool) -> Read:
    """From an amount as it is written to debit (spent) or credit (received)."""

    def read(value: Any) -> str | None:
        text = text_of(value)
        if text is None:
            return None
        return "debit" if is_negative(text) == spent_is_negative else "credit"

    return read


def _unquoted(read: Read) -> Read:
    """Without the apostrophes that BankSim puts around its texts."""

    def bare(value: Any) -> Any:
        text = text_of(value)
        quoted = text is not None and len(text) > 1 and text[0] == text[-1] == "'"
        return read(text[1:-1] if text is not None and quoted else text)

    return bare


_CONVERTERS: dict[str, Read] = {
    **{name: _id(name) for name in ("transaction_id", "account_id", "merchant_id", "device_id")},
    "currency": _currency,
    "country": _upper,
    "latitude": _number("latitude"),
    "longitude": _number("longitude"),
    "commission": _number("commission"),
    "label": read_label,
}


_FORMS: dict[str, Callable[[Read], Read]] = {
    "lower": lambda read: lambda value: (text := read(value)) and text.lower(),
    "upper": lambda read: lambda value: (text := read(value)) and text.upper(),
    "unquoted": _unquoted,
    "debit": lambda _: lambda value: None if is_nothing(value) else "debit",
    "credit": lambda _: lambda value: None if is_nothing(value) else "credit",
    "debit_if_negative": lambda _: _direction(True),
    "debit_if_positive": lambda _: _direction(False),
    "scenario": lambda _: _scenario,
    "kind": lambda _: _kind,
}

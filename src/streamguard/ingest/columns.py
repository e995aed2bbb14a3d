"""One field of a mapping, bound to the columns of a file: from a row to a value.

Sources of the forms: docs/own-data.md, "How values are written".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from difflib import get_close_matches
from itertools import islice
from typing import Any

from streamguard.ingest.errors import Ambiguous, InputError
from streamguard.ingest.expressions import Alternative, Column, Expression, Literal, RowId
from streamguard.ingest.ids import RowIds
from streamguard.ingest.rows import Rows, all_values
from streamguard.models.readings import (
    AmountForm,
    TimeForm,
    amount_reader,
    guess_decimal,
    guess_time,
    is_negative,
    parse_time,
    read_currency,
    read_label,
    time_reader,
)
from streamguard.models.readings.amounts import Separator
from streamguard.models.readings.times import DATE_ORDERS, EPOCH_UNITS, EXCEL, SPAN_UNITS, zone_of

Read = Callable[[Any], Any]

_UNIT_WORDS = {
    "excel": "days of a spreadsheet",
    "s": "seconds since 1970",
    "ms": "milliseconds since 1970",
    "us": "microseconds since 1970",
    "ns": "nanoseconds since 1970",
}
_ORDER_WORDS = {"iso": "year-month-day", "dmy": "day/month/year", "mdy": "month/day/year"}
_SCENARIOS = {"0": "", "1": "high_amount", "2": "compromised_terminal", "3": "leaked_card"}
"""The handbook, chapter 3, "Transaction data simulator": its three ways to inject fraud."""
_FIRST = {"day_first": True, "month_first": False}
"""Forms of a time that say only what 01/02/2026 means."""
_EMPTY = frozenset(("", "nan", "null", "none", "n/a", "<na>", "nat"))
_BEGINS_A_NUMBER = frozenset("0123456789=")
_ROUNDED = re.compile(r"\d\.\d+[eE]\+?\d+|\d[eE]\+\d+")
_FORMULA = re.compile(r'="([^"]+)"')
"""How exports keep a spreadsheet from dropping zeros in front."""
_FLOAT = re.compile(r"[1-9]\d*\.0")


@dataclass(frozen=True)
class Options:
    """What the command line says about all columns. `origin` is the day that spans count from, `unit` what they count;
    `rounds` lets amounts with more decimals than their currency has be rounded, half to even."""

    unit: str | None = None
    zone: str | None = None
    day_first: bool | None = None
    decimal: Separator | None = None
    currency: str | None = None
    origin: str | None = None
    rounds: bool = False


@dataclass(frozen=True)
class Bound:
    """A field's reader: `read` takes the values of a row and raises ValueError; None is an empty value."""

    read: Read
    columns: tuple[str, ...] = ()
    forms: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    names_currency: bool = False
    shown: str = ""
    """The expression without what the file has no column for."""


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
            one for one in expression.alternatives if any(_column(rows, c) for c in Expression((one,)).columns)
        )
        expression = Expression(named) if named else expression
    bound = _alternatives(name, expression, rows, lambda one, raw: _plain_reader(name, one, raw))
    if bound and not bound.columns and name == "currency":
        [code] = {term.text for one in expression.alternatives for term in one.terms if isinstance(term, Literal)}
        return replace(bound, notes=(f"currency: {code}, for the file names none (--currency for another)",))
    return bound


def amount_column(expression: Expression, rows: Rows, options: Options) -> Bound | None:
    """The amount: `read` gives the exact number and the currency that is written beside it, None for none."""
    notes: list[str] = []
    seen_codes = False

    def reader(one: Alternative, raw: Read) -> Read:
        nonlocal seen_codes
        form = _amount_form(one, raw, rows, options, notes)
        read = amount_reader(form)
        seen_codes |= any(_code(read, raw(row.values)) for row in islice(rows.sample, 50))
        return lambda values: read(raw(values))

    bound = _alternatives("amount", expression, rows, reader, is_empty=lambda value: not value[0])
    if bound and len(bound.columns) == 2 and all("abs" in one.forms for one in expression.alternatives):
        bound = replace(bound, read=_in_one_direction(bound, rows))
    forms = tuple(form for one in expression.alternatives for form in one.forms)
    return bound and replace(bound, forms=forms, notes=tuple(dict.fromkeys(notes)), names_currency=seen_codes)


def _in_one_direction(bound: Bound, rows: Rows) -> Read:
    """The amount of a statement with a column for each direction; a row with both is refused, for it is two payments."""
    spent, received = (rows.getter(column) for column in bound.columns)
    names = " and ".join(bound.columns)

    def read(values: Any) -> Any:
        out, into = spent(values), received(values)
        if out != into and not _is_nothing(out) and not _is_nothing(into):
            raise ValueError(f"amount is in both {names} ({out!r} and {into!r}): one payment a row is expected")
        return bound.read(values)

    return read


def time_column(expression: Expression, rows: Rows, options: Options) -> Bound | None:
    """The event time: `read` gives epoch milliseconds."""
    notes: list[str] = []
    # Rows that no alternative so far has a value for: one that none needs is not worth a word.
    still_open = list(rows.sample)

    def reader(one: Alternative, raw: Read) -> Read:
        said = [] if notes and not still_open else notes
        still_open[:] = [row for row in still_open if _is_blank(raw(row.values))]
        if one.at is not None and (zone := _column(rows, one.at)):
            return _zoned(one, raw, zone, rows, options, said)
        read = time_reader(_time_form(one, raw, rows, options, said))

        def read_time(values: Any) -> int | None:
            value = raw(values)
            if value is None or (type(value) is str and value.strip().lower() in _EMPTY):
                return None
            try:
                return read(value)
            except ValueError as error:
                raise ValueError(f"event_time {error}") from None

        return read_time

    bound = _alternatives("event_time", expression, rows, reader)
    return bound and replace(bound, notes=tuple(dict.fromkeys(notes)))


def _alternatives(
    name: str,
    expression: Expression,
    rows: Rows,
    reader: Callable[[Alternative, Read], Read],
    is_empty: Callable[[Any], bool] = lambda value: value is None,
) -> Bound | None:
    """The first alternative of each row that is there and not empty; None if the file has none of the columns."""
    reads, columns, there = [], [], []
    for one in expression.alternatives:
        names = [_column(rows, term.name) for term in one.terms if isinstance(term, Column)]
        if None in names or (one.at and len(expression.alternatives) > 1 and not _is_place(one.at, rows)):
            continue
        raw = _raw(one, rows)
        there.append(one)
        reads.append((reader(one, raw), raw))
        columns += [found for found in names if found is not None]
    if not reads:
        return None
    if len(reads) == 1:
        return Bound(reads[0][0], tuple(columns), shown=str(there[0]))

    def first(values: Any) -> Any:
        for read, raw in reads[:-1]:
            if not _is_blank(raw(values)) and not is_empty(value := read(values)) and value != "":
                return value
        return reads[-1][0](values)

    return Bound(first, tuple(columns), shown=str(Expression(tuple(there))))


def _is_place(at: str, rows: Rows) -> bool:
    """Whether `at` is a zone, a day, or a column of the file."""
    for read in (zone_of, parse_time):
        with suppress(ValueError):
            read(at)
            return True
    return _column(rows, at) is not None


def _column(rows: Rows, name: str) -> str | None:
    """The file's own name of a column, None if it has none like it."""
    if name in rows.columns:
        return name
    wanted = name.strip().lower()
    return next((column for column in rows.columns if column.strip().lower() == wanted), None)


def missing_columns(expression: Expression, rows: Rows) -> str | None:
    """A sentence's end about columns that are not there: each with the nearest name; None if one alternative is whole."""
    for one in expression.alternatives:
        if all(_column(rows, term.name) for term in one.terms if isinstance(term, Column)):
            return None
    said = []
    for name in expression.columns:
        if _column(rows, name) is None:
            near = get_close_matches(name.lower(), [column.lower() for column in rows.columns], 1)
            said.append(f"{name!r} (perhaps {near[0]!r}?)" if near else repr(name))
    return ", ".join(said)


def _raw(one: Alternative, rows: Rows) -> Read:
    """From a row to the value of an alternative, as it is written."""
    parts: list[Read] = []
    for term in one.terms:
        if isinstance(term, Literal):
            parts.append(_constant(term.text))
        elif isinstance(term, RowId):
            parts.append(RowIds())
        else:
            parts.append(rows.getter(_column(rows, term.name) or term.name))
    if len(parts) == 1:
        return parts[0]
    at = [n for n, term in enumerate(one.terms) if not isinstance(term, Literal)]

    def joined(values: Any) -> Any:
        texts = [part(values) for part in parts]
        for n in at:
            texts[n] = text_of(texts[n]) or ""
        return "".join(texts).strip() if any(texts[n] for n in at) else None

    return joined


def _constant(text: str) -> Read:
    return lambda _: text


def text_of(value: Any) -> str | None:
    """A value as text: whole numbers without `.0`, which a column with gaps gets from pandas; None for an empty one."""
    if type(value) is str:
        return value.strip() or None
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    if isinstance(value, float) and value != value:
        return None
    if isinstance(value, list | dict):
        raise ValueError(
            f"a text or a number is expected, {value!r} is {'an array' if isinstance(value, list) else 'an object'}"
        )
    return str(value)


def _is_blank(value: Any) -> bool:
    return value is None or (type(value) is str and not value.strip())


def _is_nothing(value: Any) -> bool:
    """Whether an amount's column is empty or 0, as in statements with a column for each direction."""
    return _is_blank(value) or not str(value).strip("0., -")


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
        if value is None or (text := str(value).strip().lower()) in _EMPTY:
            return None
        try:
            return float(text.replace(",", ".")) if text.count(",") == 1 and "." not in text else float(text)
        except ValueError:
            raise ValueError(f"{name} {value!r} is no number") from None

    return read


def _currency(value: Any) -> str | None:
    return None if _is_blank(value) else read_currency(value)


def _id(name: str) -> Read:
    """An id. A whole number that pandas made a float loses its `.0`; one that was rounded is refused, for it is another's."""

    def read(value: Any) -> str | None:
        try:
            text = text_of(value)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        if text is None or text[0] not in _BEGINS_A_NUMBER:
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
    "debit": lambda _: lambda value: None if _is_nothing(value) else "debit",
    "credit": lambda _: lambda value: None if _is_nothing(value) else "credit",
    "debit_if_negative": lambda _: _direction(True),
    "debit_if_positive": lambda _: _direction(False),
    "scenario": lambda _: _scenario,
    "kind": lambda _: _kind,
}
_FEW_VALUES = ("currency", "country", "label", "transaction_type", "channel", "merchant_category", "city")
_MOST_REMEMBERED = 10_000
_LABEL_FORMS = ("kind", "scenario")
_AMOUNT_FORMS = ("point", "comma", "minor", "abs", "negative")


def _amount_form(one: Alternative, raw: Read, rows: Rows, options: Options, notes: list[str]) -> AmountForm:
    """The form that is written in the mapping, and what it leaves open from the values; raises InputError, Ambiguous."""
    for form in one.forms:
        if form not in _AMOUNT_FORMS:
            raise InputError(f"amount={one}: {form!r} is no form of an amount: there are {', '.join(_AMOUNT_FORMS)}")
    sign: Any = "drop" if "abs" in one.forms else "flip" if "negative" in one.forms else "keep"
    decimal: Separator | None = "," if "comma" in one.forms else "." if "point" in one.forms else options.decimal
    values = [raw(row.values) for row in rows.sample]
    if "minor" in one.forms:
        notes.append("amount: in the smallest unit of its currency")
    if decimal is None:
        decimal = guess_decimal(values) or guess_decimal(all_values(rows, raw))
        if decimal is None:
            example = next(value for value in values if isinstance(value, str) and ("." in value or "," in value))
            raise Ambiguous(
                f"amount {example!r} in {rows.name} can be read in two ways, and no other value tells which: say "
                "--decimal . or --decimal ,",
                f"Is the amount {example!r} above a thousand (the sign in it separates thousands)?",
                "decimal",
                yes="," if "." in example else ".",
                no="." if "." in example else ",",
            )
        if decimal == ",":
            notes.append("amount: with a comma before the decimals")
    return AmountForm(decimal, "minor" in one.forms, sign)


def _code(read: Callable[[Any], tuple[Decimal, str | None]], value: Any) -> str | None:
    try:
        return read(value)[1]
    except ValueError:
        return None


def _time_form(one: Alternative, raw: Read, rows: Rows, options: Options, notes: list[str]) -> TimeForm:
    """The form in the mapping, or the one that the values have; raises InputError, Ambiguous."""
    name = one.forms[0] if one.forms else None
    if name is not None and name in _FIRST:
        if options.day_first is None:
            options = replace(options, day_first=_FIRST[name])
        name = None
    name = name or options.unit
    if name is not None and name not in (*EPOCH_UNITS, *SPAN_UNITS, EXCEL, *DATE_ORDERS):
        known = ", ".join((*EPOCH_UNITS, *SPAN_UNITS, EXCEL, *DATE_ORDERS, *_FIRST))
        raise InputError(f"event_time={one}: {name!r} is no form of a time: there are {known}")
    if name in SPAN_UNITS:
        origin = options.origin or one.at
        if origin is None:
            raise InputError(f"event_time={one}: {name} count from a day: say --origin 2026-01-01")
        notes.append(f"event_time: {name} from {origin} on")
        return TimeForm(name, origin=_origin(origin))
    zone = options.zone or one.at or "UTC"
    try:
        zone_of(zone)
    except ValueError as error:
        raise InputError(f"event_time: {error}") from None
    values = [raw(row.values) for row in rows.sample]
    form = TimeForm(name, zone) if name else _guessed(one, raw, values, zone, rows, options)
    notes.append(_time_note(form, options.zone or one.at, values))
    return form


def _origin(text: str) -> int:
    try:
        return parse_time(text)
    except ValueError as error:
        raise InputError(f"--origin: {error}") from None


def _guessed(one: Alternative, raw: Read, values: list[Any], zone: str, rows: Rows, options: Options) -> TimeForm:
    forms = guess_time(values, zone)
    if len(forms) > 1 and options.day_first is not None:
        wanted = "dmy" if options.day_first else "mdy"
        forms = [form for form in forms if form.name == wanted] or forms
    if len(forms) > 1:
        forms = _told_apart(forms, all_values(rows, raw))
    if len(forms) > 1:
        example = next(value for value in values if not _is_blank(value))
        if any(form.name in EPOCH_UNITS for form in forms):
            units = " or ".join(_UNIT_WORDS.get(form.name, _ORDER_WORDS.get(form.name, "")) for form in forms)
            raise InputError(
                f"event_time of {rows.name}: {one} has values of several units ({units}), such as {example!r}: have it "
                "written in one, or say which holds, such as --unit ms; rows of another are then refused"
            )
        raise Ambiguous(
            f"event_time {example!r} in {rows.name} may be day/month or month/day, and no other value tells which: say "
            "--day-first or --month-first",
            f"Does the day come first in {example!r}?",
            "day_first",
            yes=True,
            no=False,
        )
    if forms:
        return forms[0]
    shown = ", ".join(repr(value) for value in values[:3])
    counts = any(_is_number(value) for value in values)
    advice = (
        "say what they count, such as --unit hours --origin 2026-01-01, or --unit excel for the days of a spreadsheet"
        if counts
        else "2026-01-05T12:00:00Z is one"
    )
    raise InputError(
        f"event_time of {rows.name}: {one} has {shown}: no date and time by {'themselves' if counts else 'any calendar'}; "
        f"{advice}, or map another column with --map event_time=COLUMN"
    )


def _told_apart(forms: list[TimeForm], values: Iterable[Any]) -> list[TimeForm]:
    """The form that reads the first value which not all of them read; all where there is none."""
    readers = [(form, time_reader(form)) for form in forms]
    for value in values:
        good = []
        for form, read in readers:
            with suppress(ValueError):
                read(value)
                good.append(form)
        if 0 < len(good) < len(forms):
            return good
    return forms


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) or (
        isinstance(value, str) and value.strip(" .-").replace(".", "").isdigit()
    )


def _time_note(form: TimeForm, zone: str | None, values: Iterable[Any]) -> str:
    if form.name in _UNIT_WORDS:
        return f"event_time: {_UNIT_WORDS[form.name]}"
    said = f"event_time: {_ORDER_WORDS[form.name]}"
    if zone:
        return f"{said}, {zone} where a time names no zone"
    other = time_reader(TimeForm(form.name, "+01:00"))
    utc = time_reader(form)
    for value in values:
        try:
            if other(value) != utc(value):
                return f"{said}, UTC (the times name no zone: --zone for another)"
        except ValueError:
            continue
    return said


def _zoned(one: Alternative, raw: Read, zone: str, rows: Rows, options: Options, notes: list[str]) -> Read:
    """Times whose zone stands in a column of its own."""
    form = _time_form(Alternative(one.terms, one.forms), raw, rows, replace(options, zone=None), [])
    notes.append(f"event_time: {_ORDER_WORDS.get(form.name, form.name)}, its zone from {zone}")
    get_zone = rows.getter(zone)
    readers: dict[str, Callable[[Any], int]] = {}

    def read(values: Any) -> int | None:
        value = raw(values)
        if _is_blank(value):
            return None
        name = text_of(get_zone(values)) or options.zone
        if name is None:
            raise ValueError(f"event_time {value!r} has no zone: {zone} is empty (--zone says which it is then)")
        try:
            if name not in readers:
                readers[name] = time_reader(TimeForm(form.name, name))
            return readers[name](value)
        except ValueError as error:
            raise ValueError(f"event_time {error}") from None

    return read

"""The event time of a payment, in the form that the mapping names or that its values have."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from typing import Any

from streamguard.ingest.columns.bound import (
    EMPTY,
    Bound,
    Options,
    Read,
    alternatives,
    column_named,
    is_blank,
    text_of,
)
from streamguard.ingest.errors import Ambiguous, InputError
from streamguard.ingest.expressions import Alternative, Expression
from streamguard.ingest.rows import Rows, all_values
from streamguard.models.readings import (
    TimeForm,
    guess_time,
    parse_time,
    time_reader,
)
from streamguard.models.readings.times import DATE_ORDERS, EPOCH_UNITS, EXCEL, SPAN_UNITS, zone_of

_UNIT_WORDS = {
    "excel": "days of a spreadsheet",
    "s": "seconds since 1970",
    "ms": "milliseconds since 1970",
    "us": "microseconds since 1970",
    "ns": "nanoseconds since 1970",
}
_ORDER_WORDS = {"iso": "year-month-day", "dmy": "day/month/year", "mdy": "month/day/year"}
_FIRST = {"day_first": True, "month_first": False}
"""Forms of a time that say only what 01/02/2026 means."""


def time_column(expression: Expression, rows: Rows, options: Options) -> Bound | None:
    """The event time: `read` gives epoch milliseconds."""
    notes: list[str] = []
    # Rows that no alternative so far has a value for: one that none needs is not worth a word.
    still_open = list(rows.sample)

    def reader(one: Alternative, raw: Read) -> Read:
        said = [] if notes and not still_open else notes
        still_open[:] = [row for row in still_open if is_blank(raw(row.values))]
        if one.at is not None and (zone := column_named(rows, one.at)):
            return _zoned(one, raw, zone, rows, options, said)
        read = time_reader(_time_form(one, raw, rows, options, said))

        def read_time(values: Any) -> int | None:
            value = raw(values)
            if value is None or (type(value) is str and value.strip().lower() in EMPTY):
                return None
            try:
                return read(value)
            except ValueError as error:
                raise ValueError(f"event_time {error}") from None

        return read_time

    bound = alternatives("event_time", expression, rows, reader)
    return bound and replace(bound, notes=tuple(dict.fromkeys(notes)))


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
        example = next(value for value in values if not is_blank(value))
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
        if is_blank(value):
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

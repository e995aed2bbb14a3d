"""How a field of times is read: from its unit or its format to epoch milliseconds, in SQL."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from streamguard.ingest.topics.answers import Answers
from streamguard.ingest.topics.fields import Field

# 2000 to 2100; the units are a thousand apart, so that a number fits one of them.
_FIRST_S, _LAST_S = 946_684_800, 4_102_444_800
_UNITS = (
    (1, "seconds", "{} * 1000"),
    (10**3, "milliseconds", "{}"),
    (10**6, "microseconds", "{} / 1000"),
    (10**9, "nanoseconds", "{} / 1000000"),
)

_WHOLE = re.compile(r"\d+")
_COMPACT = re.compile(r"20\d\d[01]\d[0-3]\d[0-2]\d[0-5]\d[0-5]\d", re.ASCII)
_DAY = r"(?P<day>\d{4}-\d\d-\d\d|\d{4}/\d\d/\d\d|\d{8}|\d\d?(?P<mark>[/.-])\d\d?(?P=mark)\d{4})"
_ZONE = r"\s?(?P<zone>Z|UTC|[+-]\d\d(?::?\d\d)?)?"
_TIME = rf"(?:(?P<apart>[T ])\d\d:\d\d(?P<seconds>:\d\d)?(?P<fraction>\.\d{{1,9}})?{_ZONE})?"
_TEXT = re.compile(_DAY + _TIME, re.ASCII)


class Reading(NamedTuple):
    """How a field becomes the `event_time`."""

    sql: Callable[[str], str]
    guess: str
    declared: str


class Unclear(ValueError):
    """The values do not say how they are to be read; the text is a sentence's part with the option that says it."""


def time_of(field: Field, answers: Answers) -> Reading | None:
    """The reading of a field; None where it has no times. Raises Unclear."""
    values = field.values
    if not values or any(isinstance(value, bool) for value in values):
        return None
    if all(isinstance(value, str) for value in values):
        texts = [value.strip() for value in values]
        if all(map(_COMPACT.fullmatch, texts)):
            return _patterned("yyyyMMddHHmmss", answers)
        if all(map(_WHOLE.fullmatch, texts)) and not all(len(text) == 8 for text in texts):
            return _number(list(map(int, texts)), "CAST({} AS BIGINT)", "VARCHAR")
        return _text(texts, answers)
    if any(isinstance(value, str) for value in values):
        return None
    if all(isinstance(value, int) for value in values):
        return _number(values, "{}", "BIGINT")
    return _fractions([float(value) for value in values])


def _number(values: Sequence[int], reference: str, declared: str) -> Reading | None:
    for scale, unit, sql in _UNITS:
        if all(_FIRST_S * scale <= value < _LAST_S * scale for value in values):
            return Reading(sql.format(reference).format, f"{unit} since 1970", declared)
    return None


def _fractions(values: Sequence[float]) -> Reading | None:
    for scale, unit, sql in (
        (1, "seconds", "ROUND({} * 1000)"),
        (10**3, "milliseconds", "ROUND({})"),
        (10**6, "microseconds", "ROUND({} / 1000)"),
    ):
        if all(_FIRST_S * scale <= value < _LAST_S * scale for value in values):
            return Reading(sql.format, f"{unit} since 1970, with fractions", "DOUBLE")
    return None


def _text(texts: Sequence[str], answers: Answers) -> Reading | None:
    found = [_TEXT.fullmatch(text) for text in texts]
    if not all(found):
        return None
    parts: list[dict[str, Any]] = [match.groupdict() for match in found if match]
    day, order = _day(parts, answers)
    zones = {part["zone"] for part in parts}
    pattern = day + _clock(parts) + _zone(zones)
    quoted = pattern.replace("'", "''")
    if None not in zones:
        return Reading(
            lambda name: f"UNIX_TIMESTAMP(PARSE_TIMESTAMP({name}, '{quoted}'))", f"text {pattern}{order}", "VARCHAR"
        )
    return _patterned(pattern, answers, order)


def _patterned(pattern: str, answers: Answers, order: str = "") -> Reading:
    """Text of a pattern in which a time may name no zone."""
    quoted = pattern.replace("'", "''")
    zone = answers.zone or "UTC"
    said = f"in {zone}" if answers.zone else "no zone, read as UTC; --zone Area/City says another"
    return Reading(
        lambda name: f"UNIX_TIMESTAMP(PARSE_TIMESTAMP({name}, '{quoted}', '{zone}'))",
        f"text {pattern}{order}, {said}",
        "VARCHAR",
    )


def _day(parts: list[dict[str, Any]], answers: Answers) -> tuple[str, str]:
    """The pattern of the date, and what was decided about it."""
    days = [part["day"] for part in parts]
    shapes = {re.sub(r"\d+", "0", day) for day in days}
    if len(shapes) > 1:
        raise Unclear(f"dates of several forms ({days[0]}, ...)")
    first = days[0]
    if parts[0]["mark"] is None:
        return {10: f"yyyy{first[4]}MM{first[4]}dd", 8: "yyyyMMdd"}[len(first)], ""
    numbers = [list(map(int, re.split(r"\D", day)[:2])) for day in days]
    day_first, month_first = any(a > 12 for a, _ in numbers), any(b > 12 for _, b in numbers)
    if day_first == month_first:
        if answers.day_first is None or day_first:
            raise Unclear(f"dates such as {first}: --day-first or --month-first says which number is the day")
        day_first = answers.day_first
    mark = parts[0]["mark"]
    pattern = f"d{mark}M{mark}yyyy" if day_first else f"M{mark}d{mark}yyyy"
    return pattern, ", the day first" if day_first else ", the month first"


def _clock(parts: list[dict[str, Any]]) -> str:
    aparts = {part["apart"] for part in parts}
    if aparts == {None}:
        return ""
    if len(aparts) > 1:
        raise Unclear("times of several forms, with T and without")
    seconds = {part["seconds"] is not None for part in parts}
    fractions = sorted({len(part["fraction"]) - 1 for part in parts if part["fraction"]}, reverse=True)
    # The usual lengths as well: a fraction that is zero is often left out or shortened.
    lengths = sorted({*fractions, *((3, 6, 9) if fractions else ())}, reverse=True)
    optional = "".join(f"[.{'S' * length}]" for length in lengths)
    apart = "'T'" if aparts == {"T"} else " "
    return (
        apart
        + {frozenset({True}): "HH:mm:ss", frozenset({False}): "HH:mm"}.get(frozenset(seconds), "HH:mm[:ss]")
        + optional
    )


def _zone(zones: set[str | None]) -> str:
    """The pattern of a zone: X, XX and XXX also take Z."""
    named = {zone for zone in zones if zone}
    if not named:
        return ""
    if named == {"UTC"}:
        return "[ ]'UTC'" if None not in zones else "[ ]['UTC']"
    if "UTC" in named:
        raise Unclear("times of several forms, with UTC and with an offset")
    lengths = {len(zone) for zone in named if zone != "Z"}
    pattern = {frozenset({6}): "XXX", frozenset({5}): "XX", frozenset({3}): "X", frozenset(): "X"}.get(
        frozenset(lengths)
    )
    if pattern is None:
        pattern = "[XXX][XX][X]"
    return pattern if None not in zones else f"[{pattern}]"

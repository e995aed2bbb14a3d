"""Dates, times and timestamps: from and to text, between zones, and arithmetic with time units."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timezone

from streamguard_ksql import datetime_patterns as patterns
from streamguard_ksql import simple_date_format
from streamguard_ksql.ast import UNIT_MS
from streamguard_ksql.codegen import Expression
from streamguard_ksql.datetimes import DAY_MS, convert_zone, zone
from streamguard_ksql.errors import EvaluationError
from streamguard_ksql.functions.registry import CallSite, scalar, wall_clock_ms
from streamguard_ksql.java import wrap_int, wrap_long

DATE = "DATE / TIME"


@scalar(
    "PARSE_DATE",
    "(formattedDate VARCHAR, formatPattern VARCHAR) -> DATE",
    category=DATE,
    description="The date that a text says, by a pattern; leniently: 29 February 2023 is 1 March.",
)
def parse_date_leniently(text: str, pattern: str) -> int:
    letters = {letter for letter, count in simple_date_format.tokens(pattern) if count}
    if letters & simple_date_format.OTHER_CALENDAR:
        return patterns.parse_date(text, pattern)
    return simple_date_format.parse_date(text, pattern)


@scalar(
    "STRINGTODATE",
    "(formattedDate VARCHAR, formatPattern VARCHAR) -> INT",
    category=DATE,
    description="As PARSE_DATE, in days since 1970-01-01 (deprecated).",
)
def parse_date(text: str, pattern: str) -> int:
    return patterns.parse_date(text, pattern)


@scalar(
    "PARSE_TIME",
    "(formattedTime VARCHAR, formatPattern VARCHAR) -> TIME",
    category=DATE,
    description="The time of the day that a text says, by a pattern.",
)
def parse_time(text: str, pattern: str) -> int:
    return patterns.parse_time(text, pattern)


@scalar(
    "PARSE_TIMESTAMP",
    "(formattedTimestamp VARCHAR, formatPattern VARCHAR) -> TIMESTAMP",
    "(formattedTimestamp VARCHAR, formatPattern VARCHAR, timeZone VARCHAR) -> TIMESTAMP",
    category=DATE,
    description="The timestamp that a text says, by a pattern; in a time zone, UTC by default.",
)
@scalar(
    "STRINGTOTIMESTAMP",
    "(formattedTimestamp VARCHAR, formatPattern VARCHAR) -> BIGINT",
    "(formattedTimestamp VARCHAR, formatPattern VARCHAR, timeZone VARCHAR) -> BIGINT",
    category=DATE,
    description="As PARSE_TIMESTAMP, in milliseconds since 1970-01-01 (deprecated).",
)
def parse_timestamp(text: str, pattern: str, zone_name: str | None = None) -> int:
    return patterns.parse_timestamp(text, pattern, timezone.utc if zone_name is None else zone(zone_name))


@scalar(
    "FORMAT_DATE",
    "(date DATE, formatPattern VARCHAR) -> VARCHAR",
    category=DATE,
    description="A date as text, by a pattern.",
)
@scalar(
    "DATETOSTRING",
    "(epochDays INT, formatPattern VARCHAR) -> VARCHAR",
    category=DATE,
    description="As FORMAT_DATE, from days since 1970-01-01 (deprecated).",
)
def format_date(days: int, pattern: str) -> str:
    return patterns.format_date(days, pattern)


@scalar(
    "FORMAT_TIME",
    "(time TIME, formatPattern VARCHAR) -> VARCHAR",
    category=DATE,
    description="A time of the day as text, by a pattern.",
)
def format_time(time_ms: int, pattern: str) -> str:
    return patterns.format_time(time_ms, pattern)


@scalar(
    "FORMAT_TIMESTAMP",
    "(timestamp TIMESTAMP, formatPattern VARCHAR) -> VARCHAR",
    "(timestamp TIMESTAMP, formatPattern VARCHAR, timeZone VARCHAR) -> VARCHAR",
    category=DATE,
    description="A timestamp as text, by a pattern; in a time zone, UTC by default.",
)
@scalar(
    "TIMESTAMPTOSTRING",
    "(epochMilli BIGINT, formatPattern VARCHAR) -> VARCHAR",
    "(epochMilli BIGINT, formatPattern VARCHAR, timeZone VARCHAR) -> VARCHAR",
    category=DATE,
    description="As FORMAT_TIMESTAMP, from milliseconds since 1970-01-01 (deprecated).",
)
def format_timestamp(moment_ms: int, pattern: str, zone_name: str | None = None) -> str:
    return patterns.format_timestamp(moment_ms, pattern, timezone.utc if zone_name is None else zone(zone_name))


@scalar(
    "CONVERT_TZ",
    "(timestamp TIMESTAMP, fromTimeZone VARCHAR, toTimeZone VARCHAR) -> TIMESTAMP",
    category=DATE,
    description="The timestamp whose clock in one zone shows what the given one shows in another.",
)
def convert_tz(moment_ms: int, source: str, target: str) -> int:
    return convert_zone(moment_ms, zone(source), zone(target))


@scalar("FROM_DAYS", "(days INT) -> DATE", category=DATE, description="The date so many days after 1970-01-01.")
@scalar(
    "FROM_UNIXTIME",
    "(epochMilli BIGINT) -> TIMESTAMP",
    category=DATE,
    description="The timestamp so many milliseconds after 1970-01-01.",
)
@scalar("UNIX_DATE", "(date DATE) -> INT", category=DATE)
@scalar("UNIX_TIMESTAMP", "(timestamp TIMESTAMP) -> BIGINT", category=DATE)
def same_number(value: int) -> int:
    return value


@scalar(
    "UNIX_DATE",
    "() -> INT",
    category=DATE,
    bind=True,
    description="The days from 1970-01-01 to a date, or to today.",
)
def bind_today(site: CallSite) -> Callable[[], int]:
    return lambda: site.now_ms() // DAY_MS


@scalar(
    "UNIX_TIMESTAMP",
    "() -> BIGINT",
    category=DATE,
    bind=True,
    description="The milliseconds from 1970-01-01 to a timestamp, or to now.",
)
def bind_now(site: CallSite) -> Callable[[], int]:
    return _NOW_MS if site.now_ms is wall_clock_ms else site.now_ms


_NOW_MS = Expression("{time_ns}() // 1_000_000", time_ns=time.time_ns)
"""`wall_clock_ms` in the place of a call."""


def _unit_ms(unit: str) -> int:
    """The length of a unit, also in the singular; months and the like have none."""
    word = unit.upper()
    if word not in UNIT_MS and f"{word}S" not in UNIT_MS:
        raise EvaluationError(f"not a unit of time: {unit}")
    return UNIT_MS.get(word) or UNIT_MS[f"{word}S"]


def _date_by(sign: int) -> Callable[[str, int, int], int]:
    def add(unit: str, interval: int, days: int) -> int:
        return wrap_int((days * DAY_MS + sign * interval * _unit_ms(unit)) // DAY_MS)

    return add


def _time_by(sign: int) -> Callable[[str, int, int], int]:
    def add(unit: str, interval: int, time_ms: int) -> int:
        return (time_ms + sign * interval * _unit_ms(unit)) % DAY_MS

    return add


def _timestamp_by(sign: int) -> Callable[[str, int, int], int]:
    def add(unit: str, interval: int, moment_ms: int) -> int:
        return wrap_long(moment_ms + sign * interval * _unit_ms(unit))

    return add


def _register(name: str, parameter: str, word: str, description: str, body: Callable[[str, int, int], int]) -> None:
    signature = f"(unit INTERVAL UNIT, interval INT, {parameter} {word}) -> {word}"
    scalar(name, signature, category=DATE, description=description)(body)


_register("DATEADD", "date", "DATE", "A date so much later.", _date_by(1))
_register("DATESUB", "date", "DATE", "A date so much earlier.", _date_by(-1))
_register("TIMEADD", "time", "TIME", "A time of the day so much later, beyond midnight from the start.", _time_by(1))
_register("TIMESUB", "time", "TIME", "A time of the day so much earlier, before midnight from the end.", _time_by(-1))
_register("TIMESTAMPADD", "timestamp", "TIMESTAMP", "A timestamp so much later.", _timestamp_by(1))
_register("TIMESTAMPSUB", "timestamp", "TIMESTAMP", "A timestamp so much earlier.", _timestamp_by(-1))

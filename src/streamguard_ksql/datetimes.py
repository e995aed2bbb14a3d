"""Dates, times and timestamps as plain integers, time zones, and the ISO forms that ksqlDB reads and writes by itself.

A DATE is days since 1970-01-01, a TIME milliseconds of the day, a TIMESTAMP milliseconds since 1970-01-01T00:00Z. The
calendar is done with integers, not with Python's datetime, because ksqlDB's years go far beyond 1 to 9999.
Patterns given by the user (`yyyy-MM-dd`) are read in `datetime_patterns`.

Source: docs/reference/sql/data-types.md and time.md of the ksqlDB manual; days_from_civil after Howard Hinnant,
"chrono-Compatible Low-Level Date Algorithms".
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from streamguard_ksql.errors import EvaluationError

DAY_MS = 86_400_000
_MIN_LOCAL_S, _MAX_LOCAL_S = -62_135_510_400, 253_402_214_400
"""Seconds since 1970 of 0001-01-02 and 9999-12-31: between them zones are asked for their rules."""


def days_from_civil(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 of a date of the proleptic Gregorian calendar."""
    year -= month <= 2
    era = year // 400
    year_of_era = year - era * 400
    day_of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146_097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719_468


def civil_from_days(days: int) -> tuple[int, int, int]:
    """Year, month and day of so many days since 1970-01-01."""
    days += 719_468
    era = days // 146_097
    day_of_era = days - era * 146_097
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month_index = (5 * day_of_year + 2) // 153
    month = month_index + (3 if month_index < 10 else -9)
    return year_of_era + era * 400 + (month <= 2), month, day_of_year - (153 * month_index + 2) // 5 + 1


def is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def month_length(year: int, month: int) -> int:
    if month == 2:
        return 29 if is_leap(year) else 28
    return 30 if month in (4, 6, 9, 11) else 31


# --- zones ------------------------------------------------------------------------------------------------------------

_OFFSET = re.compile(r"([+-])(\d{1,2})(?::?(\d{2}))?(?::?(\d{2}))?")
_PREFIXED = re.compile(r"(?:UTC|GMT|UT)([+-].+)?")
_OFFSETS_ALONE = frozenset({"EST", "MST", "HST", "ROC", "Factory", "localtime", "posixrules"})
"""Files of the time zone database that are no zones to Java: abbreviations are names (see `zone_names`), not ids."""


@lru_cache(maxsize=256)
def zone(name: str) -> tzinfo:
    """The zone of a Java ZoneId (`Europe/Oslo`, `UTC`, `Z`, `+02:00`, `GMT+2`); EvaluationError if there is none."""
    prefixed = _PREFIXED.fullmatch(name)
    if name == "GMT":
        return ZoneInfo(name)  # as UTC, but under its own name
    if name == "Z" or (prefixed and not prefixed.group(1)):
        return timezone.utc
    offset = _OFFSET.fullmatch(prefixed.group(1) if prefixed else name)
    if offset:
        sign, hours, minutes, seconds = offset.groups()
        total = int(hours) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)
        return fixed_zone(-total if sign == "-" else total)
    try:
        if name in _OFFSETS_ALONE:
            raise ValueError(name)
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise EvaluationError(f"Unknown time-zone ID: {name}") from None


def fixed_zone(offset_s: int) -> tzinfo:
    """A zone that is always so many seconds ahead of UTC; EvaluationError beyond 18 hours, as in Java."""
    if abs(offset_s) > 18 * 3600:
        raise EvaluationError("Zone offset not in valid range: -18:00 to +18:00")
    return timezone(timedelta(seconds=offset_s))


def _seconds(delta: timedelta | None) -> int:
    return 0 if delta is None else delta.days * 86_400 + delta.seconds


_EPOCH = datetime(1970, 1, 1)
_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=timezone.utc)


def offset_at(moment_ms: int, of: tzinfo) -> int:
    """Seconds that the zone is ahead of UTC at a moment."""
    if of is timezone.utc:
        return 0
    seconds = min(max(moment_ms // 1000, _MIN_LOCAL_S), _MAX_LOCAL_S)
    return _seconds((_EPOCH_UTC + timedelta(seconds=seconds)).astimezone(of).utcoffset())


def local_to_utc(local_ms: int, of: tzinfo) -> int:
    """The moment that a wall clock shows; a time shown twice is the first, one that is skipped moves on by the gap."""
    if of is timezone.utc:
        return local_ms
    seconds = min(max(local_ms // 1000, _MIN_LOCAL_S), _MAX_LOCAL_S)
    return local_ms - _seconds((_EPOCH + timedelta(seconds=seconds)).replace(tzinfo=of).utcoffset()) * 1000


def convert_zone(moment_ms: int, source: tzinfo, target: tzinfo) -> int:
    """The moment at which the clock of UTC shows in `target` what it showed in `source` (CONVERT_TZ).

    The offset of `source` is that of the moment, not of its clock: it is another one in the hours around a change.
    """
    utc = moment_ms - offset_at(moment_ms, source) * 1000
    return utc + offset_at(utc, target) * 1000


# --- ISO text ---------------------------------------------------------------------------------------------------------


def date_to_string(days: int) -> str:
    year, month, day = civil_from_days(days)
    return f"{_year_text(year)}-{month:02}-{day:02}"


def _year_text(year: int) -> str:
    if 0 <= year <= 9999:
        return f"{year:04}"
    return f"+{year}" if year > 9999 else f"-{-year:04}"


def time_to_string(time_ms: int) -> str:
    """`10:15` or `10:15:30`: as much as is needed. ksqlDB leaves the milliseconds out."""
    minutes, second = divmod(time_ms // 1000, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour:02}:{minute:02}:{second:02}" if second else f"{hour:02}:{minute:02}"


def timestamp_to_string(moment_ms: int) -> str:
    """`2020-02-10T08:31:44.001`, in UTC."""
    days, rest = divmod(moment_ms, DAY_MS)
    seconds, ms = divmod(rest, 1000)
    minutes, second = divmod(seconds, 60)
    return f"{date_to_string(days)}T{minutes // 60:02}:{minutes % 60:02}:{second:02}.{ms:03}"


_DATE_TEXT = re.compile(r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2}))?)?")
_TIME_TEXT = re.compile(r"(\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?")
_TIMESTAMP_TEXT = re.compile(
    r"(\d{4}(?:-\d{1,2}(?:-\d{1,2})?)?)"
    r"(?:T(\d{1,2})(?::(\d{1,2})(?::(\d{1,2})(?:[.,](\d{1,9}))?)?)?)?"
    r"(Z|[+-]\d{2}(?::?\d{2})?|\[?[A-Za-z]+/[A-Za-z_/]+\]?)?"
)


def parse_date(text: str) -> int:
    """Days of `2020-02-10`, `2020-02` or `2020`; EvaluationError for anything else."""
    match = _DATE_TEXT.fullmatch(text.strip())
    try:
        if match is None:
            raise EvaluationError("it is not of that form")
        return _days(*(int(part or 1) for part in match.groups()))
    except EvaluationError as error:
        raise EvaluationError(f"Failed to parse date '{text}': {error}. Required format is: \"yyyy-MM-dd\"") from None


def _days(year: int, month: int, day: int) -> int:
    if not 1 <= month <= 12 or not 1 <= day <= month_length(year, month):
        raise EvaluationError(f"there is no {year:04}-{month:02}-{day:02}")
    return days_from_civil(year, month, day)


def _smart_days(date: str) -> int:
    """30 February is the last of it; EvaluationError for a day 32."""
    year, month, day = (int(part) for part in (date + "-1-1").split("-")[:3])
    if not 1 <= month <= 12 or not 1 <= day <= 31:
        raise EvaluationError(f"there is no {date}")
    return days_from_civil(year, month, min(day, month_length(year, month)))


def parse_time(text: str) -> int:
    """Milliseconds of `08:31`, `08:31:44` or `08:31:44.001`; EvaluationError for anything else."""
    match = _TIME_TEXT.fullmatch(text.strip())
    if match is not None:
        hour, minute, second, fraction = match.groups()
        if int(hour) < 24 and int(minute) < 60 and int(second or 0) < 60:
            return (int(hour) * 3600 + int(minute) * 60 + int(second or 0)) * 1000 + _fraction_ms(fraction)
    raise EvaluationError(f"Failed to parse time '{text}'. Required format is: \"HH:mm:ss.SSS\"")


def _fraction_ms(digits: str | None) -> int:
    return int((digits or "").ljust(3, "0")[:3])


def parse_timestamp(text: str) -> int:
    """Milliseconds of an ISO 8601 timestamp, parts of which may be missing from the right: `2020`, `2020-02-10T08`.

    Without an offset (`Z`, `+02`, `+0200`, `+02:00`) it is in UTC. EvaluationError for anything else.
    """
    match = _TIMESTAMP_TEXT.fullmatch(text.strip())
    try:
        if match is None:
            raise EvaluationError("it is not of that form")
        date, hour, minute, second, fraction, offset = match.groups()
        clock = int(hour or 0) * 3600 + int(minute or 0) * 60 + int(second or 0)
        if int(hour or 0) > 23 or int(minute or 0) > 59 or int(second or 0) > 59:
            raise EvaluationError("there is no such time of the day")
        local_ms = _smart_days(date) * DAY_MS + clock * 1000 + _fraction_ms(fraction)
        return local_to_utc(local_ms, zone(offset.strip("[]")) if offset else timezone.utc)
    except EvaluationError as error:
        raise EvaluationError(
            f"Failed to parse timestamp '{text}': {error}. "
            f"Required format is: \"yyyy-MM-dd'T'HH:mm:ss.SSS\", with an optional time zone as (+|-)HHMM"
        ) from None

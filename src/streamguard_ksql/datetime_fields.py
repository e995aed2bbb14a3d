"""The pattern letters of Java's DateTimeFormatter: how each is read and written (see `datetime_patterns`)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone, tzinfo
from functools import lru_cache

from streamguard_ksql import zone_names
from streamguard_ksql.datetimes import (
    DAY_MS,
    civil_from_days,
    days_from_civil,
    fixed_zone,
    is_leap,
    month_length,
    zone,
)
from streamguard_ksql.errors import EvaluationError

MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_QUARTERS = ("1st quarter", "2nd quarter", "3rd quarter", "4th quarter")
_NANOS_A_MS = 1_000_000


@dataclass
class Fields:
    """What was found in a text, by the letter of the pattern (`y` and `u` are one); zones apart."""

    values: dict[str, int] = field(default_factory=dict)
    zone: tzinfo | None = None

    def resolve(self) -> tuple[int, int]:
        """Days since 1970-01-01 and milliseconds of the day; EvaluationError if a field is out of range."""
        time_ms, extra_day = self._time()
        days = self._date()
        weekday = self.values.get("E")
        if weekday is not None and "y" in self.values and (days + 3) % 7 + 1 != weekday:
            raise EvaluationError("the day of the week is not that of the date")
        return days + extra_day, time_ms

    def _in_range(self, letter: str, low: int, high: int, default: int) -> int:
        value = self.values.get(letter, default)
        if not low <= value <= high:
            raise EvaluationError(f"Invalid value for {letter} (valid values {low} - {high}): {value}")
        return value

    def _date(self) -> int:
        year = self.values.get("y", 1970)
        if self.values.get("G") == 0:
            year = 1 - year
        if "Y" in self.values:
            return self._week_date()
        if "D" in self.values:
            day_of_year = self._in_range("D", 1, 366 if is_leap(year) else 365, 1)
            return days_from_civil(year, 1, 1) + day_of_year - 1
        quarter = self._in_range("Q", 1, 4, 1)
        month = self._in_range("M", 1, 12, quarter * 3 - 2)
        day = self._in_range("d", 1, 31, 1)
        return days_from_civil(year, month, min(day, month_length(year, month)))

    def _week_date(self) -> int:
        """Year, week and day of the US calendar: a week begins on Sunday, the first is the one with 1 January."""
        first = days_from_civil(self.values["Y"], 1, 1)
        sunday = first - (first + 4) % 7
        weekday = self.values.get("e", self.values.get("E", 7) % 7 + 1)
        return sunday + (self._in_range("w", 1, 53, 1) - 1) * 7 + weekday - 1

    def _time(self) -> tuple[int, int]:
        values = self.values
        if "N" in values:
            return self._in_range("N", 0, DAY_MS * _NANOS_A_MS - 1, 0) // _NANOS_A_MS, 0
        if "A" in values:
            return self._in_range("A", 0, DAY_MS - 1, 0), 0
        minute, second = self._in_range("m", 0, 59, 0), self._in_range("s", 0, 59, 0)
        nanos = self._in_range("n", 0, 999_999_999, values.get("S", 0))
        if values.get("H") == 24 and not (minute or second or nanos):
            return 0, 1
        return (self._hour() * 3600 + minute * 60 + second) * 1000 + nanos // _NANOS_A_MS, 0

    def _hour(self) -> int:
        values = self.values
        if "k" in values:
            return self._in_range("k", 1, 24, 24) % 24
        if "h" in values or "K" in values:
            hour = self._in_range("h", 1, 12, 12) % 12 if "h" in values else self._in_range("K", 0, 11, 0)
            return hour + 12 * values["a"] if "a" in values else 0
        return self._in_range("H", 0, 23, 12 * values.get("a", 0))


@dataclass(frozen=True)
class Moment:
    """A local date and time with the offset of its zone, cut into the parts that patterns ask for."""

    days: int
    year: int
    month: int
    day: int
    hour: int
    minute: int
    second: int
    ms: int
    offset_s: int
    zone: tzinfo

    @classmethod
    def of(cls, local_ms: int, offset_s: int, of: tzinfo) -> Moment:
        days, time_ms = divmod(local_ms, DAY_MS)
        seconds, ms = divmod(time_ms, 1000)
        year, month, day = civil_from_days(days)
        return cls(days, year, month, day, seconds // 3600, seconds // 60 % 60, seconds % 60, ms, offset_s, of)

    @property
    def time_ms(self) -> int:
        return ((self.hour * 60 + self.minute) * 60 + self.second) * 1000 + self.ms

    @property
    def weekday(self) -> int:
        """1 is Monday, 7 is Sunday."""
        return (self.days + 3) % 7 + 1

    @property
    def day_of_year(self) -> int:
        return self.days - days_from_civil(self.year, 1, 1) + 1

    @property
    def week(self) -> tuple[int, int]:
        """Year and number of the week in the US calendar (see Fields._week_date)."""
        for year in (self.year + 1, self.year):
            first = days_from_civil(year, 1, 1)
            sunday = first - (first + 4) % 7
            if self.days >= sunday:
                return year, (self.days - sunday) // 7 + 1
        raise AssertionError("a day is always after the Sunday before the 1 January of its year")


# --- reading ----------------------------------------------------------------------------------------------------------

Read = Callable[[Fields, str], None]


def _number(letter: str) -> Read:
    def read(fields: Fields, text: str) -> None:
        fields.values[letter] = int(text)

    return read


def _choice(letter: str, names: tuple[str, ...], first: int) -> Read:
    lowered = [name.lower() for name in names]

    def read(fields: Fields, text: str) -> None:
        fields.values[letter] = lowered.index(text.lower()) + first

    return read


def _fraction(fields: Fields, text: str) -> None:
    fields.values["S"] = int(text.ljust(9, "0"))


def _two_digit_year(fields: Fields, text: str) -> None:
    fields.values["y"] = 2000 + int(text)


def _zone_id(fields: Fields, text: str) -> None:
    """An id in any letter case, or an offset."""
    fixed = _FIXED_ZONE.fullmatch(text.upper())
    fields.zone = zone(fixed.group() if fixed else zone_names.find_by_id(text))


def _zone_name(full: bool) -> Read:
    def read(fields: Fields, text: str) -> None:
        found = zone_names.find_by_name(text, full=full)
        if found is None:
            _zone_id(fields, text)
        else:
            fields.zone = zone(found)

    return read


def _offset(fields: Fields, text: str) -> None:
    digits = re.sub(r"[^0-9+-]", "", text)
    total = 0
    if digits:
        hours, minutes, seconds = digits[1:3], digits[3:5], digits[5:7]
        total = int(hours) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)
    fields.zone = fixed_zone(-total if digits.startswith("-") else total)


def _localized_offset(fields: Fields, text: str) -> None:
    fields.zone = zone(text.upper())


def _short(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name[:3] for name in names)


_YEAR = r"-?\d{4}|[+-]\d{5,10}"
_FIXED = r"(?:UTC|GMT|UT)?[+-]\d{2}:\d{2}(?::\d{2})?"
_FIXED_ZONE = re.compile(f"{_FIXED}|Z")
_ZONE_ID = rf"{_FIXED}|(?!(?:UTC|GMT|UT)[+-])[A-Za-z][A-Za-z0-9/_-]*(?:\+\d+)?"
_OFFSETS = {
    1: r"[+-]\d{2}(?:\d{2})?",
    2: r"[+-]\d{4}",
    3: r"[+-]\d{2}:\d{2}",
    4: r"[+-]\d{4}(?:\d{2})?",
    5: r"[+-]\d{2}:\d{2}(?::\d{2})?",
}
_MAX_COUNT = {
    "d": 2,
    "h": 2,
    "H": 2,
    "k": 2,
    "K": 2,
    "m": 2,
    "s": 2,
    "w": 2,
    "W": 1,
    "F": 1,
    "a": 1,
    "D": 3,
    "S": 9,
    "z": 4,
}


def _check_count(letter: str, count: int) -> None:
    limit = _MAX_COUNT.get(letter, 5 if letter in "MLQqEecGXxZ" else 19)
    if count > limit:
        raise EvaluationError(f"Too many pattern letters: {letter}")
    if (letter == "V" and count != 2) or (letter in "Ov" and count not in (1, 4)):
        raise EvaluationError(f"Pattern letter count must be 2 for V, 1 or 4 for O and v: {letter * count}")


def _named(letter: str, names: tuple[str, ...], count: int, first: int) -> tuple[str, Read]:
    shown = names if count == 4 else _short(names)
    return "|".join(shown), _choice(letter, shown, first)


def reader(letter: str, count: int) -> tuple[str, Read]:
    """The regular expression of a field, and what to do with the text that it finds."""
    _check_count(letter, count)
    if letter in "uyY":
        key = "Y" if letter == "Y" else "y"
        if count == 2:
            return r"\d{2}", _two_digit_year if key == "y" else lambda f, t: f.values.update(Y=2000 + int(t))
        return (_YEAR if count == 4 else rf"-?\d{{{count},19}}"), _number(key)
    if letter in "ML":
        return _named("M", MONTHS, count, 1) if count > 2 else (_digits(count), _number("M"))
    if letter == "E" or (letter in "ec" and count > 2):
        return _named("E", DAYS, max(count, 3), 1)
    if letter == "a":
        return "AM|PM", _choice("a", ("AM", "PM"), 0)
    if letter == "G":
        return ("Anno Domini|Before Christ" if count == 4 else "AD|BC"), lambda f, t: f.values.update(G=t[0] in "aA")
    if letter == "S":
        return rf"\d{{{count}}}", _fraction
    if letter in "VvzOXxZ":
        return _zone_reader(letter, count)
    if letter in "dhHkKmsDwQqecWF":
        return _digits(count), _number({"q": "Q", "c": "e"}.get(letter, letter))
    if letter in "AnN":
        return rf"\d{{{count},19}}", _number(letter)
    raise EvaluationError(f"Unknown pattern letter: {letter}")


def _digits(count: int) -> str:
    return r"\d{1,19}" if count == 1 else rf"\d{{{count}}}"


def _zone_reader(letter: str, count: int) -> tuple[str, Read]:
    if letter == "V":
        return _ZONE_ID, _zone_id
    if letter in "zv":
        names = "".join(f"{re.escape(name)}|" for name in zone_names.full_names()) if count == 4 else ""
        return f"{names}{_ZONE_ID}", _zone_name(count == 4)
    if letter == "O" or (letter == "Z" and count == 4):
        return r"GMT(?:[+-]\d{1,2}(?::\d{2})?)?", _localized_offset
    if letter == "Z":
        return (_OFFSETS[2] if count < 4 else f"Z|{_OFFSETS[5]}"), _offset
    return (f"Z|{_OFFSETS[count]}" if letter == "X" else _OFFSETS[count]), _offset


# --- writing ----------------------------------------------------------------------------------------------------------

Write = Callable[[Moment], str]

_NUMBERS: dict[str, Callable[[Moment], int]] = {
    "u": lambda m: m.year,
    "y": lambda m: m.year if m.year > 0 else 1 - m.year,
    "Y": lambda m: m.week[0],
    "w": lambda m: m.week[1],
    "W": lambda m: (m.day + 6 + (m.days - m.day + 5) % 7) // 7,
    "D": lambda m: m.day_of_year,
    "M": lambda m: m.month,
    "L": lambda m: m.month,
    "Q": lambda m: (m.month + 2) // 3,
    "q": lambda m: (m.month + 2) // 3,
    "d": lambda m: m.day,
    "F": lambda m: (m.day - 1) % 7 + 1,
    "e": lambda m: m.weekday % 7 + 1,
    "c": lambda m: m.weekday % 7 + 1,
    "h": lambda m: (m.hour + 11) % 12 + 1,
    "K": lambda m: m.hour % 12,
    "k": lambda m: (m.hour + 23) % 24 + 1,
    "H": lambda m: m.hour,
    "m": lambda m: m.minute,
    "s": lambda m: m.second,
    "A": lambda m: m.time_ms,
    "n": lambda m: m.ms * _NANOS_A_MS,
    "N": lambda m: m.time_ms * _NANOS_A_MS,
}


def writer(letter: str, count: int) -> Write:
    """The function that writes a field."""
    if letter in "ML" and count > 2:
        return lambda m: _name(MONTHS[m.month - 1], count)
    if letter == "E" or (letter in "ec" and count > 2):
        return lambda m: _name(DAYS[m.weekday - 1], count)
    if letter in "Qq" and count > 2:
        return lambda m: _QUARTERS[(m.month - 1) // 3] if count == 4 else f"Q{(m.month + 2) // 3}"
    if letter == "a":
        return lambda m: "PM" if m.hour >= 12 else "AM"
    if letter == "G":
        return lambda m: _era(m.year > 0, count)
    if letter == "S":
        return lambda m: f"{m.ms:03}000000"[:count]
    if letter in "VvzOXxZ":
        return _zone_writer(letter, count)
    number = _NUMBERS[letter]
    if letter in "uyY":
        return lambda m: f"{number(m) % 100:02}" if count == 2 else _signed(number(m), count)
    return lambda m: f"{number(m):0{count}}"


def _name(name: str, count: int) -> str:
    return {4: name, 5: name[:1]}.get(count, name[:3])


def _era(common: bool, count: int) -> str:
    name = "Anno Domini" if common else "Before Christ"
    return {4: name, 5: name[:1]}.get(count, "AD" if common else "BC")


def _signed(year: int, count: int) -> str:
    """Wider than the pattern asks for, from four letters on, has a plus sign."""
    digits = f"{abs(year):0{count}}"
    if year < 0:
        return f"-{digits}"
    return f"+{digits}" if count >= 4 and len(digits) > count else digits


def _zone_writer(letter: str, count: int) -> Write:
    if letter == "V":
        return lambda m: zone_name(m.zone)
    if letter in "zv":
        return lambda m: _zone_text(m, full=count == 4, general=letter == "v")
    if letter == "O" or (letter == "Z" and count == 4):
        return lambda m: _gmt(m.offset_s, count == 4)
    if letter == "Z":
        return lambda m: _offset_text(m.offset_s, 2) if count < 4 else _offset_or_z(m.offset_s, 5)
    return lambda m: _offset_or_z(m.offset_s, count) if letter == "X" else _offset_text(m.offset_s, count)


def zone_name(of: tzinfo) -> str:
    """The id of a zone: its region, its offset, or Z."""
    if of is timezone.utc:
        return "UTC"
    key = getattr(of, "key", None)
    if key:
        return str(key)
    return _offset_or_z(_total_seconds(of.utcoffset(None)), 5)


def _total_seconds(delta: timedelta | None) -> int:
    return int(delta.total_seconds()) if delta else 0


def _zone_text(moment: Moment, *, full: bool, general: bool) -> str:
    """The name of a zone: `PST`, `PDT` in summer, `PT` in general."""
    key = zone_name(moment.zone)
    names = zone_names.names_of(key)
    if names is None:
        return key
    if general:
        return names.long_general if full else names.general
    if _is_summer(moment):
        return names.long_summer if full else names.summer
    return names.long_winter if full else names.winter


def _is_summer(moment: Moment) -> bool:
    """Whether the clock is ahead of the zone's standard time."""
    if moment.zone is timezone.utc or not 1 < moment.year < 9999:
        return False
    local = datetime(moment.year, moment.month, moment.day, moment.hour, moment.minute, tzinfo=moment.zone)
    if local.utcoffset() != timedelta(seconds=moment.offset_s):
        local = local.replace(fold=1)
    ahead = local.dst() or timedelta(0)
    return ahead > timedelta(0) or (not ahead and _has_winter_time(moment.zone, moment.year))


@lru_cache(maxsize=1024)
def _has_winter_time(of: tzinfo, year: int) -> bool:
    """Whether the zone calls its time in summer standard, and turns the clock back in winter: Java has it the other way."""
    return any((datetime(year, month, 15, tzinfo=of).dst() or timedelta(0)) < timedelta(0) for month in range(1, 13))


def _offset_or_z(offset_s: int, count: int) -> str:
    return "Z" if offset_s == 0 else _offset_text(offset_s, count)


def _offset_text(offset_s: int, count: int) -> str:
    """+HH[mm], +HHmm, +HH:mm, +HHmm[ss], +HH:mm[:ss] for 1 to 5 letters."""
    sign = "-" if offset_s < 0 else "+"
    minutes, second = divmod(abs(offset_s), 60)
    hour, minute = divmod(minutes, 60)
    colon = ":" if count in (3, 5) else ""
    text = f"{sign}{hour:02}"
    if count > 1 or minute:
        text += f"{colon}{minute:02}"
    return f"{text}{colon}{second:02}" if count > 3 and second else text


def _gmt(offset_s: int, full: bool) -> str:
    if offset_s == 0:
        return "GMT"
    sign = "-" if offset_s < 0 else "+"
    hour, minute = divmod(abs(offset_s) // 60, 60)
    if full:
        return f"GMT{sign}{hour:02}:{minute:02}"
    return f"GMT{sign}{hour}" + (f":{minute:02}" if minute else "")

"""Reading with Java's SimpleDateFormat, which PARSE_DATE uses: lenient, where DateTimeFormatter is not.

29 February 2023 is 1 March, month 13 January of the next year, a number may have blanks in front of it and more digits
than letters, and what is behind the last field is left unread. A year of two digits is the one from 80 years before
today to 20 years after it. Dates before 15 October 1582 are of the Julian calendar.

Source: the Java SE API documentation of java.text.SimpleDateFormat and java.util.GregorianCalendar.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import lru_cache
from itertools import groupby

from streamguard_ksql.datetime_fields import DAYS, MONTHS
from streamguard_ksql.datetimes import DAY_MS, civil_from_days, days_from_civil
from streamguard_ksql.errors import EvaluationError

_LETTERS = frozenset("GyMdkHmsSEDFwWahKzZYuXL")
OTHER_CALENDAR = frozenset("FwWzZYXG")
"""Letters of weeks, zones and eras."""
_NAMES = {
    "M": [(name.lower(), i) for i, name in enumerate(MONTHS, 1)]
    + [(n[:3].lower(), i) for i, n in enumerate(MONTHS, 1)],
    "E": [(name.lower(), i) for i, name in enumerate(DAYS, 1)] + [(n[:3].lower(), i) for i, n in enumerate(DAYS, 1)],
    "a": [("am", 0), ("pm", 1)],
}
_NUMBER = re.compile(r"-?\d+")
_BLANKS = re.compile(r"[ \t]*")
_GREGORIAN_FROM = -141_427
"""15 October 1582."""
Token = tuple[str, int]
"""A letter and how often it is repeated; a literal character and 0."""


@lru_cache(maxsize=256)
def tokens(pattern: str) -> tuple[Token, ...]:
    """The fields and literals of a pattern; EvaluationError for a letter that means nothing."""
    found: list[Token] = []
    parts = re.split(r"('(?:[^']|'')*'?)", pattern)
    for part in parts:
        if part.startswith("'"):
            if len(part) < 2 or not part.endswith("'"):
                raise EvaluationError(f"Unterminated quote: {pattern}")
            found += [(letter, 0) for letter in part[1:-1].replace("''", "'") or "'"]
            continue
        for letter, run in groupby(part):
            count = len(list(run))
            if not (letter.isascii() and letter.isalpha()):
                found += [(letter, 0)] * count
            elif letter in _LETTERS:
                found.append(({"L": "M"}.get(letter, letter), count))
            else:
                raise EvaluationError(f"Illegal pattern character '{letter}'")
    return tuple(found)


def parse_date(text: str, pattern: str, now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> int:
    """Days since 1970-01-01; EvaluationError for a text of another form, or one that also says a time of the day."""
    fields = _fields(text, tokens(pattern), now_ms)
    days = _days(fields.get("y", 1970), fields.get("M", 1), fields.get("d", 1))
    if "D" in fields and not fields.keys() & {"M", "d"}:
        days = _days(fields.get("y", 1970), 1, fields["D"])
    moment_ms = days * DAY_MS + _time_ms(fields)
    if moment_ms % DAY_MS:
        raise EvaluationError("Date format contains time field.")
    return moment_ms // DAY_MS


def _time_ms(fields: dict[str, int]) -> int:
    hour = fields.get("H", fields.get("k", 0) % 24)
    if "h" in fields or "K" in fields:
        hour = fields.get("h", fields.get("K", 0)) % 12 + 12 * fields.get("a", 0)
    return ((hour * 60 + fields.get("m", 0)) * 60 + fields.get("s", 0)) * 1000 + fields.get("S", 0)


def _fields(text: str, wanted: tuple[Token, ...], now_ms: Callable[[], int]) -> dict[str, int]:
    fields: dict[str, int] = {}
    place = 0
    for i, (letter, count) in enumerate(wanted):
        if not count:
            if not text.startswith(letter, place):
                raise EvaluationError(f'Unparseable date: "{text}"')
            place += 1
            continue
        is_next_number = i + 1 < len(wanted) and wanted[i + 1][1] > 0 and _is_number(*wanted[i + 1])
        fields[letter], place = _field(text, place, letter, count, is_next_number, now_ms)
    return fields


def _is_number(letter: str, count: int) -> bool:
    return letter not in "Ea" and not (letter == "M" and count > 2)


def _field(
    text: str, place: int, letter: str, count: int, is_next_number: bool, now_ms: Callable[[], int]
) -> tuple[int, int]:
    blanks = _BLANKS.match(text, place)
    start = blanks.end() if blanks else place
    if not _is_number(letter, count):
        for name, value in _NAMES[letter]:
            if text[start : start + len(name)].lower() == name:
                return value, start + len(name)
        raise EvaluationError(f'Unparseable date: "{text}"')
    match = _NUMBER.match(text, start, start + count) if is_next_number else _NUMBER.match(text, start)
    if match is None:
        raise EvaluationError(f'Unparseable date: "{text}"')
    value = int(match.group()[:12])
    if letter == "y" and count <= 2 and len(match.group()) == 2 and match.group().isdigit():
        value = _full_year(value, now_ms())
    return value, match.end()


def _full_year(two_digits: int, now_ms: int) -> int:
    first = civil_from_days(now_ms // DAY_MS)[0] - 80
    return two_digits + first // 100 * 100 + (100 if two_digits < first % 100 else 0)


def _days(year: int, month: int, day: int) -> int:
    year += (month - 1) // 12
    month = (month - 1) % 12 + 1
    days = days_from_civil(year, month, 1) + day - 1
    if days >= _GREGORIAN_FROM:
        return days
    past = year - (month <= 2)
    day_of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return past * 365 + past // 4 + day_of_year - 719_470

"""Times as people write them: counted in some unit, or as a date of some order, with a zone or without one.

A column has one form (`TimeForm`). `guess_time` finds the forms that read a column; where two read it and disagree
(01/02/2026), both come back and somebody has to say which it is. Every time becomes epoch milliseconds, UTC; what is
finer is cut off. Times that no clock shows (25:61, 30 February) are refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any
from unicodedata import normalize
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

EPOCH_UNITS = {"s": Decimal(1000), "ms": Decimal(1), "us": Decimal("0.001"), "ns": Decimal("0.000001")}
"""Units of times counted from 1970, in milliseconds."""
SPAN_UNITS = {"seconds": 1_000, "minutes": 60_000, "hours": 3_600_000, "days": 86_400_000}
"""Units of times counted from a day that somebody has to name, in milliseconds."""
DATE_ORDERS = ("iso", "dmy", "mdy")
EXCEL = "excel"
"""Days of a spreadsheet: 45291.5 is noon of 31 December 2023, in the zone of the form."""
NAMES = (EXCEL, *EPOCH_UNITS, *SPAN_UNITS, *DATE_ORDERS)

_FIRST_MS, _LAST_MS = 10**11, 4_102_444_800_000
"""1973 to 2100: in these years seconds, milliseconds, micro- and nanoseconds cannot be taken for each other."""
_GOOD_SHARE = 0.5

_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "jan ene janv januar janeiro enero janvier gennaio gen january",
            "feb fev fevr februar fevereiro febrero fevrier febbraio february",
            "mar mrz maerz marz marco marzo mars march",
            "apr abr avr abril avril april aprile",
            "may mai maio mayo mag maggio",
            "jun june juni junho junio juin giu giugno",
            "jul july juli julho julio juil juillet lug luglio",
            "aug august ago agosto aout",
            "sep sept set september setembro septiembre septembre settembre",
            "oct okt out ott october oktober outubro octubre octobre ottobre",
            "nov november novembro noviembre novembre",
            "dec dez dic december dezember dezembro diciembre decembre dicembre",
        ),
        start=1,
    )
    for name in names.split()
}
"""Months in English, German, Portuguese, Spanish, French and Italian, without accents."""
# Hours east of UTC. Names that several zones share (IST, and CST of China) mean what most exports mean, or are left out.
_ABBREVIATIONS = {
    "UTC": 0, "GMT": 0, "Z": 0, "WET": 0, "WEST": 1, "BST": 1, "CET": 1, "CEST": 2, "EET": 2, "EEST": 3, "MSK": 3, "EAT": 3,
    "WAT": 1, "CAT": 2, "SAST": 2, "BRT": -3, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6,
    "PST": -8, "PDT": -7, "JST": 9, "KST": 9, "AEST": 10, "AEDT": 11, "NZST": 12, "NZDT": 13,
}  # fmt: skip

_ZONES_OF_WEB_FORMS = {
    "Eastern Time (US & Canada)": "America/New_York",
    "Central Time (US & Canada)": "America/Chicago",
    "Mountain Time (US & Canada)": "America/Denver",
    "Pacific Time (US & Canada)": "America/Los_Angeles",
}

_CLOCK = (
    r"(?:[T ,]+(?P<hour>\d{1,2})(?::(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?)?)?"
    r"(?:\s*(?P<half>[aApP])\.?[mM]\.?)?)?(?:\s*\(?(?P<zone>Z|[A-Z]{2,5}|(?:GMT|UTC)?[+-]\d{2}:?(?:\d{2})?)\)?)?"
)
_MONTH = r"(?P<month>\d{1,2}|[^\W\d_]{3,10}\.?)"
_WEEKDAY = re.compile(r"(?:mon|tue|wed|thu|fri|sat|sun)[a-z]{0,6}\.?,? +", re.IGNORECASE)
_PATTERNS = {
    "iso": re.compile(rf"(?P<year>\d{{4}})(?P<mark>[-/.]?)(?P<month>\d{{2}})(?P=mark)(?P<day>\d{{2}}){_CLOCK}"),
    "dmy": re.compile(
        rf"(?P<day>\d{{1,2}})(?:[-/. ]|\.? (?:de )?){_MONTH}(?:,?[-/. ]| de )(?P<year>\d{{4}}|\d{{2}}){_CLOCK}"
    ),
    "mdy": re.compile(rf"{_MONTH}[-/. ](?P<day>\d{{1,2}}),?[-/. ](?P<year>\d{{4}}|\d{{2}}){_CLOCK}"),
}
_DOTTED = re.compile(r"\s*\d{1,2}\.\d{1,2}\.\d{2}")
_COMPACT = re.compile(r"(\d{8})T?(\d{2})(\d{2})(\d{2})?((?:\.\d+)?(?:Z|[+-]\d{2}:?\d{2})?)(?:\[([+-]?\d{1,2}).*\])?")


@dataclass(frozen=True, slots=True)
class TimeForm:
    """How a column writes times: one of `NAMES`; the zone of times that name none; the day that spans count from.

    `origin` is epoch milliseconds. A zone is a name of the tz database.
    """

    name: str
    zone: str = "UTC"
    origin: int = 0


def time_reader(form: TimeForm) -> Callable[[Any], int]:
    """A function from a value to epoch milliseconds, UTC; it raises ValueError for what is no time in this form.

    Dates and times of Parquet are read whatever the form, and those without a zone are in the zone of the form.
    Raises ValueError at once for a form or zone that is not known.
    """
    zone = zone_of(form.zone)
    if form.name in EPOCH_UNITS:
        counted: Callable[[Any], int] = _epoch_reader(form.name)
    elif form.name == EXCEL:
        counted = _excel_reader(zone)
    elif form.name in SPAN_UNITS:
        counted = _span_reader(SPAN_UNITS[form.name], form.origin)
    elif form.name in DATE_ORDERS:
        counted = _DateReader(form.name, zone)
    else:
        raise ValueError(f"{form.name!r} is no form of a time: {', '.join(NAMES)}")

    def read(value: Any) -> int:
        if isinstance(value, date):
            return _instant(value, zone)
        return counted(value)

    return read


def parse_time(text: str) -> int:
    """Epoch milliseconds of an ISO 8601 date and time, UTC where it names no zone; raises ValueError naming the text."""
    return _DateReader("iso", timezone.utc)(text)


def guess_time(values: Iterable[Any], zone: str = "UTC") -> list[TimeForm]:
    """The forms that read at least half of a column, the best first; none, one, or two that disagree.

    Two come back for days and months that can be taken for each other, and then both read the same values.
    """
    seen = [value for value in values if value not in (None, "")]
    if not seen:
        return []
    if all(isinstance(value, date) for value in seen):
        return [TimeForm("iso", zone)]
    found = []
    for name in (*EPOCH_UNITS, *DATE_ORDERS):
        form = TimeForm(name, zone)
        times = [_tried(time_reader(form), value) for value in seen]
        good = sum(time is not None and _FIRST_MS <= time < _LAST_MS for time in times)
        if good >= max(1, _GOOD_SHARE * len(seen)):
            found.append((good, form, times))
    if not found:
        return []
    most = max(good for good, _, _ in found)
    best = [(form, times) for good, form, times in found if good == most]
    if all(_DOTTED.match(str(value)) for value in seen):
        # Nobody writes the month first between dots.
        best = [(form, times) for form, times in best if form.name != "mdy"] or best
    first, times = best[0]
    return [first] + [form for form, others in best[1:] if others != times]


@lru_cache(maxsize=64)
def zone_of(name: str) -> tzinfo:
    """A zone by its name in the tz database, its common abbreviation, or its distance to UTC; raises ValueError."""
    text = name.strip()
    if text.upper() in _ABBREVIATIONS:
        return timezone(timedelta(hours=_ABBREVIATIONS[text.upper()]))
    if found := re.fullmatch(r"(?:GMT|UTC)?([+-])(\d{2}):?(\d{2})?", text):
        minutes = int(found[2]) * 60 + int(found[3] or 0)
        if minutes < 24 * 60:
            return timezone(timedelta(minutes=-minutes if found[1] == "-" else minutes))
    try:
        return ZoneInfo(_ZONES_OF_WEB_FORMS.get(text, text))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone such as America/Sao_Paulo, UTC or +03:00") from None


def _tried(read: Callable[[Any], int], value: Any) -> int | None:
    try:
        return read(value)
    except ValueError:
        return None


def _count(value: Any) -> Decimal:
    """A number of units; raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        raise ValueError(f"{value!r} is no time")
    try:
        number = Decimal(repr(value) if isinstance(value, float) else value)
    except InvalidOperation:
        raise ValueError(f"{value!r} is no number of time units") from None
    if not number.is_finite() or number.adjusted() > 30:
        raise ValueError(f"{value!r} is no number of time units")
    return number


def _epoch_reader(unit: str) -> Callable[[Any], int]:
    in_ms = EPOCH_UNITS[unit]
    whole = int(in_ms) if in_ms >= 1 else 0

    def read(value: Any) -> int:
        if whole and type(value) is str and value.isascii() and value.isdigit() and len(value) < 19:
            return int(value) * whole
        return int(_count(value) * in_ms // 1)

    return read


def _excel_reader(zone: tzinfo) -> Callable[[Any], int]:
    """A spreadsheet keeps nine places of a day, which are less than a millisecond: the nearest one is meant."""

    def read(value: Any) -> int:
        days = _count(value)
        if not 0 < days < 100_000:
            raise ValueError(f"{value!r} is no day of a spreadsheet, such as 45291.5")
        moment = datetime(1899, 12, 30) + timedelta(milliseconds=round(days * 86_400_000))
        return _instant(moment, zone)

    return read


def _span_reader(unit_ms: int, origin: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if type(value) is str and value.isascii() and value.isdigit() and len(value) < 10:
            return origin + int(value) * unit_ms
        return origin + int(_count(value) * unit_ms // 1)

    return read


def _instant(value: date, zone: tzinfo) -> int:
    """Epoch milliseconds; raises ValueError for a time that the zone has twice or not at all."""
    if not isinstance(value, datetime):
        return _since_1970(datetime(value.year, value.month, value.day, tzinfo=zone))
    if value.tzinfo is None:
        value = value.replace(tzinfo=zone)
        _check_clock(value, zone)
    return _since_1970(value)


def _since_1970(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(milliseconds=1)


def _check_clock(moment: datetime, zone: tzinfo) -> None:
    """Raise ValueError for an hour that the zone skips in spring or has twice in autumn."""
    if not isinstance(zone, ZoneInfo) or moment.utcoffset() == moment.replace(fold=1).utcoffset():
        return
    exists = moment.astimezone(timezone.utc).astimezone(zone).replace(tzinfo=None) == moment.replace(tzinfo=None)
    raise ValueError(
        f"{zone.key} {'has this hour twice' if exists else 'skips this hour'} when its clocks change; "
        "write its distance to UTC behind it, such as +01:00"
    )


class _DateReader:
    """Dates of one order. The days of a file are few, and so are the times of a day: those that came are kept."""

    def __init__(self, order: str, zone: tzinfo) -> None:
        self._order = order
        self._pattern = _PATTERNS[order]
        self._zone = zone
        self._is_utc = zone in (timezone.utc, ZoneInfo("UTC"))
        self._days: dict[str, int] = {}
        self._clocks: dict[str, int] = {}
        """Seconds of the day, by what follows the date."""

    def __call__(self, value: Any) -> int:
        if isinstance(value, str) and self._order == "iso" and self._is_utc and len(value) in (19, 20):
            fast = self._plain(value)
            if fast is not None:
                return fast
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str):
            raise ValueError(self._refusal(value))
        return self._slow(value)

    def _plain(self, text: str) -> int | None:
        """2018-04-01T00:00:31Z and the like, without a pattern; None for all else."""
        day = self._days.get(text[:10])
        if day is None:
            try:
                day = (date.fromisoformat(text[:10]).toordinal() - 719_163) * 86_400
            except ValueError:
                return None
            self._days[text[:10]] = day
        seconds = self._clocks.get(text[10:])
        if seconds is None:
            if (seconds := self._seconds(text)) is None:
                return None
            self._clocks[text[10:]] = seconds
        return (day + seconds) * 1000

    def _seconds(self, text: str) -> int | None:
        """The seconds of the day; raises ValueError for a time that no clock shows."""
        clock = text[11:19]
        if text[10] not in "T " or clock[2] != ":" or clock[5] != ":" or text[19:] not in ("", "Z"):
            return None
        hour, minute, second = clock[:2], clock[3:5], clock[6:]
        if not (clock.isascii() and hour.isdigit() and minute.isdigit() and second.isdigit()):
            return None
        if hour > "23" or minute > "59" or second > "59":
            raise ValueError(self._refusal(text))
        return int(hour) * 3600 + int(minute) * 60 + int(second)

    def _slow(self, value: str) -> int:
        text = value.strip()
        if self._order != "iso":
            text = _WEEKDAY.sub("", text, count=1) if _WEEKDAY.match(text) else text
        if self._order == "iso" and (compact := _COMPACT.fullmatch(text)):
            day, hour, minute, second, rest, east = compact.groups()
            # OFX writes its zone as [-3:BRT].
            text = f"{day} {hour}:{minute}:{second or '00'}{rest}" + (f"{int(east):+03d}:00" if east else "")
        found = self._pattern.fullmatch(text)
        if found is None:
            raise ValueError(self._refusal(value))
        try:
            moment = _moment(found)
            moment = moment.replace(tzinfo=zone_of(found["zone"]) if found["zone"] else self._zone)
            if found["hour"] and not found["zone"]:
                _check_clock(moment, self._zone)
        except ValueError as error:
            raise ValueError(self._refusal(value, str(error))) from None
        fraction = (found["fraction"] or "").ljust(3, "0")[:3]
        return _since_1970(moment) + int(fraction)

    def _refusal(self, value: object, why: str = "") -> str:
        example = {"iso": "2026-01-05T12:00:00Z", "dmy": "31/01/2026 12:00:00", "mdy": "01/31/2026 12:00:00"}[
            self._order
        ]
        return f"{value!r} is no date and time such as {example}{f': {why}' if why else ''}"


def _bare(name: str) -> str:
    """The name of a month without letter case and accents."""
    return normalize("NFKD", name.rstrip(".").lower()).encode("ascii", "ignore").decode()


def _moment(found: re.Match[str]) -> datetime:
    """A date and a time without zone; raises ValueError for what no calendar or clock shows."""
    name = found["month"]
    month = int(name) if name.isdigit() else _MONTHS.get(_bare(name), 0)
    if not month:
        raise ValueError(f"{name!r} is no month")
    year = int(found["year"])
    if len(found["year"]) == 2:
        year += 2000 if year < 70 else 1900
    hour = int(found["hour"] or 0)
    if half := found["half"]:
        if not 1 <= hour <= 12:
            raise ValueError("hour must be in 1..12")
        hour = hour % 12 + (12 if half in "pP" else 0)
    second = int(found["second"] or 0)
    return datetime(year, month, int(found["day"]), hour, int(found["minute"] or 0), second)

"""Readings of the functions of dates and times."""

from __future__ import annotations

import datetime
from zoneinfo import ZoneInfo

from tests.streamguard_ksql.differential.reading import INT, NoValue, need, reads, value_if

DAY_MS = 86_400_000
UNITS = {"MILLISECONDS": 1, "SECONDS": 1000, "MINUTES": 60_000, "HOURS": 3_600_000, "DAYS": DAY_MS}
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
ZONES = ("UTC", "Asia/Tokyo", "America/Phoenix", "Europe/London", "America/New_York")
FORMATS = {
    "yyyy-MM-dd": "%Y-%m-%d",
    "dd/MM/yyyy": "%d/%m/%Y",
    "HH:mm:ss": "%H:%M:%S",
    "yyyy-MM-dd HH:mm": "%Y-%m-%d %H:%M",
    "yyyy-MM-dd'T'HH:mm:ss": "%Y-%m-%dT%H:%M:%S",
    "DDD yyyy": "%j %Y",
}


def _moment(value_ms: int) -> datetime.datetime:
    need(-50_000_000_000_000 < value_ms < 250_000_000_000_000)
    return EPOCH + datetime.timedelta(milliseconds=value_ms)


def _pattern(pattern: str) -> str:
    need(pattern in FORMATS)
    return FORMATS[pattern]


def _zone(name: str) -> ZoneInfo:
    need(name in ZONES)
    return ZoneInfo(name)


def _shown(moment: datetime.datetime, pattern: str) -> str:
    return moment.strftime(_pattern(pattern).replace("%Y", f"{moment.year:04}"))


def _ms(moment: datetime.datetime) -> int:
    return (moment - EPOCH) // datetime.timedelta(milliseconds=1)


def _read(text: str, pattern: str) -> datetime.datetime:
    """A text in exactly the form of the pattern; other forms may be read leniently, of which the manual is silent."""
    try:
        moment = datetime.datetime.strptime(text, _pattern(pattern)).replace(tzinfo=datetime.timezone.utc)
    except ValueError:
        need(not any(c.isdigit() for c in text))
        raise NoValue from None
    need(_shown(moment, pattern) == text)
    return moment


@reads("FROM_DAYS", "UNIX_DATE", "FROM_UNIXTIME", "UNIX_TIMESTAMP")
def same(value: int) -> int:
    return value


@reads("DATEADD")
def date_add(unit: str, number: int, date: int) -> int:
    need(unit == "DAYS" and -INT <= date + number < INT)
    return date + number


reads("DATESUB")(lambda unit, number, date: date_add(unit, -number, date))


@reads("TIMEADD")
def time_add(unit: str, number: int, time: int) -> int:
    return (time + number * UNITS[unit]) % DAY_MS


reads("TIMESUB")(lambda unit, number, time: time_add(unit, -number, time))


@reads("TIMESTAMPADD")
def timestamp_add(unit: str, number: int, moment: int) -> int:
    result = moment + number * UNITS[unit]
    need(abs(result) < 10**15)
    return result


reads("TIMESTAMPSUB")(lambda unit, number, moment: timestamp_add(unit, -number, moment))


@reads("FORMAT_DATE", "DATETOSTRING")
def format_date(date: int, pattern: str) -> str:
    need("H" not in pattern)
    return _shown(_moment(date * DAY_MS), pattern)


@reads("FORMAT_TIME")
def format_time(time: int, pattern: str) -> str:
    need("y" not in pattern)
    return _shown(_moment(time), pattern)


@reads("FORMAT_TIMESTAMP", "TIMESTAMPTOSTRING")
def format_timestamp(moment: int, pattern: str, zone: str = "UTC") -> str:
    return _shown(_moment(moment).astimezone(_zone(zone)), pattern)


@reads("PARSE_DATE", "STRINGTODATE")
def parse_date(text: str, pattern: str) -> int:
    need("H" not in pattern)
    return _ms(_read(text, pattern)) // DAY_MS


@reads("PARSE_TIME")
def parse_time(text: str, pattern: str) -> int:
    need("y" not in pattern)
    return _ms(_read(text, pattern)) % DAY_MS


@reads("PARSE_TIMESTAMP", "STRINGTOTIMESTAMP")
def parse_timestamp(text: str, pattern: str, zone: str = "UTC") -> int:
    need("y" in pattern)
    moment = _read(text, pattern)
    given = moment.replace(tzinfo=_zone(zone))
    need(
        given.astimezone(datetime.timezone.utc).astimezone(_zone(zone)).replace(tzinfo=None)
        == given.replace(tzinfo=None)
    )
    need(given.replace(fold=1).utcoffset() == given.utcoffset() and moment.year > 1970)
    return _ms(given)


@reads("CONVERT_TZ")
def convert_tz(moment: int, source: str, target: str) -> int:
    shift = _moment(moment).astimezone(_zone(target)).utcoffset(), _moment(moment).astimezone(_zone(source)).utcoffset()
    value_if(None not in shift)
    need(moment > 0 and {source, target} <= {"UTC", "Asia/Tokyo", "America/Phoenix"})
    return moment + (shift[0] - shift[1]) // datetime.timedelta(milliseconds=1)  # type: ignore[operator]

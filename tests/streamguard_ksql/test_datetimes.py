"""The calendar, zones, ISO texts and Java's patterns."""

from __future__ import annotations

from datetime import date, datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard_ksql import datetime_patterns as patterns
from streamguard_ksql import datetimes, zone_names
from streamguard_ksql.errors import EvaluationError

EPOCH = date(1970, 1, 1)


@given(st.dates())
def test_the_calendar_agrees_with_pythons(day: date) -> None:
    days = (day - EPOCH).days
    assert datetimes.days_from_civil(day.year, day.month, day.day) == days
    assert datetimes.civil_from_days(days) == (day.year, day.month, day.day)
    assert datetimes.date_to_string(days) == day.isoformat()
    assert datetimes.parse_date(day.isoformat()) == days


@given(st.integers(-(10**9), 10**9))
def test_far_years_come_back(days: int) -> None:
    assert datetimes.days_from_civil(*datetimes.civil_from_days(days)) == days


@given(st.integers(0, datetimes.DAY_MS - 1))
def test_times_come_back_without_their_milliseconds(time_ms: int) -> None:
    assert datetimes.parse_time(datetimes.time_to_string(time_ms)) == time_ms // 1000 * 1000


@given(st.datetimes(min_value=datetime(2, 1, 1), timezones=st.timezones()))
def test_zones_agree_with_pythons(moment: datetime) -> None:
    moment = moment.replace(microsecond=0)
    utc = moment.astimezone(timezone.utc)
    moment_ms = int((utc.replace(tzinfo=None) - datetime(1970, 1, 1)).total_seconds()) * 1000
    assert moment.tzinfo is not None
    offset = moment.tzinfo.utcoffset(utc.astimezone(moment.tzinfo))
    assert offset is not None
    assert datetimes.offset_at(moment_ms, moment.tzinfo) == int(offset.total_seconds() // 1)


@pytest.mark.parametrize(
    ("text", "moment_ms"),
    [
        ("2018", 1514764800000),
        ("2018-01", 1514764800000),
        ("2018-01-01T00:00:00.001", 1514764800001),
        ("2020-02-10T08:31:44.001+0000", 1581323504001),
        ("2020-02-10T08:31:44.001Z", 1581323504001),
        ("2020-02-10T08:31+01:00", 1581319860000),
        ("2020-02-10T08+01", 1581318000000),
        ("1969-12-31T23:59:59.999", -1),
        ("2018-02-30", 1519776000000),
    ],
)
def test_timestamp_literals(text: str, moment_ms: int) -> None:
    assert datetimes.parse_timestamp(text) == moment_ms


@pytest.mark.parametrize("text", ["", "18", "2018-13", "2018-02-32", "2018-01-01 00:00", "2018-01-01T25:00", "now"])
def test_what_is_no_timestamp(text: str) -> None:
    with pytest.raises(EvaluationError, match="Failed to parse timestamp"):
        datetimes.parse_timestamp(text)


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../etc/passwd", "+19:00", "GMT+99"])
def test_what_is_no_zone(name: str) -> None:
    with pytest.raises(EvaluationError):
        datetimes.zone(name)


@pytest.mark.parametrize("name", ["EST", "MST", "HST", "ROC", "PDT", "CEST"])
def test_a_zones_name_is_not_its_id(name: str) -> None:
    with pytest.raises(EvaluationError, match=f"Unknown time-zone ID: {name}"):
        datetimes.zone(name)


NOON = "2023-07-15 12:00 "


@pytest.mark.parametrize(
    ("text", "pattern", "utc"),
    [
        ("2023-07-15 12:00 CEST", "z", "2023-07-15T10:00"),
        ("2023-07-15 12:00 CET", "z", "2023-07-15T10:00"),
        ("2023-01-15 12:00 CEST", "z", "2023-01-15T11:00"),
        ("2023-07-15 12:00 PDT", "z", "2023-07-15T19:00"),
        ("2023-07-15 12:00 pdt", "zzz", "2023-07-15T19:00"),
        ("2023-07-15 12:00 PST", "z", "2023-07-15T19:00"),
        ("2023-01-15 12:00 PDT", "z", "2023-01-15T20:00"),
        ("2023-07-15 12:00 PT", "z", "2023-07-15T19:00"),
        ("2023-07-15 12:00 PT", "v", "2023-07-15T19:00"),
        ("2023-07-15 12:00 EST", "z", "2023-07-15T16:00"),
        ("2023-01-15 12:00 EST", "z", "2023-01-15T17:00"),
        ("2023-07-15 12:00 HST", "z", "2023-07-15T22:00"),
        ("2023-07-15 12:00 JST", "z", "2023-07-15T03:00"),
        ("2023-07-15 12:00 BST", "z", "2023-07-15T01:00"),
        ("2023-07-15 12:00 IST", "z", "2023-07-15T12:00"),
        ("2023-07-15 12:00 MSK", "z", "2023-07-15T09:00"),
        ("2023-07-15 12:00 UTC", "z", "2023-07-15T12:00"),
        ("2023-07-15 12:00 GMT", "z", "2023-07-15T12:00"),
        ("2023-07-15 12:00 Z", "z", "2023-07-15T12:00"),
        ("2023-07-15 12:00 +02:00", "z", "2023-07-15T10:00"),
        ("2023-07-15 12:00 EST5EDT", "z", "2023-07-15T16:00"),
        ("2023-07-15 12:00 europe/oslo", "z", "2023-07-15T10:00"),
        ("2023-07-15 12:00 Central European Summer Time", "zzzz", "2023-07-15T10:00"),
        ("2023-07-15 12:00 central european time", "zzzz", "2023-07-15T10:00"),
        ("2023-07-15 12:00 Pacific Time", "vvvv", "2023-07-15T19:00"),
        ("2023-07-15 12:00 India Standard Time", "zzzz", "2023-07-15T06:30"),
        ("2023-07-15 12:00 Europe/Oslo", "zzzz", "2023-07-15T10:00"),
        ("2023-07-15 12:00 America/New_York", "VV", "2023-07-15T16:00"),
        ("2023-07-15 12:00 america/port-au-prince", "VV", "2023-07-15T16:00"),
        ("2023-07-15 12:00 Etc/GMT+5", "VV", "2023-07-15T17:00"),
        ("2023-07-15 12:00 GMT+02:00", "VV", "2023-07-15T10:00"),
        ("2023-07-15 12:00 utc", "VV", "2023-07-15T12:00"),
        ("2023-11-05 01:30 PST", "z", "2023-11-05T08:30"),
    ],
)
def test_zones_in_texts_as_java_11_reads_them(text: str, pattern: str, utc: str) -> None:
    """Recorded from java.time; a name stands for a region, at the offset of the date."""
    moment_ms = patterns.parse_timestamp(text, f"yyyy-MM-dd HH:mm {pattern}")
    assert datetimes.timestamp_to_string(moment_ms)[:16] == utc


@pytest.mark.parametrize("text", ["EST", "CEST", "PT", "GMT+2", "+0200", "+02", "JST", "XYZ", "Europe/Nowhere"])
def test_what_vv_does_not_read(text: str) -> None:
    with pytest.raises(EvaluationError):
        patterns.parse_timestamp(NOON + text, "yyyy-MM-dd HH:mm VV")


@pytest.mark.parametrize("text", ["GMT+2", "+0200", "XYZ", "CEST2"])
def test_what_z_does_not_read(text: str) -> None:
    with pytest.raises(EvaluationError):
        patterns.parse_timestamp(NOON + text, "yyyy-MM-dd HH:mm z")


def test_a_name_of_a_zone_amid_a_text() -> None:
    """The form of Java's Date.toString."""
    moment_ms = patterns.parse_timestamp("Sat Jul 15 12:00:00 CEST 2023", "EEE MMM dd HH:mm:ss z yyyy")
    assert datetimes.timestamp_to_string(moment_ms) == "2023-07-15T10:00:00.000"


@pytest.mark.parametrize(
    ("zone", "moment", "short", "full", "general"),
    [
        ("Europe/Oslo", "2023-07-15T10:00", "CEST", "Central European Summer Time", "CET"),
        ("Europe/Oslo", "2023-10-30T10:00", "CET", "Central European Standard Time", "CET"),
        ("Europe/Oslo", "2023-10-29T00:30", "CEST", "Central European Summer Time", "CET"),
        ("Europe/Oslo", "2023-10-29T01:30", "CET", "Central European Standard Time", "CET"),
        ("America/Los_Angeles", "2023-07-31T10:00", "PDT", "Pacific Daylight Time", "PT"),
        ("Asia/Kolkata", "2023-07-15T10:00", "IST", "India Standard Time", "IT"),
        ("America/Argentina/Buenos_Aires", "2023-07-15T10:00", "ART", "Argentina Standard Time", "ART"),
        ("Europe/Dublin", "2023-07-15T10:00", "IST", "Irish Standard Time", "IT"),
        ("Europe/Dublin", "2023-01-15T10:00", "GMT", "Greenwich Mean Time", "IT"),
        ("GMT", "2023-01-15T10:00", "GMT", "Greenwich Mean Time", "GMT"),
        ("UTC", "2023-01-15T10:00", "UTC", "Coordinated Universal Time", "UTC"),
        ("+02:00", "2023-01-15T10:00", "+02:00", "+02:00", "+02:00"),
    ],
)
def test_zones_as_java_11_writes_them(zone: str, moment: str, short: str, full: str, general: str) -> None:
    moment_ms = datetimes.parse_timestamp(moment)
    written = [patterns.format_timestamp(moment_ms, p, datetimes.zone(zone)) for p in ("z", "zzz", "zzzz", "v")]
    assert written == [short, short, full, general]


@pytest.mark.parametrize("pattern", ["zzzzz", "V", "VVV", "vv"])
def test_zones_in_patterns_that_java_refuses(pattern: str) -> None:
    with pytest.raises(EvaluationError, match=r"[Pp]attern letter"):
        patterns.compile_pattern(pattern)


def test_every_name_of_a_zone_leads_to_a_zone() -> None:
    for full in (False, True):
        for name in zone_names.full_names() if full else ["cest", "pdt", "jst", "aest", "msk", "hkt", "brt"]:
            found = zone_names.find_by_name(name.upper(), full=full)
            assert found is not None and datetimes.zone(found)


def test_gaps_and_overlaps() -> None:
    oslo = datetimes.zone("Europe/Oslo")
    in_gap = patterns.parse_timestamp("2021-03-28 02:30", "yyyy-MM-dd HH:mm", oslo)
    assert patterns.format_timestamp(in_gap, "HH:mm", oslo) == "03:30"
    in_overlap = patterns.parse_timestamp("2021-10-31 02:30", "yyyy-MM-dd HH:mm", oslo)
    assert patterns.format_timestamp(in_overlap, "HH:mm XXX", oslo) == "02:30 +02:00"


PATTERNS = [
    ("yyyy-MM-dd'T'HH:mm:ss.SSSX", "2018-05-11T21:58:33.123Z"),
    ("EEEE, MMM d, yy h:m a", "Friday, May 11, 18 9:58 PM"),
    ("yyyyMMddHHmmssSSS", "20180511215833123"),
    ("D/uuuu A", "131/2018 79113123"),
    ("kk K 'o''clock' ''", "21 9 o'clock '"),
    ("yyyy-MM-dd HH:mm:ss.SSSSSS", "2018-05-11 21:58:33.123000"),
    ("YYYY-'W'ww-e", "2018-W19-6"),
    ("G yyyy QQQ LLLL", "AD 2018 Q2 May"),
    ("VV z O OOOO", "UTC UTC GMT GMT"),
    ("X XX XXX x xx xxx Z ZZZZ ZZZZZ", "Z Z Z +00 +0000 +00:00 +0000 GMT Z"),
    ("HH[:mm[:ss]]", "21:58:33"),
]


@pytest.mark.parametrize(("pattern", "text"), PATTERNS)
def test_writing(pattern: str, text: str) -> None:
    assert patterns.format_timestamp(1526075913123, pattern) == text


@given(st.integers(-(10**12), 10**13), st.sampled_from(["UTC", "Asia/Kolkata", "America/Sao_Paulo", "+05:45"]))
def test_what_is_written_reads_as_the_same(moment_ms: int, zone_name: str) -> None:
    zone = datetimes.zone(zone_name)
    for pattern in ("yyyy-MM-dd HH:mm:ss.SSSXXXXX", "EEE d. MMMM yyyy hh:mm:ss a SSS xxxxx", "yyyyDDD'T'AZZZZZ"):
        assert patterns.parse_timestamp(patterns.format_timestamp(moment_ms, pattern, zone), pattern) == moment_ms


@given(st.dates(min_value=date(1900, 1, 1), max_value=date(2100, 1, 1)))
def test_weeks_read_as_they_are_written(day: date) -> None:
    days = (day - EPOCH).days
    assert patterns.parse_date(patterns.format_date(days, "YYYY-ww-e"), "YYYY-ww-e") == days


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("yyyy'", "incomplete string literal"),
        ("bb", "Unknown pattern letter"),
        ("HHH", "Too many pattern letters"),
        ("V", "must be 2"),
        ("yyyy]", "without previous"),
        ("yyyy{", "reserved"),
    ],
)
def test_wrong_patterns(pattern: str, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        patterns.compile_pattern(pattern)


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("2018-05-11", "yyyy-MM-dd HH"),
        ("18-05-11", "yyyy-MM-dd"),
        ("2018-5-11", "yyyy-MM-dd"),
        ("2018-00-11", "yyyy-MM-dd"),
        ("2018-05-32", "yyyy-MM-dd"),
        ("2018-05-11 24:01", "yyyy-MM-dd HH:mm"),
        ("Mon 2018-05-11", "EEE yyyy-MM-dd"),
        ("13:00 PM", "hh:mm a"),
    ],
)
def test_texts_that_do_not_fit(text: str, pattern: str) -> None:
    with pytest.raises(EvaluationError):
        patterns.parse_timestamp(text, pattern)


def test_smart_borders() -> None:
    day_ms = datetimes.DAY_MS
    assert patterns.parse_timestamp("2021-02-31", "yyyy-MM-dd") == patterns.parse_timestamp("2021-02-28", "yyyy-MM-dd")
    assert patterns.parse_timestamp("1970-01-01 24:00", "yyyy-MM-dd HH:mm") == day_ms
    assert patterns.parse_timestamp("00:00", "HH:mm") == 0

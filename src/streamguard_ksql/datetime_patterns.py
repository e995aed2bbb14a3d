"""Java's DateTimeFormatter patterns (`yyyy-MM-dd HH:mm:ss.SSS`), for reading and writing.

1. `_tokens` cuts a pattern into fields (a letter and how often it is repeated), literals and optional sections.
2. Reading: each token gives a part of one regular expression (`datetime_fields.reader`); the text found for each
   field goes into a `Fields`, which `resolve` turns into a date, a time of the day and a zone.
3. Writing: each token gives a function from a `Moment` to text (`datetime_fields.writer`).

A field that the pattern does not have is taken from 1970-01-01T00:00. As in Java's "smart" style 31 June is 30 June,
but month 13 is an error. Text fields (month and day names, AM) are English and read in any case.

Source: the Java SE API documentation of java.time.format.DateTimeFormatter, DateTimeFormatterBuilder, ResolverStyle.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timezone, tzinfo
from functools import lru_cache
from itertools import groupby

import regex

from streamguard_ksql.bounded_regex import BoundedPattern
from streamguard_ksql.datetime_fields import Fields, Moment, reader, writer
from streamguard_ksql.datetimes import DAY_MS, local_to_utc, offset_at
from streamguard_ksql.errors import EvaluationError

DATE_LETTERS = frozenset("GuyYDMLQqwWEecdF")
TIME_LETTERS = frozenset("ahKkHmsSAnN")
ZONE_LETTERS = frozenset("VvzOXxZ")


@dataclass(frozen=True)
class _Token:
    """kind is 'field' (text is a letter), 'literal', '[' or ']'."""

    kind: str
    text: str = ""
    count: int = 0


def _tokens(pattern: str) -> Iterator[_Token]:
    position = 0
    while position < len(pattern):
        letter = pattern[position]
        if letter == "'":
            text, position = _quoted(pattern, position)
            yield _Token("literal", text)
        elif letter in "[]":
            yield _Token(letter)
            position += 1
        elif letter.isascii() and letter.isalpha():
            if letter not in DATE_LETTERS | TIME_LETTERS | ZONE_LETTERS | {"p"}:
                raise EvaluationError(f"Unknown pattern letter: {letter}")
            count = len(next("".join(run) for _, run in groupby(pattern[position:])))
            yield _Token("field", letter, count)
            position += count
        elif letter in "{}#":
            raise EvaluationError(f"Pattern includes reserved character: '{letter}'")
        else:
            yield _Token("literal", letter)
            position += 1


def _quoted(pattern: str, start: int) -> tuple[str, int]:
    """The text of a quoted literal, and where it ends; `''` is one quote, inside or outside of quotes."""
    match = re.compile(r"'((?:[^']|'')*)'").match(pattern, start)
    if match is None:
        raise EvaluationError(f"Pattern ends with an incomplete string literal: {pattern}")
    return match.group(1).replace("''", "'") or "'", match.end()


@dataclass(frozen=True)
class Parsed:
    """What a text said: local date (days) and time of the day (ms), and its zone if it has one."""

    days: int
    time_ms: int
    zone: tzinfo | None


class DateTimePattern:
    """A pattern, ready to read and to write. Get it from `compile_pattern`, which keeps them."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        tokens = list(_tokens(pattern))
        self.letters = frozenset(token.text for token in tokens if token.kind == "field")
        self._fields: list[Callable[[Fields, str], None]] = []
        self._expression = BoundedPattern(self._reader(tokens), regex.IGNORECASE, shown=pattern)
        self._writers = self._writer(tokens)

    @property
    def has_date(self) -> bool:
        return not self.letters.isdisjoint(DATE_LETTERS)

    def _reader(self, tokens: list[_Token]) -> str:
        parts = []
        depth = 0
        for token in tokens:
            if token.kind == "field":
                expression, read = reader(token.text, token.count)
                parts.append(f"({expression})")
                self._fields.append(read)
            elif token.kind == "literal":
                parts.append(re.escape(token.text))
            else:
                depth += 1 if token.kind == "[" else -1
                if depth < 0:
                    raise EvaluationError("Pattern invalid as it contains ] without previous [")
                parts.append("(?:" if token.kind == "[" else ")?")
        return "".join(parts) + ")?" * depth

    def _writer(self, tokens: list[_Token]) -> list[Callable[[Moment], str]]:
        writers: list[Callable[[Moment], str]] = []
        for token in tokens:
            if token.kind == "field":
                writers.append(writer(token.text, token.count))
            elif token.kind == "literal":
                writers.append(lambda _, text=token.text: text)  # type: ignore[misc]
        return writers

    def parse(self, text: str) -> Parsed:
        """Read a text; EvaluationError if it does not fit the pattern or says something impossible."""
        match = self._expression.fullmatch(text)
        if match is None:
            raise EvaluationError(f"Text '{text}' could not be parsed with the pattern '{self.pattern}'")
        fields = Fields()
        for read, found in zip(self._fields, match.groups(), strict=True):
            if found is not None:
                read(fields, found)
        days, time_ms = fields.resolve()
        return Parsed(days, time_ms, fields.zone)

    def format(self, moment: Moment) -> str:
        return "".join([write(moment) for write in self._writers])


@lru_cache(maxsize=1024)
def compile_pattern(pattern: str) -> DateTimePattern:
    """The pattern, compiled once; EvaluationError for one that Java would refuse."""
    return DateTimePattern(pattern)


def parse_timestamp(text: str, pattern: str, default_zone: tzinfo = timezone.utc) -> int:
    """Milliseconds since 1970-01-01T00:00Z of a text; a text without a zone is in the default zone."""
    parsed = compile_pattern(pattern).parse(text)
    return local_to_utc(parsed.days * DAY_MS + parsed.time_ms, parsed.zone or default_zone)


def parse_date(text: str, pattern: str) -> int:
    """Days since 1970-01-01; EvaluationError if the text also says a time of the day."""
    parsed = compile_pattern(pattern).parse(text)
    if parsed.time_ms:
        raise EvaluationError("Date format contains time field.")
    return parsed.days


def parse_time(text: str, pattern: str) -> int:
    """Milliseconds of the day; EvaluationError if the pattern has a date."""
    compiled = compile_pattern(pattern)
    if compiled.has_date:
        raise EvaluationError("Time format contains date field.")
    return compiled.parse(text).time_ms


def format_timestamp(moment_ms: int, pattern: str, zone: tzinfo = timezone.utc) -> str:
    """A moment as the clock of the zone shows it."""
    offset_s = offset_at(moment_ms, zone)
    return compile_pattern(pattern).format(Moment.of(moment_ms + offset_s * 1000, offset_s, zone))


def format_date(days: int, pattern: str) -> str:
    """A date; EvaluationError if the pattern asks for a time or a zone."""
    compiled = compile_pattern(pattern)
    if not compiled.letters.isdisjoint(TIME_LETTERS | ZONE_LETTERS):
        raise EvaluationError(f"A DATE has no time: {pattern}")
    return compiled.format(Moment.of(days * DAY_MS, 0, timezone.utc))


def format_time(time_ms: int, pattern: str) -> str:
    """A time of the day; EvaluationError if the pattern asks for a date or a zone."""
    compiled = compile_pattern(pattern)
    if not compiled.letters.isdisjoint(DATE_LETTERS | ZONE_LETTERS):
        raise EvaluationError(f"A TIME has no date: {pattern}")
    return compiled.format(Moment.of(time_ms, 0, timezone.utc))


def timestamp_parser(pattern: str) -> Callable[[str], int]:
    """The reader of a TIMESTAMP_FORMAT: text to milliseconds; EvaluationError per text that does not fit."""
    compiled = compile_pattern(pattern)

    def parse(text: str) -> int:
        parsed = compiled.parse(text)
        return local_to_utc(parsed.days * DAY_MS + parsed.time_ms, parsed.zone or timezone.utc)

    return parse

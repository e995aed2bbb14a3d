"""Dead letters by place, reason, topic and time, the newest first, and their counts by reason."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone

from sqlalchemy import Connection, text

from streamguard.config import UserError
from streamguard.database.rows import select_as

_PLACE = re.compile(r"(.+)/(\d{1,9})/(\d{1,18})")
_AGO = re.compile(r"(\d+)([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class NoSuchDeadLetter(UserError):
    """No dead letter is at this place, or the words name no place."""


class BadTime(UserError):
    """A time that cannot be read."""

    exit_code = 2


@dataclass(frozen=True, order=True)
class Place:
    """Where a record was: topic, partition and offset. As text `topic/partition/offset`."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


def place_of(words: str) -> Place:
    """The inverse of `str(place)`. Raises NoSuchDeadLetter."""
    found = _PLACE.fullmatch(words)
    if found is None:
        raise NoSuchDeadLetter(f"{words!r} is no place: topic/partition/offset is needed, such as transactions/0/17")
    return Place(found[1], int(found[2]), int(found[3]))


def time_of(words: str, now: datetime | None = None) -> datetime:
    """An instant from `2026-11-29`, `2026-11-29T10:00` (UTC unless it has a zone) or how long ago: `90s`, `30m`, `2h`, `7d`.

    Raises BadTime.
    """
    try:
        if ago := _AGO.fullmatch(words):
            return (now or datetime.now(timezone.utc)) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        at = datetime.fromisoformat(words.replace("Z", "+00:00"))
    except (ValueError, OverflowError):
        raise BadTime(f"--since is {words!r}: a time such as 2026-11-29T10:00 or 2h is needed") from None
    return at if at.tzinfo else at.replace(tzinfo=timezone.utc)


@dataclass(frozen=True)
class Filter:
    """Which dead letters are meant; None is no limit. `reason` is a part of it, in any letter case; `plain` is the reason without
    what it quotes, as `counts` has it. `retried` says whether they were sent again."""

    reason: str | None = None
    topic: str | None = None
    since: datetime | None = None
    place: Place | None = None
    plain: str | None = None
    retried: bool | None = None


@dataclass(frozen=True)
class Letter:
    """A dead letter without its bytes. `retried_at` is when it was sent again, and `retried_as` the record that it became."""

    topic: str
    partition: int
    offset: int
    reason: str
    failed_at: datetime
    transaction_id: str | None
    retried_at: datetime | None
    retried_by: str | None
    retried_partition: int | None
    retried_offset: int | None

    @property
    def place(self) -> Place:
        return Place(self.topic, self.partition, self.offset)

    @property
    def retried_as(self) -> Place | None:
        """None where it was not sent again, or is on its way."""
        if self.retried_partition is None or self.retried_offset is None:
            return None
        return Place(self.topic, self.retried_partition, self.retried_offset)


@dataclass(frozen=True)
class Body:
    """A dead letter's bytes, as they are kept."""

    key: memoryview | None
    value: memoryview | None


@dataclass(frozen=True)
class LetterAlert:
    """An alert of which a version names the transaction of a dead letter; perhaps it is refused because of that."""

    alert_id: str
    outcome: str | None
    refused_by_it: bool


@dataclass(frozen=True)
class ReasonCount:
    """How many have a reason, without the values that it quotes."""

    reason: str
    letters: int


_QUOTED = {
    r" \(got .*?\)(?=; \w+: |$)": "",
    r" \((magic byte|byte 0x)[^)]*\)": "",
    r"^transaction_id .* was stored before.*": "transaction_id was stored before",
    r"^(the key has to be the account id|not a JSON object)(:| but) .*": r"\1",
    r"\y[0-9][0-9,]* (bytes|characters)\y": r"so many \1",
    r": offsets? [0-9].* lost": "",
    r": line [0-9]+ column .*": "",
}
"""What a reason quotes of its record, and what is counted instead; regular expressions of Postgres."""


def _plain_reason() -> str:
    """SQL: the reason without what it quotes."""
    expression = "reason"
    for quoted, plain in _QUOTED.items():
        expression = f"regexp_replace({expression}, '{quoted}', '{plain}', 'g')"
    return f"left({expression}, 120)"


_LETTER = """source_topic AS topic, source_partition AS partition, source_offset AS "offset", reason, failed_at,
    transaction_id, retried_at, retried_by, retried_partition, retried_offset"""

_WHERE = f"""
WHERE (CAST(:reason AS TEXT) IS NULL OR strpos(lower(reason), lower(CAST(:reason AS TEXT))) > 0)
  AND (CAST(:topic AS TEXT) IS NULL OR source_topic = :topic)
  AND (CAST(:since AS TIMESTAMPTZ) IS NULL OR failed_at >= :since)
  AND (CAST(:place_topic AS TEXT) IS NULL
       OR (source_topic = :place_topic AND source_partition = :place_partition AND source_offset = :place_offset))
  AND (CAST(:plain AS TEXT) IS NULL OR {_plain_reason()} = :plain)
  AND (CAST(:retried AS BOOLEAN) IS NULL OR (retried_offset IS NOT NULL) = :retried)
"""
_NEWEST = "ORDER BY failed_at DESC, source_topic, source_offset DESC, source_partition"
_AS_READ = "ORDER BY source_topic, source_partition, source_offset"
_LIST = f"SELECT {_LETTER} FROM dead_letters {_WHERE} {_NEWEST} LIMIT :limit OFFSET :skip"
_ALL = f"SELECT {_LETTER} FROM dead_letters {_WHERE} {_AS_READ}"

_COUNTS = f"""
SELECT {_plain_reason()} AS reason, count(*) AS letters FROM dead_letters {_WHERE} GROUP BY 1 ORDER BY 2 DESC, 1
"""
_BODY = """
SELECT raw_key AS key, raw_value AS value FROM dead_letters
WHERE source_topic = :topic AND source_partition = :partition AND source_offset = :offset
"""
_ALERTS = """
SELECT v.alert_id, a.outcome, coalesce(bool_or(
    v.refused_topic = :topic AND v.refused_partition = :partition AND v.refused_offset = :offset), FALSE) AS refused_by_it
FROM (
    SELECT * FROM alert_versions WHERE transaction_id = :transaction AND (NOT judged OR refused_topic IS NOT NULL)
    UNION
    SELECT v.* FROM alert_transactions l JOIN alert_versions v USING (alert_id, transaction_id)
    WHERE l.transaction_id = :transaction
) v
JOIN fraud_alerts a USING (alert_id)
GROUP BY v.alert_id, a.outcome ORDER BY v.alert_id
"""


def newest(connection: Connection, wanted: Filter, limit: int, skip: int = 0) -> Sequence[Letter]:
    """The newest dead letters first, without the first `skip`."""
    return select_as(connection, Letter, text(_LIST), {**_parameters(wanted), "limit": limit, "skip": skip})


def matching(connection: Connection, wanted: Filter) -> Sequence[Letter]:
    """All that are meant, in the order of their records. Raises NoSuchDeadLetter where a place has none."""
    found = select_as(connection, Letter, text(_ALL), _parameters(wanted))
    if wanted.place is not None and not found:
        raise NoSuchDeadLetter(f"there is no dead letter {wanted.place}")
    return found


def counts(connection: Connection, wanted: Filter) -> Sequence[ReasonCount]:
    """The counts by reason, the most frequent first."""
    return select_as(connection, ReasonCount, text(_COUNTS), _parameters(wanted))


def body_of(connection: Connection, place: Place) -> Body:
    """The bytes of a dead letter that is there."""
    return select_as(connection, Body, text(_BODY), asdict(place))[0]


def alerts_of(connection: Connection, letter: Letter) -> Sequence[LetterAlert]:
    """The alerts on a transaction of its id."""
    parameters = {**asdict(letter.place), "transaction": letter.transaction_id}
    return select_as(connection, LetterAlert, text(_ALERTS), parameters)


def _parameters(wanted: Filter) -> dict[str, object]:
    place = wanted.place
    return {
        "reason": wanted.reason,
        "topic": wanted.topic,
        "since": wanted.since,
        "place_topic": place.topic if place else None,
        "place_partition": place.partition if place else None,
        "place_offset": place.offset if place else None,
        "plain": wanted.plain,
        "retried": wanted.retried,
    }

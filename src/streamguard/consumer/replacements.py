"""Which alerts count when a rule was replaced from now on (`rules.replacements` stores where).

The new rule reads its topics from the beginning, so that its windows are exact, and raises alerts on old transactions too;
the old one raises some on transactions that came after the replacement was stored. An alert is of the new rule if its own
offset is at or behind `alert_offsets`, else of the old one. `first_offsets` are offsets of transactions:

| alert of | its transaction is before them | at or behind them |
|---|---|---|
| the old rule | stored | superseded: the new rule decides. Held as long as the old one runs |
| the new rule | left out and counted, unless this version is stored already | stored |

A rule that was replaced several times has such limits on both sides. Where the transaction of an alert is depends on what is
stored of it, as a row or as a dead letter; an alert is held until that is known, or until the consumer has read all
transactions before the limit. An alert that names no transaction is stored.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, auto
from typing import Any

import orjson
from psycopg2.extras import execute_values

from streamguard.config import Settings
from streamguard.consumer import replacement_statements as sql
from streamguard.consumer.records import ConsumedRecord, LostRecord
from streamguard.database import prepared
from streamguard.database.rows import fetch, fetch_values
from streamguard.models import FraudAlert

Pair = tuple[ConsumedRecord, FraudAlert]


class _Fate(Enum):
    """What becomes of an alert."""

    STORED = auto()
    HELD = auto()
    KNOWN = auto()
    LEFT_OUT = auto()
    SUPERSEDED = auto()


@dataclass(frozen=True, slots=True)
class _Replacement:
    """A row of `rule_replacements`; offsets by the number of the partition, as text."""

    replacement_no: int
    rule: str
    start: str
    first_offsets: dict[str, int]
    alert_offsets: dict[str, int] | None

    def wrote(self, record: ConsumedRecord) -> bool:
        """Whether the new rule of this replacement, or a later one, wrote the alert."""
        return self.alert_offsets is not None and record.offset >= self.alert_offsets.get(str(record.partition), 0)

    def begins_after(self, place: _Place) -> bool:
        """Whether the new rule leaves the transaction at a place to the one before it."""
        return place.offset_no < self.first_offsets.get(str(place.partition), 0)

    def is_passed(self, read: Mapping[int, int]) -> bool:
        """Whether a reader that is at `read` has read all transactions before the limit."""
        return all(read.get(int(partition), 0) >= offset for partition, offset in self.first_offsets.items())


@dataclass(frozen=True, slots=True)
class _Place:
    transaction_id: str
    partition: int
    offset_no: int


@dataclass(frozen=True, slots=True)
class _Position:
    partition: int
    next_offset: int


@dataclass(frozen=True, slots=True)
class _Version:
    alert_id: str
    tx_count: int


@dataclass(frozen=True, slots=True)
class _Held:
    partition: int
    offset: int
    alert: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Question:
    """An alert with the limits that it is between; at least one of them is there."""

    pair: Pair
    lower: _Replacement | None
    upper: _Replacement | None

    @property
    def version(self) -> _Version:
        return _version_of(self.pair[1])


def _version_of(alert: FraudAlert) -> _Version:
    return _Version(alert.alert_id, alert.tx_count or 0)


def admit(cursor: Any, settings: Settings, alerts: Sequence[Pair]) -> list[Pair]:
    """Those of the alerts that are to be stored now. The others are held, or counted at the replacement of their rule."""
    prepared.execute(cursor, sql.REPLACEMENTS, {"rules": sorted({alert.rule for _, alert in alerts})})
    by_rule: defaultdict[str, list[_Replacement]] = defaultdict(list)
    for row in fetch(cursor, _Replacement):
        by_rule[row.rule].append(row)
    questions = {number: question for number, pair in enumerate(alerts) if (question := _question(pair, by_rule))}
    if not questions:
        return list(alerts)
    fates = dict(zip(questions, _fates(cursor, settings, list(questions.values())), strict=True))
    admitted = [pair for number, pair in enumerate(alerts) if fates.get(number, _Fate.STORED) is _Fate.STORED]
    _hold(cursor, [alerts[number] for number, fate in fates.items() if fate is _Fate.HELD])
    known = {_version_of(alert) for _, alert in admitted}
    _count(cursor, ((q, fates[number]) for number, q in questions.items()), known)
    return admitted


def any_held(cursor: Any) -> bool:
    """Whether alerts are held."""
    cursor.execute(sql.ANY_HELD)
    [(found,)] = cursor.fetchall()
    return bool(found)


def take_held(cursor: Any, settings: Settings) -> list[Pair]:
    """The alerts that were held and are to be stored now; the others stay held, or are counted."""
    cursor.execute(sql.TAKE_HELD)
    held = sorted(fetch(cursor, _Held), key=lambda row: (row.partition, row.offset))
    pairs: list[Pair] = [
        (LostRecord(settings.alerts_topic, row.partition, row.offset), _from_json(row.alert)) for row in held
    ]
    return admit(cursor, settings, pairs) if pairs else []


def forget(cursor: Any) -> None:
    """A topic was made anew: offsets of before say nothing about what is in it."""
    cursor.execute(sql.FORGET)


def _question(pair: Pair, by_rule: Mapping[str, Sequence[_Replacement]]) -> _Question | None:
    """The limits of an alert; None for one that no replacement concerns."""
    record, alert = pair
    replacements = by_rule.get(alert.rule, ())
    if not replacements or alert.transaction_id is None:
        return None
    before = [replacement for replacement in replacements if replacement.wrote(record)]
    after = [replacement for replacement in replacements if not replacement.wrote(record)]
    lower = before[-1] if before and before[-1].start == "now" else None
    upper = after[0] if after and after[0].start == "now" else None
    return _Question(pair, lower, upper) if lower or upper else None


def _fates(cursor: Any, settings: Settings, questions: Sequence[_Question]) -> list[_Fate]:
    topic = settings.transactions_topic
    # First how far they were read, then what there is: another member may store meanwhile.
    cursor.execute(sql.READ, {"group": settings.consumer_group, "topic": topic})
    read = {position.partition: position.next_offset for position in fetch(cursor, _Position)}
    cursor.execute(sql.PLACES_OF, {"ids": sorted({str(q.pair[1].transaction_id) for q in questions}), "topic": topic})
    places: defaultdict[str, list[_Place]] = defaultdict(list)
    for place in fetch(cursor, _Place):
        places[place.transaction_id].append(place)
    versions = sorted({(q.version.alert_id, q.version.tx_count) for q in questions})
    known = set(fetch_values(cursor, _Version, sql.KNOWN, versions))
    return [_fate(q, places.get(str(q.pair[1].transaction_id), []), read, q.version in known) for q in questions]


def _fate(question: _Question, places: Sequence[_Place], read: Mapping[int, int], is_known: bool) -> _Fate:
    lower, upper = question.lower, question.upper
    behind_lower = lower is None or _is_behind(lower, places, read, any)
    behind_upper = upper is not None and _is_behind(upper, places, read, all)
    if behind_lower is None or behind_upper is None:
        return _Fate.HELD
    if not behind_lower:
        return _Fate.KNOWN if is_known else _Fate.LEFT_OUT
    if behind_upper and upper is not None:
        return _Fate.HELD if upper.alert_offsets is None else _Fate.SUPERSEDED
    return _Fate.STORED


def _is_behind(limit: _Replacement, places: Sequence[_Place], read: Mapping[int, int], enough: Any) -> bool | None:
    """Whether a transaction is at or behind a limit, None where that is not known yet.

    One whose id was sent several times has several places: on each side of the limit its alerts are stored.
    """
    if places:
        return bool(enough(not limit.begins_after(place) for place in places))
    return True if limit.is_passed(read) else None


def _hold(cursor: Any, pairs: Sequence[Pair]) -> None:
    rows = [(record.partition, record.offset, alert.rule, _to_json(alert)) for record, alert in pairs]
    if rows:
        execute_values(cursor, sql.HOLD, rows, page_size=len(rows))


def _to_json(alert: FraudAlert) -> str:
    """All fields; the amount as text, which keeps its places."""
    return orjson.dumps({**alert.model_dump(), "amount": None if alert.amount is None else str(alert.amount)}).decode()


def _from_json(fields: Mapping[str, Any]) -> FraudAlert:
    amount = fields["amount"]
    return FraudAlert.model_construct(**{**fields, "amount": None if amount is None else Decimal(amount)})


def _count(cursor: Any, fates: Iterable[tuple[_Question, _Fate]], known: Collection[_Version]) -> None:
    """Count what is not stored; the `known` are about to be."""
    left_out: Counter[int] = Counter()
    superseded: Counter[int] = Counter()
    for question, fate in fates:
        if fate is _Fate.LEFT_OUT and question.lower is not None and question.version not in known:
            left_out[question.lower.replacement_no] += 1
        elif fate is _Fate.SUPERSEDED and question.upper is not None:
            superseded[question.upper.replacement_no] += 1
    rows = [(number, left_out[number], superseded[number]) for number in sorted(left_out.keys() | superseded.keys())]
    if rows:
        execute_values(cursor, sql.COUNT, rows, page_size=len(rows))

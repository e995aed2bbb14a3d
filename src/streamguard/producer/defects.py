"""Bad records on request: what a real feed brings sooner or later, at given rates, marked in the `defect` header.

Each kind is one registered function from a record to the records that take its place. The counts of a run include
what it adds: `--count 100` sends 100 records, duplicates among them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from random import Random
from typing import Any

import orjson

from streamguard.models.fields import MIN_TIME_MS
from streamguard.producer.errors import InputError
from streamguard.producer.record import Record

HOUR_MS = 3_600_000
_HELD_BACK = 20

Defect = Callable[[Record, Random], list[Record]]
DEFECTS: dict[str, Defect] = {}


def defect(function: Defect) -> Defect:
    """Register a function under its own name."""
    DEFECTS[function.__name__] = function
    return function


@defect
def malformed(record: Record, rng: Random) -> list[Record]:
    """One of the ways in which a value can be wrong: see `_SPOILT`."""
    spoil = rng.choice(_SPOILT)
    return [record._replace(value=spoil(orjson.loads(record.value or b"{}")), defect="malformed")]


@defect
def late(record: Record, rng: Random) -> list[Record]:
    """The event time is 1 to 24 hours back: long after its window closed."""
    return [_moved(record, -rng.randrange(HOUR_MS, 24 * HOUR_MS), "late")]


@defect
def future(record: Record, rng: Random) -> list[Record]:
    """The event time is 1 to 30 days ahead."""
    return [_moved(record, rng.randrange(24 * HOUR_MS, 720 * HOUR_MS), "future")]


@defect
def duplicated(record: Record, rng: Random) -> list[Record]:
    """The same record twice, as a sender without idempotence repeats it."""
    return [record, record._replace(defect="duplicated")]


@defect
def out_of_order(record: Record, rng: Random) -> list[Record]:
    """The record itself; `with_defects` holds it back behind some later ones."""
    return [record._replace(defect="out_of_order")]


def _moved(record: Record, by_ms: int, name: str) -> Record:
    fields = orjson.loads(record.value or b"{}")
    fields["event_time"] = event_time = max(MIN_TIME_MS, record.event_time + by_ms)
    return record._replace(value=orjson.dumps(fields), event_time=event_time, defect=name)


def _without(name: str) -> Callable[[dict[str, Any]], bytes]:
    return lambda fields: orjson.dumps({key: value for key, value in fields.items() if key != name})


def _with(name: str, value: object) -> Callable[[dict[str, Any]], bytes]:
    return lambda fields: orjson.dumps({**fields, name: value})


# Ways to spoil a value, each given the fields and returning the bytes that are sent.
_SPOILT: tuple[Callable[[dict[str, Any]], bytes | None], ...] = (
    lambda fields: orjson.dumps(fields)[: len(fields) * 8],
    lambda _: b"\xff\xfe not JSON \x00",
    lambda _: None,
    lambda fields: orjson.dumps([fields]),
    _without("amount"),
    _without("transaction_id"),
    _with("amount", -12.5),
    _with("amount", "12,50"),
    _with("amount", 1.00005),
    _with("currency", "ZZZ"),
    _with("event_time", "yesterday"),
    _with("latitude", 123.4),
)


def check_rates(rates: Mapping[str, float]) -> None:
    """Raises InputError for an unknown kind or a rate that is none."""
    for name, rate in rates.items():
        if name not in DEFECTS:
            raise InputError(f"unknown kind of bad record {name!r}: choose {', '.join(DEFECTS)}")
        if not 0 <= rate <= 1:
            raise InputError(f"the rate of {name} is {rate}: it must lie between 0 and 1")
    if sum(rates.values()) > 1:
        raise InputError(f"the rates of bad records add up to {sum(rates.values()):.3f}: at most 1 can be given")


def with_defects(records: Iterable[Record], rates: Mapping[str, float], rng: Random) -> Iterator[Record]:
    """The records with that share of each kind spoilt. Without rates the records pass untouched."""
    check_rates(rates)
    held: list[tuple[int, Record]] = []
    for number, record in enumerate(records):
        while held and held[0][0] <= number:
            yield held.pop(0)[1]
        name = _draw(rates, rng)
        if name is None:
            yield record
        elif name == "out_of_order":
            held.extend((number + rng.randint(2, _HELD_BACK), late) for late in out_of_order(record, rng))
            held.sort(key=lambda pair: pair[0])
        else:
            yield from DEFECTS[name](record, rng)
    for _, record in held:
        yield record


def _draw(rates: Mapping[str, float], rng: Random) -> str | None:
    u = rng.random()
    for name, rate in rates.items():
        if u < rate:
            return name
        u -= rate
    return None

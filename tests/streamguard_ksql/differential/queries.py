"""What small queries give, by the manual: list comprehensions over all records, apart from the engine.

A result is a key (the window's start behind it where there is one) and a value, None for a tombstone. Every update of a
group or a join is a result. Source: docs/concepts/time-and-windows-in-ksqldb-queries.md, docs/developer-guide/joins/ and
aggregate-functions.md of the manual; tests/recordings where it is silent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.streamguard_ksql.differential.reading import INT, in_order

DAY_MS = 86_400_000


@dataclass(frozen=True)
class Input:
    """A record; `value` is None for a tombstone."""

    topic: str
    key: str | None
    value: dict[str, Any] | None
    time: int


Result = tuple[Any, dict[str, Any] | None]


def wrapped_sum(values: Iterable[int]) -> int:
    return (sum(values) + INT) % (2 * INT) - INT


def _given(rows: Sequence[dict[str, Any]], name: str) -> list[Any]:
    return [row[name] for row in rows if row[name] is not None]


def _set(values: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


AGGREGATES: dict[str, Callable[[Sequence[dict[str, Any]]], Any]] = {
    "COUNT(*)": len,
    "COUNT(A)": lambda rows: len(_given(rows, "A")),
    "SUM(A)": lambda rows: wrapped_sum(_given(rows, "A")),
    "MIN(A)": lambda rows: min(_given(rows, "A"), default=None),
    "MAX(A)": lambda rows: max(_given(rows, "A"), default=None),
    "MIN(T)": lambda rows: (in_order(_given(rows, "T")) or [None])[0],
    "MAX(T)": lambda rows: (in_order(_given(rows, "T")) or [None])[-1],
    "AVG(A)": lambda rows: wrapped_sum(_given(rows, "A")) / max(len(_given(rows, "A")), 1),
    "COLLECT_LIST(T)": lambda rows: [row["T"] for row in rows],
    "COLLECT_SET(A)": lambda rows: _set(row["A"] for row in rows),
    "LATEST_BY_OFFSET(T)": lambda rows: (_given(rows, "T") or [None])[-1],
    "LATEST_BY_OFFSET(T, false)": lambda rows: rows[-1]["T"],
    "EARLIEST_BY_OFFSET(T)": lambda rows: (_given(rows, "T") or [None])[0],
    "EARLIEST_BY_OFFSET(A, false)": lambda rows: rows[0]["A"],
    "LATEST_BY_OFFSET(A, 2)": lambda rows: _given(rows, "A")[-2:],
    "EARLIEST_BY_OFFSET(A, 2)": lambda rows: _given(rows, "A")[:2],
    "TOPK(A, 2)": lambda rows: sorted(_given(rows, "A"), reverse=True)[:2],
    "TOPKDISTINCT(A, 2)": lambda rows: sorted(set(_given(rows, "A")), reverse=True)[:2],
    "COUNT_DISTINCT(T)": lambda rows: len(set(_given(rows, "T"))),
}


@dataclass(frozen=True)
class Window:
    """A tumbling or hopping window, in milliseconds; no window where `size` is None."""

    size: int | None = None
    advance: int = 0
    grace: int | None = None

    @property
    def sql(self) -> str:
        if self.size is None:
            return ""
        grace = "" if self.grace is None else f", GRACE PERIOD {self.grace} MILLISECONDS"
        if self.advance == self.size:
            return f"WINDOW TUMBLING (SIZE {self.size} MILLISECONDS{grace})"
        return f"WINDOW HOPPING (SIZE {self.size} MILLISECONDS, ADVANCE BY {self.advance} MILLISECONDS{grace})"

    def starts(self, time: int) -> list[Any]:
        """The windows that a time is in, the earliest first."""
        if self.size is None:
            return [None]
        first = max(0, (time - self.size) // self.advance * self.advance + self.advance)
        return list(range(first, time + 1, self.advance))

    def is_open(self, start: Any, stream_time: int) -> bool:
        grace = DAY_MS - (self.size or 0) if self.grace is None else self.grace
        return start is None or start + (self.size or 0) + max(grace, 0) > stream_time


def grouped(
    records: Sequence[Input], by: Callable[[Input], Any], window: Window, aggregate: str, at_least: int
) -> list[Result]:
    """SELECT by, aggregate FROM stream WINDOW ... GROUP BY by HAVING COUNT(*) >= at_least."""
    found: list[Result] = []
    groups: dict[Any, list[dict[str, Any]]] = {}
    stream_time = 0
    for record in records:
        if record.value is None or by(record) is None:
            continue
        stream_time = max(stream_time, record.time)
        for start in window.starts(record.time):
            if window.is_open(start, stream_time):
                rows = groups.setdefault((by(record), start), [])
                rows.append(record.value)
                if len(rows) >= at_least:
                    found.append(((by(record), start), {"C": AGGREGATES[aggregate](rows)}))
    return found


def final(records: Sequence[Input], by: Callable[[Input], Any], window: Window, aggregate: str) -> list[Result]:
    """The same with EMIT FINAL: one result of each window, once no record of it can come any more.

    As recorded, a window is lost that began more than its size and grace before the window of the record that closes it.
    """
    found: list[Result] = []
    last: dict[Any, Any] = {}
    for i, record in enumerate(records):
        last.update(grouped(records[: i + 1], by, window, aggregate, 1))
        times = [r.time for r in records[: i + 1] if r.value is not None and by(r) is not None]
        if record.value is None or by(record) is None or record.time < max(times):
            continue
        newest = window.starts(record.time)[-1]
        for key in (k for k in last if not window.is_open(k[1], record.time)):
            if key[1] >= newest - (window.size or 0) - (window.grace or 0) and key not in dict(found):
                found.append((key, last[key]))
    return found


def sessions(records: Sequence[Input], gap: int, aggregate: str) -> list[Result]:
    """SELECT id, aggregate FROM stream WINDOW SESSION (gap) GROUP BY id: as recorded, what grows is removed first."""
    found: list[Result] = []
    open_ones: dict[Any, list[tuple[int, int, list[Any]]]] = {}
    for record in records:
        if record.value is None or record.key is None:
            continue
        near = [s for s in open_ones.get(record.key, []) if s[0] - gap <= record.time <= s[1] + gap]
        near.sort(key=lambda s: s[1])
        rows = [row for s in near for row in s[2]] + [record.value]
        start, end = min([record.time, *(s[0] for s in near)]), max([record.time, *(s[1] for s in near)])
        if (start, end) != (record.time, record.time):
            found += [((record.key, s[0], s[1]), None) for s in near]
        found.append(((record.key, start, end), {"C": AGGREGATES[aggregate](rows)}))
        open_ones[record.key] = [s for s in open_ones.get(record.key, []) if s not in near] + [(start, end, rows)]
    return found


def stream_stream(records: Sequence[Input], within: int) -> list[Result]:
    """An inner join of two streams, of records that come in the order of their times."""
    pairs = [
        (record, other)
        for i, record in enumerate(records)
        for other in sorted(records[:i], key=lambda r: r.time)
        if record.key is not None and record.key == other.key and record.topic != other.topic
        if record.value is not None and other.value is not None and abs(record.time - other.time) <= within
    ]
    sides = [(a, b) if a.topic == "l" else (b, a) for a, b in pairs]
    return [(a.key, {"X": a.value["A"], "Y": b.value["A"]}) for a, b in sides if a.value and b.value]


def stream_table(records: Sequence[Input], *, left: bool) -> list[Result]:
    """A stream with a table as it is when the record comes."""
    table: dict[Any, Any] = {}
    found: list[Result] = []
    for record in records:
        if record.key is None:
            continue
        if record.topic == "r":
            table[record.key] = record.value
        elif record.value is not None and (left or table.get(record.key) is not None):
            found.append((record.key, {"X": record.value["A"], "Y": (table.get(record.key) or {}).get("A")}))
    return found


def table_table(records: Sequence[Input], kind: str) -> list[Result]:
    """Two tables by their keys: each change of either side, and a tombstone where nothing is left."""
    sides: dict[str, dict[Any, Any]] = {"l": {}, "r": {}}

    def joined(key: Any) -> dict[str, Any] | None:
        a, b = sides["l"].get(key), sides["r"].get(key)
        is_there = {"INNER": a and b, "LEFT": a, "FULL OUTER": a or b}[kind]
        return {"X": (a or {}).get("A"), "Y": (b or {}).get("A")} if is_there else None

    found: list[Result] = []
    for record in records:
        if record.key is None:
            continue
        before = joined(record.key)
        sides[record.topic][record.key] = record.value
        after = joined(record.key)
        if before is not None or after is not None:
            found.append((record.key, after))
    return found


def table_filter(records: Sequence[Input], above: int) -> list[Result]:
    """SELECT * FROM table WHERE a > above: a tombstone where a row that was there no longer is."""
    shown: dict[Any, Any] = {}
    found: list[Result] = []
    for record in records:
        if record.key is None:
            continue
        value = record.value
        is_in = value is not None and value["A"] is not None and value["A"] > above
        if is_in or record.key in shown:
            found.append((record.key, {"C": value["A"]} if is_in and value else None))
        shown.pop(record.key, None)
        if is_in:
            shown[record.key] = value
    return found

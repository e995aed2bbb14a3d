"""The picture as lines: problems first, then what runs, what it does, what waits, and notes.

A line is a list of pieces, each with a style; `paint` makes text of it, with colours or without. What may come from a record has
gone through `one_line`: only the escape sequences of here reach a terminal.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from streamguard.config.visible import one_line
from streamguard.stack.status.model import PartFigures, Status, TopicFigures
from streamguard.stack.status.units import age, bytes_, count

GOOD, BAD, WARN, DIM, HEAD = "32", "1;31", "33", "2", "1"
"""Select Graphic Rendition codes (ECMA-48)."""
_LABEL = 11
_FACTS = 51
"""Columns of a part before its address."""
_FIXED = "\N{NO-BREAK SPACE}"
"""In a fact: where lines are not broken."""
_MOST_BEHIND = 6
"""Queries commit at intervals: most are a few records behind at any moment."""


@dataclass(frozen=True)
class Piece:
    """Text in one style; an empty style is plain."""

    text: str
    style: str = ""


Line = list[Piece]


def paint(line: Line, *, colour: bool) -> str:
    """A line as it is written."""
    return "".join(
        f"\x1b[{piece.style}m{piece.text}\x1b[0m" if colour and piece.style else piece.text for piece in line
    ).rstrip()


def lines(status: Status, width: int | None = None) -> list[Line]:
    """The picture for a screen of `width` columns; without one, nothing is wrapped or cut off."""
    return [
        *_heading(status),
        *_findings(status, width, serious=True),
        *_parts(status.parts, width),
        *_queries(status, width),
        *_engines(status, width),
        *_rules(status, width),
        *_topics(status.topics),
        *_figures(status, width),
        *_findings(status, width, serious=False),
    ]


def _heading(status: Status) -> Iterator[Line]:
    found = len(status.problems)
    verdict = Piece("all is well", GOOD)
    if found:
        verdict = Piece(f"{found} problem{'s' if found > 1 else ''}", BAD)
    yield [
        Piece("StreamGuard", HEAD),
        Piece(": "),
        verdict,
        Piece(f"   {status.taken_at[:19].replace('T', ' ')} UTC", DIM),
    ]


def _findings(status: Status, width: int | None, *, serious: bool) -> Iterator[Line]:
    word, style = ("PROBLEM", BAD) if serious else ("note", WARN)
    found = status.problems if serious else status.notes
    if found and not serious:
        yield []
    for one in found:
        first, *rest = _wrapped(f"{word}: {one.sentence}", width, "  ")
        yield [Piece(word, style), Piece(first.removeprefix(word))]
        yield from ([Piece(line)] for line in rest)


def _parts(parts: Sequence[PartFigures], width: int | None) -> Iterator[Line]:
    if not parts:
        return
    yield []
    longest = max(10, *(len(part.name) for part in parts))
    facts_at = _FACTS + longest - 10
    yield [Piece(f"{'PART':<{longest}} {'STATE':<11} {'PID':>7} {'UP FOR':>10} {'MEMORY':>7}  ADDRESS", HEAD)]
    for part in parts:
        style = GOOD if part.state in ("running", "answers") else BAD
        memory = "" if part.memory_bytes is None else bytes_(part.memory_bytes)
        facts = f" {part.pid or '':>7} {age(part.up_s):>10} {memory:>7}  "
        where = part.address if part.place in ("here", "apart") else f"{part.address} ({part.place})"
        fits = width is None or len(where) <= width - facts_at
        yield [
            Piece(f"{part.name:<{longest}} "),
            Piece(f"{part.state:<11}", style),
            Piece(facts + (one_line(where) if fits else "")),
        ]
        if not fits:
            yield from ([Piece(line)] for line in _wrapped(f"  {where}", width, "  "))


def _queries(status: Status, width: int | None) -> Iterator[Line]:
    """How many are in which state, those that do not run, and how far each is behind."""
    yield []
    if status.queries is None:
        yield from _row("QUERIES", ["not known: the SQL engine does not answer"], width)
        return
    ended = [f"{query.name} is {query.state}" for query in status.queries if query.state != "running"]
    run = len(status.queries) - len(ended)
    yield from _row("QUERIES", [f"{run} run", *ended], width, BAD if any("error" in one for one in ended) else "")
    behind = sorted((query for query in status.queries if query.lag), key=lambda query: -(query.lag or 0))
    if behind:
        facts = [f"{query.name} {count(query.lag)}" for query in behind[:_MOST_BEHIND]]
        more = [f"and {len(behind) - _MOST_BEHIND} more"] if len(behind) > _MOST_BEHIND else []
        yield from _row("  behind", [*facts, *more], width)


def _engines(status: Status, width: int | None) -> Iterator[Line]:
    """Which part of the queries each of several engines has."""
    for engine in sorted(status.engines, key=lambda engine: engine.name):
        facts = [
            f"{engine.address}",
            f"{len(engine.partitions)} queries" if engine.partitions else "stands by",
            *([f"{sum(engine.partitions.values())} of their partitions"] if engine.partitions else []),
        ]
        yield from _row(f"  {engine.name}", facts, width)


def _rules(status: Status, width: int | None) -> Iterator[Line]:
    if status.rules is None:
        return
    modes = [rule.mode for rule in status.rules]
    others = [f"{rule.name} is {rule.mode}" for rule in status.rules if rule.mode != "active"]
    yield from _row("RULES", [f"{modes.count('active')} active", *others], width)


def _topics(topics: Sequence[TopicFigures] | None) -> Iterator[Line]:
    yield []
    if topics is None:
        yield [Piece(f"{'TOPICS':<{_LABEL}}", HEAD), Piece("not known: Kafka does not answer")]
        return
    name = max([len("TOPIC"), *(len(topic.name) for topic in topics)])
    head = f"{'TOPIC':<{name}} {'RECORDS':>13} {'SIZE':>8}  {'CONSUMER BEHIND':>15} {'QUERIES BEHIND':>14}"
    yield [Piece(head, HEAD)]
    for topic in topics:
        size = "" if topic.size_bytes is None else bytes_(topic.size_bytes)
        lags = f"{_or_empty(topic.consumer_lag):>15} {_or_empty(topic.query_lag):>14}"
        yield [Piece(f"{topic.name:<{name}} {count(topic.records):>13} {size:>8}  {lags}")]


def _figures(status: Status, width: int | None) -> Iterator[Line]:
    yield []
    rates, stored, backlog = status.rates, status.stored, status.backlog
    if rates.alerts is not None:
        facts = [f"{count(rates.alerts)} alerts", f"{count(rates.decisions)} decisions"]
        facts += [f"{count(rates.dead_letters)} dead letters"]
        if rates.transactions_per_s is not None:
            facts.insert(0, f"{rates.transactions_per_s:,.1f} transactions a second (over {rates.over_s:.0f} s)")
        yield from _row("LAST MINUTE", facts, width)
    if stored is not None:
        by_outcome = f"{stored.decided:,} decided, {stored.refused:,} refused, {stored.waiting:,} waiting"
        facts = [f"{stored.transactions:,} transactions", f"{stored.alerts:,} alerts ({by_outcome})"]
        facts += [f"{stored.dead_letters:,} dead letters; {stored.records_read:,} records read"]
        yield from _row("STORED", facts, width)
    if backlog is not None:
        oldest = "" if backlog.oldest_open_s is None else f" (the oldest for {age(backlog.oldest_open_s)})"
        waits = "" if backlog.oldest_outbox_s is None else f" (the oldest for {age(backlog.oldest_outbox_s)})"
        facts = [f"{count(backlog.open_alerts)} alerts for a person{oldest}"]
        facts += [
            f"{count(backlog.undecided_versions)} for their transaction",
            f"outbox {count(backlog.outbox)}{waits}",
        ]
        yield from _row("WAITING", facts, width)
    disk = status.disk
    yield from _row("DISK", [f"{bytes_(disk.free_bytes)} of {bytes_(disk.size_bytes)} free at {disk.folder}"], width)


def _row(label: str, facts: Iterable[str], width: int | None, style: str = "") -> Iterator[Line]:
    """A label, then facts with commas, wrapped between them where that goes."""
    joined = ", ".join(one_line(fact).replace(" ", _FIXED) for fact in facts)
    wrapped = _wrapped(joined, None if width is None else width - _LABEL - 1, "")
    first, *rest = [line.replace(_FIXED, " ") for line in wrapped]
    yield [Piece(f"{label:<{_LABEL}} ", "" if label.startswith(" ") else HEAD), Piece(first, style)]
    yield from ([Piece(f"{'':<{_LABEL}} {line}", style)] for line in rest)


def _wrapped(text: str, width: int | None, indent: str) -> list[str]:
    line = one_line(text)
    if width is None:
        return [line]
    # A path or an address is better broken than cut off.
    return textwrap.wrap(line, max(20, width), subsequent_indent=indent, break_on_hyphens=False) or [""]


def _or_empty(number: int | None) -> str:
    return "" if number is None else count(number)

"""Driving records into a sink: progress for a person, a summary for everybody, and an end that is in order.

Whatever ends the run (the last record, Ctrl-C, a broker that refuses), the order is the same: stop making records, wait
for the acknowledgements, say what was sent, close.
"""

from __future__ import annotations

import gc
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from streamguard.config.logs import writes_json
from streamguard.config.visible import drawn_on, one_line
from streamguard.producer.record import Record, utc
from streamguard.producer.signals import Stop, Stopped
from streamguard.producer.sinks import Sink

_REDRAW_S = 0.1
_OBJECTS_BETWEEN_COLLECTIONS = 50_000


@dataclass
class Tally:
    """What was sent: by kind, between which event times (epoch ms), in how many seconds. `other` is what went to
    another topic than that of transactions."""

    kinds: Counter[str] = field(default_factory=Counter)
    other: Counter[str] = field(default_factory=Counter)
    first_ms: int | None = None
    last_ms: int = 0
    seconds: float = 0.0
    sending_s: float = 0.0
    interrupted: bool = False

    def count(self, record: Record) -> None:
        if record.topic:
            self.other[record.topic] += 1
            return
        self.kinds[record.kind] += 1
        if self.first_ms is None:
            self.first_ms = record.event_time
        if record.event_time > self.last_ms:
            self.last_ms = record.event_time

    @property
    def transactions(self) -> int:
        return sum(self.kinds.values())


def drive(records: Iterable[Record], sink: Sink, stop: Stop, tally: Tally, advance: Callable[[int], None]) -> None:
    """Send until the records end or one is asked to stop, then wait for acknowledgements; raises ProducerError.

    `tally` is filled as it goes, so that the caller can say what was sent when this raises.
    """
    started_s = time.monotonic()
    with _rare_collections():
        try:
            _send_all(records, sink, stop, tally, advance)
        finally:
            tally.interrupted = stop.requested
            tally.sending_s = time.monotonic() - started_s
        sink.finish()
    tally.seconds = time.monotonic() - started_s


def _send_all(records: Iterable[Record], sink: Sink, stop: Stop, tally: Tally, advance: Callable[[int], None]) -> None:
    """The records into the sink, until they end or one is asked to stop."""
    pending, drawn_s = 0, time.monotonic()
    try:
        for record in records:
            if stop.requested:
                break
            sink.send(record)
            tally.count(record)
            pending += 1
            now_s = time.monotonic()
            if now_s - drawn_s >= _REDRAW_S:
                advance(pending)
                pending, drawn_s = 0, now_s
    except Stopped:
        pass
    finally:
        advance(pending)


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Look for garbage in cycles seldom: records make none, and up to 20,000 of them on the way to the broker live long
    enough to be searched again and again, which took a quarter of the time."""
    before = gc.get_threshold()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


@contextmanager
def progress(title: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar on stderr while the block runs, if it is a terminal; yields the function that moves it on."""
    console = Console(file=drawn_on(sys.stderr))
    if not console.is_terminal:
        yield lambda _: None
        return
    columns: list[Any] = [SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()]
    columns += [TextColumn("{task.fields[rate]}"), TimeElapsedColumn()]
    started_s = time.monotonic()
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=total, rate="")

        def advance(count: int) -> None:
            elapsed_s = max(time.monotonic() - started_s, 1e-3)
            done = bar.tasks[0].completed + count
            bar.update(task, advance=count, rate=f"{done / elapsed_s:,.0f}/s")

        yield advance


LINES_EVERY_S = 0.3


@contextmanager
def progress_lines(total: int | None) -> Iterator[Callable[[int], None]]:
    """As `progress`, for a program that reads: lines such as `progress 3000 of 18000` on stderr."""
    done, said_s = 0, 0.0

    def advance(count: int) -> None:
        nonlocal done, said_s
        done += count
        if (now_s := time.monotonic()) - said_s >= LINES_EVERY_S:
            said_s = now_s
            print(f"progress {done} of {total or 0}", file=sys.stderr, flush=True)

    yield advance


def say(message: str, speaker: str = "generate") -> None:
    """One line for a person, on stderr; where the process writes its log as JSON, a line of that."""
    if writes_json():
        logging.getLogger(f"streamguard.{speaker}").info("%s", message)
        return
    print(f"{speaker}: {one_line(message)}", file=sys.stderr, flush=True)


def summary(tally: Tally, sink: Sink, rate_asked: float | None = None) -> list[str]:
    """The lines printed at the end."""
    sent, seconds = sink.sent, max(tally.seconds or tally.sending_s, 1e-6)
    confirmed = f"all {sink.done}" if sink.acknowledged == sent else f"{sink.acknowledged:,} {sink.done}"
    lines = [f"sent {sent:,} records, {confirmed}, in {seconds:.1f} s ({sent / seconds:,.0f}/s)"]
    if tally.first_ms is not None:
        lines.append(f"event time {utc(tally.first_ms)} to {utc(tally.last_ms)}")
    if rate_asked is not None and tally.transactions:
        lines.append(_rate_line(tally, rate_asked))
    for kind, count in [*tally.kinds.most_common(), *tally.other.most_common()]:
        lines.append(f"  {kind:<22}{count:>12,}{100 * count / max(1, tally.transactions):>9.2f} %")
    return lines


def _rate_line(tally: Tally, asked: float) -> str:
    # The last record's share of time has not passed when it is sent.
    held = tally.transactions / (tally.sending_s + 1 / asked)
    off = abs(held - asked) / asked
    verdict = "held" if off <= 0.05 or tally.sending_s < 2 else f"NOT held, {100 * off:.0f} % off"
    return f"rate {held:,.1f}/s of {asked:,.1f}/s asked: {verdict}"

"""What `streamguard import FILE`, and `replay` of the generator, do: a person's own payments into the transactions topic.

1. `files.open_source` finds out what the file is, `plan.plan` how its rows become payments.
2. What was found out is said, with the first five payments; a guess is agreed upon before anything is sent.
3. The records are sent; refused rows go to a file beside.
4. `import` waits until the consumer has read them all, and counts what it refused.

Exit codes: 0 nothing refused, or no more than `--allow`; 1 refused rows, something not acknowledged or not stored; 2 a file,
layout, mapping or option that cannot be used; 130 ended by Ctrl-C.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from streamguard.cli import generator_options as opt
from streamguard.cli.import_options import HowToRead, HowToSend
from streamguard.cli.import_summary import Outcome, show_plan, summary
from streamguard.cli.shared import DatabaseUnavailable, database
from streamguard.cli.usage import INTERRUPTED
from streamguard.config import get_settings
from streamguard.config.visible import drawn_on, one_line
from streamguard.ingest.columns import Options
from streamguard.ingest.errors import Ambiguous, InputError, Missing
from streamguard.ingest.expressions import Literal
from streamguard.ingest.feed import Feed, refused_path
from streamguard.ingest.layouts import write_layout
from streamguard.ingest.plan import Plan, plan
from streamguard.ingest.records import RowRecords, shifted
from streamguard.ingest.stored import NotRead, SentLines, dead_lines, wait_until_read
from streamguard.producer.kafka_sink import KafkaSink, check_compression
from streamguard.producer.pace import Pacer
from streamguard.producer.record import Record
from streamguard.producer.send import drive, say
from streamguard.producer.signals import Stop, stop_on_signals
from streamguard.producer.sinks import FileSink, Sink, is_same_file


def run_import(file: str, read: HowToRead, send: HowToSend, speaker: str = "import") -> None:
    """Read, show, agree, send, wait, say. Raises UserError and typer.Exit."""
    opt.above_zero("--limit", send.limit)
    opt.not_below_zero("--wait", send.wait_s)
    check_compression(send.compression)
    factor, allowed, options = opt.read_speed(send.speed), _share(send.allow), read.options()
    if send.to_file is not None and is_same_file(send.to_file, Path(file)):
        raise InputError(f"--to-file is {str(send.to_file)!r}, the file that is read: name another")
    with stop_on_signals() as stop, closing(read.open(file)) as source:
        chosen = _planned(source, file, read, options, speaker)
        show_plan(source, chosen, chosen.is_guess or send.dry_run, speaker)
        if send.save_layout is not None:
            write_layout(send.save_layout, chosen.title, chosen.mapping, source)
            say(f"the layout is in {send.save_layout}: --layout {send.save_layout} uses it", speaker)
        if send.dry_run:
            return
        _agree(file, chosen, send.yes)
        settings = get_settings()
        latest_ms = time.time_ns() // 1_000_000 + settings.max_ahead_s * 1000
        make = RowRecords(chosen.reader, chosen.mapping.keeps_rest, None if send.shift_to_now else latest_ms)
        feed = Feed(source, make, send.refused or refused_path(source, file))
        lines = SentLines()
        records: Iterator[Record] = islice(feed.records(lambda line: setattr(lines, "line", line)), send.limit)
        if send.shift_to_now:
            start_ms, end_ms = _span(read, file, chosen, send.limit if factor is None else 1)
            records = shifted(records, time.time_ns() // 1_000_000 - (end_ms if factor is None else start_ms))
        if factor is not None:
            records = _paced(records, Pacer(factor, sleep=stop.sleep))
        outcome = Outcome()
        try:
            _send(records, source, stop, send, outcome, lines, speaker)
            if send.to_file is None and send.waits_for_store and not stop.requested:
                _wait_for_store(feed, lines, stop, outcome)
        finally:
            feed.close()
            if outcome.tally.interrupted:
                say("stopped", speaker)
            print("\n".join(map(one_line, summary(feed, outcome, send, chosen.reader))), flush=True)
    if outcome.tally.interrupted:
        raise typer.Exit(INTERRUPTED)
    if outcome.why_not_known or feed.refusals.count > allowed * max(1, feed.rows_read):
        raise typer.Exit(1)


def _planned(source: Any, file: str, read: HowToRead, options: Options, speaker: str) -> Plan:
    """The plan for a file; what it leaves open is asked at a terminal, and an InputError elsewhere."""
    mapping = list(read.mapping or [])
    while True:
        try:
            return plan(source, read.layout, ",".join(mapping), options)
        except Ambiguous as open_question:
            if not _can_ask(file):
                raise
            yes = typer.confirm(open_question.question)
            answer: Any = open_question.yes if yes else open_question.no
            options = replace(options, **{open_question.name: answer})
        except Missing as missing:
            if not _can_ask(file):
                raise
            say(str(missing), speaker)
            said = typer.prompt(f"{missing.name}: the name of its column, or its value in every row").strip()
            names = {column.strip().lower() for column in source.columns}
            # What is no column is the value itself; with marks of the mapping's grammar it is taken as it stands.
            plain = said.lower() in names or said.startswith(("'", '"'))
            mapping.append(f"{missing.name}={said if plain else Literal(said)}")


def _can_ask(file: str) -> bool:
    return file != "-" and sys.stdin.isatty()


def _share(text: str) -> float:
    """`--allow 0.5%` or `--allow 0.5` (per cent) as a share of 1; raises InputError."""
    try:
        share = float(text.strip().removesuffix("%")) / 100
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise InputError(f"--allow is {text!r}: a share of refused rows between 0% and 100% is needed")
    return share


def _agree(file: str, chosen: Plan, yes: bool) -> None:
    """Have a person agree to a guess; raises InputError where nobody can be asked, typer.Exit for a no."""
    if not chosen.is_guess or yes:
        return
    if not _can_ask(file):
        raise InputError(
            "this mapping is a guess and nothing was sent: look at it, then say --yes, or say it yourself with --map or --layout"
        )
    if not typer.confirm("Send them like this?"):
        raise typer.Exit(1)


def _span(read: HowToRead, file: str, chosen: Plan, limit: int | None) -> tuple[int, int]:
    """First and last event time of the records of a file; raises InputError for standard input, which is read once."""
    if file == "-":
        raise InputError("--shift-to-now reads the file twice: it cannot be standard input")
    first = last = 0
    with closing(read.open(file)) as source:
        feed = Feed(source, RowRecords(chosen.new_reader(), chosen.mapping.keeps_rest), None)
        for record in islice(feed.records(), limit):
            first = first or record.event_time
            last = max(last, record.event_time)
    return first, last


def _paced(records: Iterator[Record], pacer: Pacer) -> Iterator[Record]:
    for record in records:
        pacer.wait(record.event_time)
        yield record


def _send(
    records: Iterator[Record],
    source: Any,
    stop: Stop,
    send: HowToSend,
    outcome: Outcome,
    lines: SentLines,
    speaker: str,
) -> None:
    """The records into a file or the topic; raises UserError. The first is read before a broker is asked for."""
    first = next(records, None)
    if first is None:
        return
    sink: Sink
    if send.to_file is not None:
        sink = FileSink(send.to_file)
    else:
        sink = KafkaSink(
            get_settings(),
            lambda message: say(message, speaker),
            stop=stop,
            compression=send.compression,
            wait_s=send.wait_s,
            on_send=lines.on_send,
            on_stored=lines.on_stored,
        )
    try:
        with _bar(source.name, source.total_bytes) as update:
            drive(chain((first,), records), sink, stop, outcome.tally, lambda _: update(source.bytes_read()))
    finally:
        sink.close()
        outcome.acknowledged = sink.acknowledged


@contextmanager
def _bar(title: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar on stderr, if it is a terminal; yields what sets it."""
    console = Console(file=drawn_on(sys.stderr))
    if not console.is_terminal:
        yield lambda _: None
        return
    columns: list[Any] = [TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn()]
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(escape(one_line(title)), total=total)
        yield lambda done: bar.update(task, completed=done)


def _wait_for_store(feed: Feed, lines: SentLines, stop: Stop, outcome: Outcome) -> None:
    """Wait for the consumer and count what it refused; what cannot be found out is said in the summary."""
    total = outcome.tally.transactions
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        update(done)

    try:
        with database(autocommit=True) as connection, _bar("storing", total) as update:
            if not wait_until_read(connection, get_settings(), lines, lambda: stop.requested, advance):
                outcome.tally.interrupted = True
                return
            dead = dead_lines(connection, get_settings(), lines)
    except (NotRead, DatabaseUnavailable) as error:
        outcome.why_not_known = str(error)
        return
    outcome.stored = total - len(dead)
    feed.add_dead(dead)

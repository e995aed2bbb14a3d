"""`streamguard import FILE`, and `replay` of the generator: a person's own payments into the transactions topic.

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
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from streamguard.cli import generator_options as opt
from streamguard.cli.shared import DatabaseUnavailable, database, new_app
from streamguard.cli.usage import INTERRUPTED
from streamguard.config import UserError, get_settings
from streamguard.ingest.columns import Options
from streamguard.ingest.errors import Ambiguous, InputError, Missing
from streamguard.ingest.expressions import Literal
from streamguard.ingest.feed import Feed, open_source, refused_path
from streamguard.ingest.layouts import known_layouts, write_layout
from streamguard.ingest.payments import PaymentReader
from streamguard.ingest.plan import Plan, plan
from streamguard.ingest.records import RowRecords, shifted
from streamguard.ingest.stored import NotRead, SentLines, dead_lines, wait_until_read
from streamguard.producer.kafka_sink import KafkaSink, check_compression
from streamguard.producer.pace import Pacer
from streamguard.producer.record import Record, utc
from streamguard.producer.send import Tally, drive, say
from streamguard.producer.signals import Stop, stop_on_signals
from streamguard.producer.sinks import FileSink, Sink, is_same_file

_PREVIEW = 5
_SHOWN_REASONS = 20


@dataclass(frozen=True)
class HowToRead:
    """The options that say what a file is."""

    layout: str | None = None
    mapping: list[str] | None = None
    unit: str | None = None
    zone: str | None = None
    origin: str | None = None
    day_first: bool | None = None
    decimal: str | None = None
    currency: str | None = None
    encoding: str | None = None
    separator: str | None = None
    at: str | None = None
    member: str | None = None
    header_line: int | None = None
    rounds: bool = False

    def options(self) -> Options:
        """Those about values; raises InputError."""
        if self.decimal not in (None, ".", ","):
            raise InputError(f"--decimal is {self.decimal!r}: it is . or ,")
        currency = None if self.currency is None else opt.known_currency(self.currency)
        decimal: Any = self.decimal
        return Options(self.unit, self.zone, self.day_first, decimal, currency, self.origin, self.rounds)

    def open(self, file: str) -> Any:
        """The file as rows; raises InputError."""
        separator = {"tab": "\t", "\\t": "\t"}.get(self.separator or "", self.separator)
        return open_source(
            file,
            encoding=self.encoding,
            separator=separator,
            at=self.at,
            member=self.member,
            header_line=self.header_line,
        )


@dataclass(frozen=True)
class HowToSend:
    """The options that say what becomes of the records."""

    limit: int | None = None
    speed: str = "max"
    shift_to_now: bool = False
    to_file: Path | None = None
    compression: str = "none"
    wait_s: float = 30.0
    yes: bool = False
    dry_run: bool = False
    waits_for_store: bool = True
    allow: str = "0"
    refused: Path | None = None
    save_layout: Path | None = None


@dataclass
class _Outcome:
    """Counts for the end."""

    tally: Tally = field(default_factory=Tally)
    acknowledged: int = 0
    stored: int | None = None
    why_not_known: str | None = None


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
        _show(source, chosen, chosen.is_guess or send.dry_run, speaker)
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
        outcome = _Outcome()
        try:
            _send(records, source, stop, send, outcome, lines, speaker)
            if send.to_file is None and send.waits_for_store and not stop.requested:
                _wait_for_store(feed, lines, stop, outcome)
        finally:
            feed.close()
            if outcome.tally.interrupted:
                say("stopped", speaker)
            print("\n".join(_summary(feed, outcome, send, chosen.reader)), flush=True)
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


def _show(source: Any, chosen: Plan, in_full: bool, speaker: str) -> None:
    """What the file is and how it is read; in full with the mapping and the first payments."""
    say(f"{source.name}: {chosen.title} ({', '.join(source.found)})", speaker)
    for note in (*chosen.notes, *chosen.reader.notes):
        say(f"  {note}", speaker)
    if not in_full:
        return
    payments, refused = chosen.preview(_PREVIEW)
    print("The mapping (--map changes a field, --save-layout keeps it):")
    for name, bound in chosen.reader.columns.items():
        if bound.shown:
            print(f"  {name:<18} = {bound.shown}")
    if "transaction_id" not in chosen.mapping.fields:
        print(f"  {'transaction_id':<18} = #   (made of what the row says)")
    if unused := [column for column in chosen.reader.unused if column]:
        print(f"  not used: {', '.join(unused)}")
    print("The first payments as they would be stored:")
    for fields in payments:
        print(f"  {_payment_line(fields)}")
    for reason in refused[:_PREVIEW]:
        print(f"  refused: {reason}")


def _payment_line(fields: dict[str, Any]) -> str:
    """Time, account and amount first, then what else is known."""
    others = {
        name: value for name, value in fields.items() if name not in ("account_id", "amount", "currency", "event_time")
    }
    amount: Decimal = fields["amount"]
    rest = "  ".join(f"{name}={value}" for name, value in others.items() if value is not None)
    return f"{utc(fields['event_time'])}  {fields['account_id']}  {amount:,f} {fields['currency']}  {rest}"


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
    outcome: _Outcome,
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
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    columns: list[Any] = [TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn()]
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda done: bar.update(task, completed=done)


def _wait_for_store(feed: Feed, lines: SentLines, stop: Stop, outcome: _Outcome) -> None:
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


def _summary(feed: Feed, outcome: _Outcome, send: HowToSend, reader: PaymentReader) -> list[str]:
    """The lines printed at the end."""
    tally = outcome.tally
    sent = tally.transactions + sum(tally.other.values())
    done = "written" if send.to_file is not None else "acknowledged"
    confirmed = f"all {done}" if outcome.acknowledged == sent else f"{outcome.acknowledged:,} {done}"
    seconds = max(tally.seconds or tally.sending_s, 1e-6)
    lines = [
        f"{feed.rows_read:>12,} rows read",
        f"{sent:>12,} sent, {confirmed}, in {seconds:.1f} s ({sent / seconds:,.0f}/s)",
    ]
    if outcome.stored is not None:
        lines.append(f"{outcome.stored:>12,} stored")
    if reader.rounded:
        lines.append(f"{reader.rounded:>12,} of them with an amount rounded to its currency's decimals (--round)")
    lines.append(f"{feed.refusals.count:>12,} refused")
    sentences = list(feed.refusals.sentences())
    lines += [f"{'':>14}{sentence}" for sentence in sentences[:_SHOWN_REASONS]]
    if len(sentences) > _SHOWN_REASONS:
        lines.append(f"{'':>14}and {len(sentences) - _SHOWN_REASONS} more reasons")
    if feed.refusals.count and feed.refused_path is not None and feed.refused_path.exists():
        lines.append(
            f"{'':>14}they are in {feed.refused_path}, each with its reason: mend them there and import that file"
        )
    if tally.first_ms is not None:
        lines.append(f"event time {utc(tally.first_ms)} to {utc(tally.last_ms)}")
    for kind, count in [*tally.kinds.most_common(), *tally.other.most_common()]:
        name = "without a label" if kind == "ordinary" and "label" not in reader.columns else kind
        lines.append(f"  {name:<22}{count:>12,}{100 * count / max(1, tally.transactions):>9.2f} %")
    if outcome.why_not_known:
        lines.append(f"whether they are stored is not known: {outcome.why_not_known}")
    return lines


app = new_app(
    "Send your own payments: CSV, JSON, Parquet, OFX; known layouts, a mapping, or a guess that you agree to."
)

_LAYOUTS = ", ".join(layout.name for layout in known_layouts())

File = Annotated[
    str, typer.Argument(help="CSV, JSON lines, a JSON document, Parquet or OFX; gz, zst, zip; - is standard input.")
]
LayoutOption = Annotated[str | None, typer.Option(help=f"A .yaml file, or {_LAYOUTS}.")]
MapOption = Annotated[
    list[str] | None,
    typer.Option("--map", metavar="FIELD=COLUMN,...", help="Which column is which field; see docs/own-data.md."),
]
Unit = Annotated[str | None, typer.Option(help="What times count: s, ms, us, ns; or hours, days, ... with --origin.")]
Zone = Annotated[str | None, typer.Option(help="The zone of times that name none: America/Sao_Paulo; else UTC.")]
Origin = Annotated[str | None, typer.Option(help="The day that hours or days count from.")]
DayFirst = Annotated[bool | None, typer.Option("--day-first/--month-first", help="What 01/02/2026 means.")]
DecimalOption = Annotated[str | None, typer.Option("--decimal", help="What stands before the decimals: . or ,")]
Currency = Annotated[str | None, typer.Option(help="For files that name none.")]
Encoding = Annotated[str | None, typer.Option(help="Such as utf-8, windows-1252, utf-16; found out if not given.")]
SeparatorOption = Annotated[str | None, typer.Option(help="Between the cells of a CSV; found out if not given.")]
At = Annotated[str | None, typer.Option(help="Where the payments are in a JSON document: added, data.items.")]
Member = Annotated[str | None, typer.Option(help="Which file of a zip.")]
Rounds = Annotated[bool, typer.Option("--round", help="Round amounts to the decimals of their currency.")]
HeaderLine = Annotated[int | None, typer.Option(help="The line of a CSV's header, from 1; 0: it has none.")]
Limit = Annotated[int | None, typer.Option(help="Only the first so many.")]
Speed = Annotated[str, typer.Option(help="1 is real time, 3600 an hour a second, max as fast as taken.")]
ShiftToNow = Annotated[
    bool,
    typer.Option("--shift-to-now", help="Move event times: begin now if played at a speed, end now if sent at once."),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Agree to a guess without being asked.")]
Allow = Annotated[str, typer.Option(metavar="N%", help="End with 0 although so many rows were refused.")]
Refused = Annotated[Path | None, typer.Option(help="Where refused rows go; a new file beside FILE by default.")]


@app.command()
def import_command(
    file: File,
    layout: LayoutOption = None,
    mapping: MapOption = None,
    yes: Yes = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show mapping and first payments; send nothing.")] = False,
    save_layout: Annotated[Path | None, typer.Option(help="Write the mapping as a layout file.")] = None,
    unit: Unit = None,
    zone: Zone = None,
    origin: Origin = None,
    day_first: DayFirst = None,
    decimal: DecimalOption = None,
    currency: Currency = None,
    encoding: Encoding = None,
    separator: SeparatorOption = None,
    at: At = None,
    member: Member = None,
    header_line: HeaderLine = None,
    rounds: Rounds = False,
    limit: Limit = None,
    speed: Speed = "max",
    shift_to_now: ShiftToNow = False,
    to_file: opt.ToFile = None,
    compression: opt.Compression = "none",
    wait: opt.Wait = 30.0,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not wait until the consumer has stored them.")] = False,
    allow: Allow = "0%",
    refused: Refused = None,
) -> None:
    """Send the payments of a file, each read exactly or refused with its reason."""
    read = HowToRead(
        layout,
        mapping,
        unit,
        zone,
        origin,
        day_first,
        decimal,
        currency,
        encoding,
        separator,
        at,
        member,
        header_line,
        rounds,
    )
    send = HowToSend(
        limit, speed, shift_to_now, to_file, compression, wait, yes, dry_run, not no_wait, allow, refused, save_layout
    )
    run_import(file, read, send)


__all__ = ["HowToRead", "HowToSend", "UserError", "app", "run_import"]

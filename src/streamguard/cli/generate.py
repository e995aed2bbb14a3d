"""The commands of the generator: batch, stream, velocity, replay, preview, report, evaluate; without a command, the menu.

The same Typer app is `streamguard generate` and `generate_transactions.py`. A command reads its options, builds the
records (`runs.py`; `import_run.py` for files), opens a sink (`kafka_sink.py`, `sinks.py`) and sends them (`send.py`).

Exit codes: 0 all sent and acknowledged (a stream ended by Ctrl-C or SIGTERM included); 1 nothing was acknowledged or no
broker answered; 2 an option, file or setting that cannot be used; 3 a part was acknowledged; 130 a batch or replay cut short,
or anything stopped before a broker answered.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from streamguard.cli import generator_options as opt
from streamguard.cli import import_options as imports
from streamguard.cli.evaluate import evaluate
from streamguard.cli.import_run import run_import
from streamguard.cli.menu import run_menu
from streamguard.cli.usage import INTERRUPTED, discard_output
from streamguard.cli.usage import run as run_command_line
from streamguard.config import UserError, get_settings
from streamguard.config.logs import configure_logging, writes_json
from streamguard.config.visible import OutputError, protect_output
from streamguard.metrics.latency import Latency
from streamguard.metrics.producer import ProducerMetrics, send_seconds
from streamguard.metrics.traces import tracer_of
from streamguard.producer import chargebacks as chargeback_records
from streamguard.producer.errors import InputError
from streamguard.producer.kafka_sink import KafkaSink, check_compression
from streamguard.producer.pace import Pacer
from streamguard.producer.record import Record
from streamguard.producer.report import write_report
from streamguard.producer.runs import Recipe, Run
from streamguard.producer.send import Tally, drive, progress, say, summary
from streamguard.producer.signals import Stop, stop_on_signals
from streamguard.producer.sinks import FileSink, Sink

MOST_TPS = 1_000_000
MOST_TIME_SCALE = 1_000_000

app = typer.Typer(
    help="Make payments, or replay recorded ones, into the transactions topic.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def now_ms() -> int:
    """The wall clock, epoch milliseconds."""
    return time.time_ns() // 1_000_000


@contextmanager
def _exit_codes() -> Iterator[None]:
    """Turns a UserError into its sentence on stderr and its exit code."""
    try:
        yield
    except OutputError:
        raise  # said where the output is given up
    except UserError as error:
        say(str(error))
        raise typer.Exit(error.exit_code) from None
    except BrokenPipeError:
        discard_output()
        raise typer.Exit(1) from None


def send(
    records: Iterator[Record],
    sink: Sink,
    stop: Stop,
    title: str,
    total: int | None = None,
    rate: float | None = None,
    endless: bool = False,
) -> None:
    """Send all, close, print the summary in any case; raises UserError and typer.Exit."""
    tally = Tally()
    try:
        with progress(title, total) as advance:
            drive(records, sink, stop, tally, advance)
    finally:
        sink.close()
        if tally.interrupted:
            say("stopped")
        _show(summary(tally, sink, rate))
    if tally.interrupted and not endless:
        raise typer.Exit(INTERRUPTED)


def _show(lines: list[str]) -> None:
    """The summary; where the process writes its log as JSON, as lines of that."""
    if writes_json():
        for line in lines:
            say(line)
    else:
        print("\n".join(lines), flush=True)


def open_sink(
    to_file: Path | None,
    stop: Stop,
    compression: str,
    wait_s: float,
    recipe: Recipe | None = None,
    latency: Latency | None = None,
) -> Sink:
    """A file where one is named, else the broker of the settings; raises InputError before a file is overwritten."""
    check_compression(compression)
    opt.not_below_zero("--wait", wait_s)
    if to_file is not None:
        if recipe is not None:
            opt.fits_into(to_file, recipe)
        return FileSink(to_file)
    extra = (chargeback_records.TOPIC,) if recipe is not None and recipe.chargebacks else ()
    settings = get_settings()
    how = {"stop": stop, "compression": compression, "wait_s": wait_s, "extra_topics": extra, "latency": latency}
    return KafkaSink(settings, say, **how, tracer=tracer_of("generator", settings))  # type: ignore[arg-type]


@contextmanager
def _metrics(sink: Sink, latency: Latency | None) -> Iterator[None]:
    """The figures of a stream to a broker while the block runs."""
    if latency is None or not isinstance(sink, KafkaSink):
        yield
        return
    from streamguard.metrics.page import serve

    page = serve(get_settings(), "generator", [ProducerMetrics(sink, latency)], sink.silence)
    try:
        yield
    finally:
        page.close()


@app.callback(invoke_without_command=True)
def main(context: typer.Context) -> None:
    """Without a command, show the menu."""
    if context.invoked_subcommand is None:
        run_menu(_run_again)


@app.command()
def batch(
    count: Annotated[int | None, typer.Option(help="How many transactions; 1,000 unless --end is given.")] = None,
    seed: opt.Seed = None,
    profile: opt.Profile = "br",
    customers: opt.Customers = None,
    start: opt.Start = None,
    end: Annotated[str | None, typer.Option(help="Stop before this event time.")] = None,
    duration: Annotated[float | None, typer.Option(help="Seconds of event time, instead of --end.")] = None,
    mix: opt.MixOption = None,
    fraud_share: opt.FraudShare = None,
    begin_with: opt.BeginWith = None,
    bad: opt.Bad = None,
    chargebacks: opt.Chargebacks = False,
    to_file: opt.ToFile = None,
    compression: opt.Compression = "lz4",
    wait: opt.Wait = 30.0,
) -> None:
    """Send a number of transactions as fast as they are taken; with a seed always the same ones."""
    with _exit_codes(), stop_on_signals() as stop:
        opt.above_zero("--count", count)
        opt.above_zero("--duration", duration)
        opt.not_below_zero("--wait", wait)
        if count is None and end is None and duration is None:
            count = 1000
        clock_ms = now_ms()
        run = Run(_recipe(profile, seed, customers, mix, fraud_share, begin_with, bad, chargebacks))
        start_ms, end_ms = opt.read_time("--start", start, clock_ms), opt.read_time("--end", end, clock_ms)
        if duration is not None:
            start_ms, end_ms = run.span(start_ms, end_ms, duration, clock_ms)
        records = run.batch(count, start_ms, end_ms, clock_ms)
        send(records, open_sink(to_file, stop, compression, wait, run.recipe), stop, "batch", count)


@app.command()
def stream(
    tps: Annotated[float, typer.Option(help="Transactions per second.")] = 10.0,
    duration: Annotated[float | None, typer.Option(help="Seconds; without it until Ctrl-C.")] = None,
    seed: opt.Seed = None,
    profile: opt.Profile = "br",
    customers: opt.Customers = None,
    start: opt.Start = None,
    time_scale: Annotated[float, typer.Option(help="How much faster event time runs: 1440 is a day a minute.")] = 1.0,
    pattern: Annotated[bool, typer.Option("--pattern", help="Follow the profile's hours and days.")] = False,
    mix: opt.MixOption = None,
    fraud_share: opt.FraudShare = None,
    begin_with: opt.BeginWith = None,
    bad: opt.Bad = None,
    chargebacks: opt.Chargebacks = False,
    to_file: opt.ToFile = None,
    compression: opt.Compression = "lz4",
    wait: opt.Wait = 30.0,
) -> None:
    """Send transactions at a steady rate, stamped with the time they are sent at."""
    with _exit_codes(), stop_on_signals() as stop:
        opt.above_zero("--tps", tps, at_most=MOST_TPS)
        opt.above_zero("--duration", duration)
        opt.above_zero("--time-scale", time_scale, at_most=MOST_TIME_SCALE)
        run = Run(_recipe(profile, seed, customers, mix, fraud_share, begin_with, bad, chargebacks))
        start_ms = opt.read_time("--start", start, now_ms())
        if (settings := get_settings()).log_format == "json" and not sys.stderr.isatty():
            configure_logging("generator", settings)
        latency = None if to_file is not None or settings.metrics_port == "off" else send_seconds()
        sink = open_sink(to_file, stop, compression, wait, run.recipe, latency)
        records = run.stream(
            tps, Pacer(time_scale, sleep=stop.sleep), lambda: start_ms or now_ms(), duration, time_scale, pattern
        )
        total = None if duration is None else round(tps * duration)
        with _metrics(sink, latency):
            send(records, sink, stop, "stream", total, None if pattern else tps, endless=True)


@app.command()
def velocity(
    account: Annotated[str, typer.Option(help="The account that pays too fast.")],
    count: Annotated[int, typer.Option(help="How many payments within the current minute.")] = 5,
    profile: opt.Profile = "br",
    seed: opt.Seed = None,
    to_file: opt.ToFile = None,
    wait: opt.Wait = 30.0,
) -> None:
    """Send a burst of payments of one account, all in the tumbling minute of now."""
    with _exit_codes(), stop_on_signals() as stop:
        opt.above_zero("--count", count)
        if not account.strip():
            raise InputError(f"--account is {account!r}: name one, such as BR-0000042")
        run = Run(Recipe(profile, seed))
        sink = open_sink(to_file, stop, "none", wait)
        send(run.velocity(account, count, now_ms()), sink, stop, "velocity", count)


@app.command()
def replay(
    file: imports.File,
    layout: imports.LayoutOption = None,
    mapping: imports.MapOption = None,
    limit: imports.Limit = None,
    speed: imports.Speed = "max",
    shift_to_now: imports.ShiftToNow = False,
    currency: imports.Currency = None,
    to_file: opt.ToFile = None,
    compression: opt.Compression = "lz4",
    wait: opt.Wait = 30.0,
    yes: imports.Yes = False,
) -> None:
    """Send the transactions of a file, with their own event times: `streamguard import` without waiting for the store.

    With --shift-to-now the recording begins now if it is played at a speed, and ends now if it is sent at once.
    """
    with _exit_codes():
        read = imports.HowToRead(layout=layout, mapping=mapping, currency=currency)
        send = imports.HowToSend(limit, speed, shift_to_now, to_file, compression, wait, yes, waits_for_store=False)
        run_import(file, read, send, speaker="generate")


@app.command()
def preview(
    count: Annotated[int, typer.Option(help="How many to show.")] = 10,
    seed: opt.Seed = None,
    profile: opt.Profile = "br",
    customers: opt.Customers = None,
    start: opt.Start = None,
    mix: opt.MixOption = None,
    fraud_share: opt.FraudShare = None,
    bad: opt.Bad = None,
) -> None:
    """Print what a batch would send, one transaction a line, and send nothing."""
    with _exit_codes():
        opt.above_zero("--count", count)
        clock_ms = now_ms()
        run = Run(_recipe(profile, seed, customers, mix, fraud_share, None, bad, False))
        for record in run.batch(count, opt.read_time("--start", start, clock_ms), None, clock_ms):
            value = "null" if record.value is None else record.value.decode("utf-8", "backslashreplace")
            print(f"{record.key.decode()} [{record.kind}] {value}")


app.command()(evaluate)


@app.command()
def report(
    output: Annotated[Path, typer.Argument(help="The HTML file to write.")] = Path("simulation.html"),
    days: Annotated[float, typer.Option(help="Days of event time.")] = 7.0,
    seed: opt.Seed = 7,
    profile: opt.Profile = "br",
    customers: opt.Customers = None,
    start: opt.Start = None,
    mix: opt.MixOption = None,
    fraud_share: opt.FraudShare = None,
) -> None:
    """Write one HTML page about a simulated span: volume by hour, amounts, map, fraud by kind."""
    with _exit_codes(), stop_on_signals() as stop:
        opt.above_zero("--days", days)
        run = Run(_recipe(profile, seed, customers, mix, fraud_share, None, None, False))
        with progress("report", None) as advance:
            count = write_report(output, run, days, opt.read_time("--start", start, now_ms()), stop, advance)
        print(f"wrote {output}: {count:,} transactions")


def _run_again(arguments: list[str]) -> None:
    """Run one command in this process; what its exit code means it has said itself."""
    with suppress(SystemExit), _exit_codes():
        app(args=arguments, prog_name="generate")


def _recipe(
    profile: str,
    seed: int | None,
    customers: int | None,
    mix: list[str] | None,
    fraud_share: float | None,
    begin_with: list[str] | None,
    bad: list[str] | None,
    chargebacks: bool,
) -> Recipe:
    shares, rates = opt.read_shares("--mix", mix), opt.read_shares("--bad", bad)
    return Recipe(profile, seed, customers, shares, fraud_share, rates, tuple(begin_with or ()), chargebacks)


simulate_app = typer.Typer(
    help="Look at what the generator would make.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
"""`streamguard simulate report|preview`."""
simulate_app.command()(report)
simulate_app.command()(preview)


def run() -> NoReturn:
    """Entry of `generate_transactions.py`."""
    protect_output()
    raise SystemExit(run_command_line(app, name=Path(sys.argv[0]).name, speaker="generate"))

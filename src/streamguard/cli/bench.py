"""`streamguard bench`: measures the running stack (`pipeline`, `desk`, `sizes`), the broker and the SQL engine.

Comparisons with other products are in `benchmarks/` of the repository.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from streamguard.bench.broker.measure import ROWS, measure_ours
from streamguard.bench.desk import measure as measure_desk
from streamguard.bench.engine.growth import measure_restart
from streamguard.bench.engine.latency import percentile
from streamguard.bench.engine.measure import measure_all, measure_latencies
from streamguard.bench.pages import examples
from streamguard.bench.pages import measure as measure_pages
from streamguard.bench.pipeline import Connect, Trial, run_trial
from streamguard.bench.runs import spread, write_json
from streamguard.bench.saturation import highest_held
from streamguard.bench.sizes import RATES
from streamguard.bench.sizes import measure as measure_sizes
from streamguard.cli.shared import database, new_app
from streamguard.config import get_settings
from streamguard.config.visible import drawn_on
from streamguard.kafka.clients import kafka_admin, kafka_errors
from streamguard.stack.errors import StackError
from streamguard.stack.parts import desk_url
from streamguard.stack.supervisor import Supervisor
from streamguard.users.accounts import FIRST_ADMIN
from streamguard.users.sessions import Lifetimes, close_session, open_session

RULES = Path("ksqldb/queries.sql")
_COUNTED = ("transactions", "fraud_alerts")

app = new_app("Measure the running stack, the broker or the engine.")


@app.callback()
def _root() -> None:
    """Measure the running stack, its desk, the broker or the engine."""


@app.command()
def sizes() -> None:
    """Bytes of a transaction in the topics and in the database, by topic, table and index; per day and month at some rates."""
    with kafka_errors(), kafka_admin(get_settings()) as kafka, database() as connection:
        found = measure_sizes(connection, kafka)
    table = Table("", "bytes", "per transaction", "scans", box=None)
    for topic in found.topics:
        kind = "topic, compacted:" if topic.compacted else "topic"
        _add_size(table, f"{kind} {topic.name}", topic.bytes, found.transactions)
    for relation in found.relations:
        _add_size(table, f"{relation.kind} {relation.name}", relation.bytes, found.transactions, relation.scans)
    Console(width=110).print(table)
    print(
        f"\n{found.transactions:,} transactions: {found.topic_bytes:,.0f} bytes each in the topics that grow,"
        f" {found.database_bytes:,.0f} in the database"
    )
    each = found.topic_bytes + found.database_bytes
    for rate in RATES:
        day = rate * each * 86_400 / 2**30
        print(f"{rate:>6,} a second: {day:>9,.1f} GiB a day, {30 * day:>9,.0f} GiB in 30 days")


def _add_size(table: Table, name: str, size: int, transactions: int, scans: int | None = None) -> None:
    each = size / transactions
    if each >= 0.1:
        table.add_row(name, f"{size:,}", f"{each:,.1f}", "" if scans is None else f"{scans:,}")


@app.command()
def broker(
    records: Annotated[int, typer.Option(min=1000, help="Of 300 bytes, for librdkafka.")] = 1_000_000,
    python_records: Annotated[int, typer.Option(min=1000, help="For kafka-python.")] = 100_000,
    latency_seconds: Annotated[float, typer.Option(min=0.1)] = 5.0,
) -> None:
    """Throughput, latency, start and memory of the broker, on a new one."""
    result = measure_ours(records, python_records, latency_seconds)
    table = Table("", "value", box=None)
    for label, value in ROWS:
        table.add_row(label, f"{value(result):,.2f}")
    Console(file=drawn_on(sys.stdout), width=110).print(table)


@app.command()
def engine(
    records: Annotated[int, typer.Option(min=1_000, help="Transactions of 300 bytes.")] = 600_000,
    accounts: Annotated[int, typer.Option(min=1)] = 100_000,
    rules: Annotated[Path, typer.Option(exists=True, help="The SQL that is run.")] = RULES,
    pinned: Annotated[bool, typer.Option(help="Keep engine and ceiling on one core each time.")] = True,
    engines: Annotated[int, typer.Option(min=1, max=12, help="So many processes share the work.")] = 1,
    runs: Annotated[int, typer.Option(min=1, help="Measured runs, after one to warm up if there are several.")] = 1,
    file: Annotated[Path | None, typer.Option("--json", help="Also write the figures here.")] = None,
    latency: Annotated[
        bool, typer.Option("--latency", help="Measure event to alert at 1,000 a second instead.")
    ] = False,
) -> None:
    """The engine with all its rules, beside a bare consumer that only decodes the same records."""
    if latency:
        _engine_latency(rules)
        return
    found = [measure_all(records, accounts, rules, 0 if pinned else None, engines) for _ in range(runs + (runs > 1))]
    measured = found[runs > 1 :]
    figures = {
        "transactions_per_s": spread([records / run.seconds for _, run in measured]),
        "ceiling_per_s": spread([records / ceiling for ceiling, _ in measured]),
        "cpu_us": spread([run.cpu_seconds / records * 1e6 for _, run in measured]),
        "memory_mb": spread([run.memory_mb for _, run in measured]),
        "restart_s": spread([run.restart_seconds for _, run in measured]),
    }
    what = "engine" if engines == 1 else f"{engines} engines"
    labels = {
        "ceiling_per_s": ("ceiling: kafka-python, decoding only, transactions/s", 0),
        "transactions_per_s": (f"{what}: {rules.name}, transactions/s", 0),
        "cpu_us": (f"{what}: CPU per transaction, us", 1),
        "memory_mb": (f"{what}: resident memory, MB", 0),
        "restart_s": ("engine: kill -9 to answering again, s", 2),
    }
    _print_spread("", labels, figures)
    if file is not None:
        write_json(file, runs, {"engines": engines, "records": records, **figures})


def _engine_latency(rules: Path) -> None:
    found = measure_latencies(rules)
    table = Table("rule", "alerts", "p50 ms", "p95 ms", "p99 ms", "longest ms", box=None)
    for rule, values in (("high amount", found.high_amount), ("high velocity", found.high_velocity)):
        shares = [f"{percentile(values, share):.1f}" for share in (0.5, 0.95, 0.99, 1.0)]
        table.add_row(rule, str(len(values)), *shares)
    Console(file=drawn_on(sys.stdout), width=110).print(table)


@app.command()
def growth(
    open_windows: Annotated[int, typer.Option(min=1_000, help="Accounts with a payment in the window.")] = 2_000_000,
    rules: Annotated[Path, typer.Option(exists=True, help="The SQL that is run.")] = RULES,
    runs: Annotated[int, typer.Option(min=1)] = 1,
    file: Annotated[Path | None, typer.Option("--json", help="Also write the figures here.")] = None,
) -> None:
    """An engine with many open windows: how soon it counts again after a kill -9, and what memory it takes."""
    found = [measure_restart(rules, open_windows) for _ in range(runs)]
    figures = {
        "answers_s": spread([run.answers_s for run in found]),
        "counts_s": spread([run.counts_s for run in found]),
        "filled_s": spread([run.filled_s for run in found]),
        "memory_mb": spread([run.memory_mb[0] for run in found]),
        "memory_after_mb": spread([run.memory_mb[1] for run in found]),
    }
    labels = {
        "filled_s": ("the windows counted, s", 1),
        "answers_s": ("kill -9 to answering again, s", 2),
        "counts_s": ("kill -9 to a new payment counted and committed, s", 2),
        "memory_mb": ("resident memory before, MB", 0),
        "memory_after_mb": ("resident memory after, MB", 0),
    }
    _print_spread(f"{open_windows:,} open windows", labels, figures)
    if file is not None:
        write_json(file, runs, {"open_windows": open_windows, **figures})


def _print_spread(
    title: str, labels: Mapping[str, tuple[str, int]], figures: Mapping[str, Mapping[str, float]]
) -> None:
    table = Table(title, "median", "min", "max", box=None)
    for name, (label, digits) in labels.items():
        table.add_row(label, *(f"{figures[name][column]:,.{digits}f}" for column in ("median", "min", "max")))
    Console(file=drawn_on(sys.stdout), width=110).print(table)


@app.command()
def desk(
    tps: Annotated[float, typer.Option("--tps", min=1, help="Transactions per second.")] = 1_000,
    duration: Annotated[int, typer.Option("--duration", min=1, help="Seconds.")] = 60,
    browsers: Annotated[int, typer.Option(min=1)] = 5,
    tabs: Annotated[int, typer.Option(min=1, help="In each browser.")] = 4,
    user: Annotated[str, typer.Option(help="Whose login the browsers use.")] = FIRST_ADMIN,
) -> None:
    """From the event of a transaction to its alert on the screen, in real browsers on the running desk."""
    settings = get_settings()
    process = Supervisor(settings).processes().get("desk") if Supervisor(settings).alive() else None
    if process is None or not process.pid:
        raise StackError("the desk does not run: `streamguard up` starts it")
    with database() as connection:
        token = open_session(connection, user, Lifetimes(timedelta(hours=1), timedelta(hours=1)))
    found = measure_desk(
        desk_url(settings),
        token,
        process.pid,
        browsers=browsers,
        tabs=tabs,
        tps=tps,
        seconds=duration,
    )
    with database() as connection:
        close_session(connection, token)
    table = Table("", "value", box=None)
    table.add_row("tabs", f"{found.tabs}")
    table.add_row("versions of alerts, and times one was shown", f"{found.alerts:,}, {found.shown:,}")
    for share in (0.5, 0.95, 0.99):
        shown = f"{percentile(list(found.latencies_ms), share):.0f}" if found.latencies_ms else "-"
        table.add_row(f"event to screen, p{100 * share:.0f}, ms", shown)
    table.add_row("desk: share of a core", f"{100 * found.core_share:.0f} %")
    table.add_row("desk: resident memory, MB", f"{found.memory_mb:,.0f}")
    Console(file=drawn_on(sys.stdout), width=110).print(table)


@app.command()
def pipeline(
    tps: Annotated[float, typer.Option("--tps", min=1, help="Transactions per second.")] = 1_000,
    duration: Annotated[int, typer.Option("--duration", min=1, help="Seconds.")] = 60,
    seed: Annotated[int | None, typer.Option("--seed", help="Of the generator; the clock's if not given.")] = None,
    saturate: Annotated[
        bool,
        typer.Option("--saturate", help="Find the highest rate that is held for --duration, beginning with --tps."),
    ] = False,
    runs: Annotated[int, typer.Option(min=1, help="Measured runs, after one to warm up if there are several.")] = 1,
    file: Annotated[Path | None, typer.Option("--json", help="Also write the figures here.")] = None,
) -> None:
    """Run the generator at --tps for --duration seconds; print throughput and the 50/95/99th percentile of latency.

    Exits 1 if not every transaction is stored within 30 s of the last one.
    """
    connect = partial(database, autocommit=True)
    trials = []
    for _ in range(runs + (runs > 1)):
        rate = _highest_held(connect, tps, duration) if saturate else tps
        trials.append(run_trial(connect, rate, duration, seed))
    measured = trials[runs > 1 :]
    for trial in measured:
        _print_trial(trial)
    if file is not None:
        write_json(file, runs, _pipeline_figures(measured, saturate=saturate))
    for trial in measured:
        if not trial.is_stored:
            figures = trial.figures
            typer.echo(f"{figures.stored:,} of {trial.sent:,} transactions stored, at {figures.rate:,.0f}/s", err=True)
            raise typer.Exit(1)


def _highest_held(connect: Connect, first_tps: float, seconds: int) -> float:
    def holds(tps: float, wanted_s: int) -> bool:
        found = run_trial(connect, tps, wanted_s)
        is_held = found.is_held
        print(f"{tps:>9,.0f}/s for {wanted_s} s: {'held' if is_held else 'not held'}", flush=True)
        return is_held

    found = highest_held(holds, first_tps, seconds)
    if not found:
        raise StackError("no rate is held: `streamguard status` says what stands still")
    return found


def _print_trial(trial: Trial) -> None:
    sent, figures = trial.sent, trial.figures
    print(f"sent          {sent:,} transactions at {sent / trial.seconds:,.0f}/s")
    print(
        f"stored        {figures.stored:,} at {figures.rate:,.0f}/s; the last {trial.behind_s:.2f} s after the sender's end"
    )
    print(f"event to row  p50 {figures.p50_ms:.0f} ms   p95 {figures.p95_ms:.0f} ms   p99 {figures.p99_ms:.0f} ms")
    if figures.decided_ms is not None:
        p50, p95, p99 = figures.decided_ms
        print(
            f"event to decided row  p50 {p50:.0f} ms   p95 {p95:.0f} ms   p99 {p99:.0f} ms   ({figures.alerts:,} alerts)"
        )


def _pipeline_figures(trials: Sequence[Trial], *, saturate: bool) -> dict[str, object]:
    """Each percentile is the median of the runs."""
    found: dict[str, object] = {
        "saturate": saturate,
        "tps": [trial.tps for trial in trials],
        "seconds": trials[0].seconds,
        "transactions_per_s": spread([trial.figures.rate for trial in trials]),
        "stored_ms": _percentiles([(t.figures.p50_ms, t.figures.p95_ms, t.figures.p99_ms) for t in trials]),
    }
    decided = [trial.figures.decided_ms for trial in trials if trial.figures.decided_ms is not None]
    return {**found, "decided_ms": _percentiles(decided)} if decided else found


def _percentiles(runs: Sequence[tuple[float, float, float]]) -> dict[str, float]:
    return {name: median(run[n] for run in runs) for n, name in enumerate(("p50", "p95", "p99"))}


@app.command()
def pages(
    asked: Annotated[int, typer.Option("--requests", min=1, help="For each page.")] = 100,
    user: Annotated[str, typer.Option(help="Whose login is used.")] = FIRST_ADMIN,
) -> None:
    """How soon each page of the running desk answers; scripts/fill_database.py of the repository makes large tables."""
    settings = get_settings()
    with database() as connection:
        values = examples(connection)
        counts = [connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one() for name in _COUNTED]
        token = open_session(connection, user, Lifetimes(timedelta(hours=1), timedelta(hours=1)))
    table = Table("page", "p50 ms", "p95 ms", "longest ms", box=None)
    for figures in measure_pages(desk_url(settings), token, values, asked):
        answers = figures.answers_ms
        table.add_row(
            figures.path, *(f"{percentile(answers, share):.0f}" for share in (0.5, 0.95)), f"{answers[-1]:.0f}"
        )
    with database() as connection:
        close_session(connection, token)
    print(", ".join(f"{count:,} {name}" for count, name in zip(counts, _COUNTED, strict=True)))
    Console(file=drawn_on(sys.stdout), width=110).print(table)

"""`streamguard up | down | logs`: the stack on this machine. start.sh and stop.sh call the first two."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Annotated, NoReturn

import typer

from streamguard.cli.shared import RuleSet, new_app, print_line, print_lines
from streamguard.config import Settings, get_settings
from streamguard.config.logs import readable
from streamguard.models import show_amount
from streamguard.rules.limits import RuleLimits
from streamguard.stack.down import stop, wipe
from streamguard.stack.errors import StackError
from streamguard.stack.extras import names_in
from streamguard.stack.numbers import CONSUMERS, ENGINES
from streamguard.stack.parts import Part
from streamguard.stack.supervisor import Supervisor
from streamguard.stack.up import StartOptions, first_alerts, start
from streamguard.users.accounts import FIRST_ADMIN

up_app = new_app("Start StreamGuard and wait until it is ready.")
down_app = new_app("Stop StreamGuard.")
logs_app = new_app("The logs of the processes.")

FIRST_ALERTS_WITHIN_S = 8.5
"""The first alerts are shown if they come within this time of the start, or two seconds after readiness."""

INTERRUPTED = 130


ByScript = Annotated[bool, typer.Option("--by-script", hidden=True)]


@dataclass(frozen=True)
class Commands:
    """How messages name the commands: as the caller has typed them."""

    up: str = "streamguard up"
    down: str = "streamguard down"
    streamguard: str = "streamguard"


SCRIPTS = Commands("./start.sh", "./stop.sh", ".venv/bin/streamguard")


def _report(sentence: str) -> None:
    print_line(f"  {sentence}")


def _is_at_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


@up_app.command()
def up(
    docker: Annotated[
        bool, typer.Option("--docker", help="Kafka, ksqlDB and Postgres in containers, from docker-compose.yaml.")
    ] = False,
    no_generator: Annotated[
        bool, typer.Option("--no-generator", help="Without the stream of generated transactions.")
    ] = False,
    no_desk: Annotated[bool, typer.Option("--no-desk", help="Without the web desk.")] = False,
    rules: Annotated[
        RuleSet,
        typer.Option("--rules", help="Which SQL rules to deploy: the whole catalogue, or the two of queries.sql."),
    ] = RuleSet.all,
    extras: Annotated[
        str | None,
        typer.Option(
            "--with",
            help="Extras and sinks with commas between, such as lake,batch: their sinks run, at later starts too; none drops"
            " them.",
        ),
    ] = None,
    consumers: Annotated[
        int | None,
        typer.Option(
            "--consumers", help="How many processes share the storing, at later starts too.", show_default="1 at first"
        ),
    ] = None,
    engines: Annotated[
        int | None,
        typer.Option(
            "--engines", help="How many processes share the SQL rules, at later starts too.", show_default="1 at first"
        ),
    ] = None,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Do not return: stop everything on Ctrl-C or SIGTERM.")
    ] = False,
    by_script: ByScript = False,
) -> None:
    """Start what does not run yet, wait until each part is ready, show what runs and the first alerts."""
    commands = SCRIPTS if by_script else Commands()
    options = StartOptions(
        docker=docker,
        desk=not no_desk,
        generator=not no_generator,
        rules=rules.value,
        command=commands.up,
        extras=None if extras is None else names_in(extras),
        consumers=None if consumers is None else CONSUMERS.check(consumers),
        engines=None if engines is None else ENGINES.check(engines),
    )
    settings = get_settings()
    try:
        if foreground:
            signal.signal(signal.SIGTERM, signal.default_int_handler)
        _up(settings, options, commands)
        if foreground:
            _stay(settings)
    except KeyboardInterrupt:
        if foreground:
            stop(settings, _report)
            return
        runs = Supervisor(settings).alive()
        left = f"the stack runs, {commands.down} stops it" if runs else "nothing was left running"
        # Below the ^C that a terminal shows.
        below = "\n" if sys.stderr.isatty() else ""
        print(f"{below}streamguard: interrupted; {left}", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None


def _up(settings: Settings, options: StartOptions, commands: Commands) -> None:
    RuleLimits()  # a wrong limit is reported here, not by the consumer
    began = time.monotonic()
    ran_before = Supervisor(settings).alive()
    print("StreamGuard runs already; starting what is missing:" if ran_before else "Starting StreamGuard:", flush=True)
    started = start(settings, options, _report)
    print(f"Ready in {time.monotonic() - began:.1f} s.\n")
    _show_services(settings, started.parts, options)
    if started.first_password is not None:
        print(f"\nFirst login at the desk, shown this once: user {FIRST_ADMIN}, password {started.first_password}")
    if options.generator:
        _show_alerts(started.settings, max(2.0, FIRST_ALERTS_WITHIN_S - (time.monotonic() - began)))
    print(f"\nNext:  {commands.streamguard} alerts list   {commands.streamguard} status   {commands.down}")
    if _is_at_terminal() and input("View live logs? [y/N] ").strip().lower().startswith("y"):
        _follow_logs(settings, commands)


def _stay(settings: Settings) -> NoReturn:
    """Return never; raises StackError when supervisord ends."""
    while Supervisor(settings).alive():
        time.sleep(1)
    raise StackError(f"supervisord has ended; see {settings.state_path / 'logs' / 'supervisord.log'}")


def _show_services(settings: Settings, parts: list[Part], options: StartOptions) -> None:
    processes = Supervisor(settings).processes()
    rows = [(part.name, processes[part.name].state.lower(), part.reached_by) for part in parts]
    if options.docker:
        address = settings.database
        rows += [
            ("postgres", "docker", f"postgresql://{address.user}@{address.host}:{address.port}/{address.name}"),
            ("kafka", "docker", settings.kafka_bootstrap_servers),
            ("ksqldb", "docker", settings.ksqldb_url),
            ("kafka-ui", "docker", f"http://127.0.0.1:{settings.kafka_ui_port}"),
        ]
    longest = max(10, *(len(name) for name, _, _ in rows))
    for name, state, reached_by in rows:
        print(f"  {name:<{longest}} {state:<9} {reached_by}")


def _show_alerts(settings: Settings, timeout_s: float) -> None:
    alerts = first_alerts(settings, 5, timeout_s)
    print("\nFirst alerts:" if alerts else "\nNo alert yet.")
    for alert in alerts:
        amount = show_amount(alert.amount, alert.currency)
        transactions = f"{alert.tx_count} transaction{'s' if alert.tx_count != 1 else ''}"
        print_line(
            f"  {alert.detected_at:%H:%M:%S}  {alert.rule:<14} {alert.account_id}  {amount:>12}  {transactions:<15}"
            f" {alert.outcome or 'undecided'}"
        )


def _follow_logs(settings: Settings, commands: Commands) -> None:
    logs = sorted((settings.state_path / "logs").glob("*.log"))
    try:
        _tail(["-n", "5", "-F", *map(str, logs)])
    except KeyboardInterrupt:
        print(f"\nThe stack is still running; {commands.down} stops it.")


def _tail(arguments: list[str]) -> int:
    """`tail` with its lines made visible: logs quote what programs of others say. Its exit code."""
    with subprocess.Popen(["tail", *arguments], stdout=subprocess.PIPE) as tail:
        assert tail.stdout is not None
        for line in tail.stdout:
            print_lines(readable(line.decode("utf-8", "replace").removesuffix("\n")).split("\n"))
    return tail.returncode


@down_app.command()
def down(
    wipe_data: Annotated[bool, typer.Option("--wipe", help="Remove all data.")] = False,
    keep_data: Annotated[bool, typer.Option("--keep", help="Keep the data; what is done unless asked.")] = False,
    by_script: ByScript = False,
) -> None:
    """Stop all processes; at a terminal, ask whether to remove the data."""
    if wipe_data and keep_data:
        raise typer.BadParameter("--wipe and --keep exclude each other")
    settings = get_settings()
    if not stop(settings, _report):
        _report("nothing runs")
    if not wipe_data and not keep_data and _is_at_terminal():
        answer = input("Remove all data (transactions, alerts, topics)? [y/N] ")
        wipe_data = answer.strip().lower() in ("y", "yes")
    if wipe_data:
        wipe(settings, _report)
    else:
        _report(f"the data is kept in {settings.state_path}")


@logs_app.command()
def logs(
    part: Annotated[
        str | None,
        typer.Argument(
            help="postgres, broker, ksqldb, consumer, consumer-N, desk, generator, sink-NAME, monitor; all if none."
        ),
    ] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Continue until Ctrl-C.")] = False,
) -> None:
    """The last lines of the logs."""
    folder = get_settings().state_path / "logs"
    files = sorted(folder.glob(f"{part or '*'}.log"))
    if not files:
        known = ", ".join(sorted(file.stem for file in folder.glob("*.log"))) or "none yet"
        raise StackError(f"no log {part or ''} in {folder}; there are: {known}")
    try:
        raise typer.Exit(_tail(["-n", str(lines), *(["-F"] if follow else []), *map(str, files)]))
    except KeyboardInterrupt:
        raise typer.Exit(0) from None

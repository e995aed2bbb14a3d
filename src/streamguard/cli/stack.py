"""`python -m streamguard.stack up|down`: what start.sh and stop.sh call."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time

from streamguard.config import Settings, SettingsError, get_settings
from streamguard.stack.down import stop, wipe
from streamguard.stack.parts import Part
from streamguard.stack.supervisor import StackError, Supervisor
from streamguard.stack.up import Wanted, first_alerts, start

READY_IN_S = 8.5
"""The first alerts are shown if they come within this time of the start, or two seconds after readiness."""


def say(sentence: str) -> None:
    print(f"  {sentence}", flush=True)


def up(settings: Settings, wanted: Wanted) -> None:
    """Start, then show what runs and what it found."""
    began = time.monotonic()
    ran_before = Supervisor(settings).alive()
    print("StreamGuard runs already; making sure of every part:" if ran_before else "Starting StreamGuard:", flush=True)
    parts = start(settings, wanted, say)
    print(f"Ready in {time.monotonic() - began:.1f} s.\n")
    show_services(settings, parts, wanted)
    if wanted.generator:
        show_alerts(settings, max(2.0, READY_IN_S - (time.monotonic() - began)))
    print("\nLook further:  .venv/bin/streamguard alerts list   .venv/bin/streamguard status   ./stop.sh")
    at_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if at_terminal and input("View live logs? [y/N] ").strip().lower().startswith("y"):
        live_logs(settings)


def show_services(settings: Settings, parts: list[Part], wanted: Wanted) -> None:
    processes = Supervisor(settings).processes()
    for part in parts:
        process = processes[part.name]
        print(f"  {part.name:<10} {process.state.lower():<9} {part.shown}")
    if wanted.docker:
        address = settings.database
        print(
            f"  {'postgres':<10} {'docker':<9} postgresql://{address.user}@{address.host}:{address.port}/{address.name}"
        )
        print(f"  {'kafka':<10} {'docker':<9} {settings.kafka_bootstrap_servers}")
        print(f"  {'ksqldb':<10} {'docker':<9} {settings.ksqldb_url}")
        print(f"  {'kafka-ui':<10} {'docker':<9} http://127.0.0.1:{settings.kafka_ui_port}")


def show_alerts(settings: Settings, patience_s: float) -> None:
    rows = first_alerts(settings, 5, patience_s)
    print("\nFirst alerts:" if rows else "\nNo alert yet; the stream has only begun.")
    for rule, account, amount, count, outcome, at in rows:
        payments = f"{count} payments" if count != 1 else "1 payment"
        print(f"  {at:%H:%M:%S}  {rule:<14} {account}  {amount:>12,.2f}  {payments:<12} {outcome or 'undecided'}")


def live_logs(settings: Settings) -> None:
    logs = sorted((settings.state_path / "logs").glob("*.log"))
    try:
        subprocess.run(["tail", "-n", "5", "-F", *map(str, logs)])
    except KeyboardInterrupt:
        print("\nThe stack goes on running; ./stop.sh stops it.")


def down(settings: Settings, choice: str | None) -> None:
    """Stop; wipe when told to, or when a person at the terminal says so."""
    if not stop(settings, say):
        say("nothing runs")
    if choice is None and sys.stdin.isatty() and sys.stdout.isatty():
        answer = input("Wipe all data (transactions, alerts, the log)? [y/N] ")
        choice = "wipe" if answer.strip().lower() in ("y", "yes") else "keep"
    if choice == "wipe":
        wipe(settings, say)
    else:
        say(f"the data is kept in {settings.state_path}")


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 when done, 1 with one sentence on stderr."""
    parser = argparse.ArgumentParser(prog="python -m streamguard.stack")
    commands = parser.add_subparsers(dest="command", required=True)
    upwards = commands.add_parser("up", prog="./start.sh", description="Start StreamGuard and wait until it is ready.")
    upwards.add_argument("--docker", action="store_true", help="Kafka, ksqlDB and Postgres from docker-compose.yaml")
    upwards.add_argument("--no-generator", action="store_true", help="without the stream of generated transactions")
    downwards = commands.add_parser("down", prog="./stop.sh", description="Stop StreamGuard.")
    downwards.add_argument("--wipe", dest="choice", action="store_const", const="wipe", help="remove all data")
    downwards.add_argument("--keep", dest="choice", action="store_const", const="keep", help="keep the data (default)")
    given = parser.parse_args(arguments)
    try:
        settings = get_settings()
        if given.command == "up":
            up(settings, Wanted(docker=given.docker, generator=not given.no_generator))
        else:
            down(settings, given.choice)
    except (StackError, SettingsError) as error:
        print(f"streamguard: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstreamguard: interrupted; ./stop.sh stops what runs", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

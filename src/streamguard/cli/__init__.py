"""`streamguard`: one command line for everything. A command's module is imported only when it is asked for.

The processes of the stack start through it too, and must not pay for each other's imports.
"""

# ruff: noqa: E402 - what Ctrl-C does while modules are imported is set before
from __future__ import annotations

import gc
import signal
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any, NoReturn

# Until all is imported Ctrl-C ends the process as the system does it: a traceback out of an import tells nobody anything.
_has_pythons_handler = (
    signal.getsignal(signal.SIGINT) is signal.default_int_handler
    and threading.current_thread() is threading.main_thread()
)
if _has_pythons_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import typer
from typer.core import TyperCommand, TyperGroup

from streamguard.cli import surroundings
from streamguard.cli.usage import INTERRUPTED
from streamguard.cli.usage import run as run_command_line
from streamguard.config import UserError
from streamguard.config.visible import one_line, protect_output

if _has_pythons_handler:
    signal.signal(signal.SIGINT, signal.default_int_handler)


surroundings.prepare()

COMMANDS: dict[str, tuple[str, str, str]] = {
    "up": ("streamguard.cli.stack", "up_app", "Start everything on this machine."),
    "down": ("streamguard.cli.stack", "down_app", "Stop it; --wipe removes the data."),
    "status": ("streamguard.cli.status", "app", "What runs, what it does, and what stands still."),
    "doctor": ("streamguard.cli.doctor", "app", "Check how it is set up, and say what mends it."),
    "logs": ("streamguard.cli.stack", "logs_app", "The logs of the processes."),
    "init": ("streamguard.cli.init", "app", "Write copies of the SQL rules into ./ksqldb, to edit them."),
    "deploy": ("streamguard.cli.deploy", "app", "Send SQL files to the ksqlDB server."),
    "import": (
        "streamguard.cli.imports",
        "app",
        "Send your own payments: CSV, JSON, Parquet, OFX; known layouts or a mapping.",
    ),
    "generate": ("streamguard.cli.generate", "app", "Make transactions, or replay recorded ones."),
    "simulate": ("streamguard.cli.generate", "simulate_app", "Preview what the generator would make."),
    "connect": ("streamguard.cli.connect", "app", "Read payments from a topic of your own."),
    "evaluate": ("streamguard.cli.evaluate", "app", "A scorecard of the rules against the truth."),
    "backtest": ("streamguard.cli.backtest", "app", "What a change of the rules would have done on what there is."),
    "analyse": (
        "streamguard.cli.analyse",
        "app",
        "Questions over the whole history: batch jobs, their tables and a report.",
    ),
    "alerts": ("streamguard.cli.alerts", "app", "List, show, confirm and dismiss alerts, and name duplicates."),
    "quality": ("streamguard.cli.quality", "app", "How complete, fresh and usual the transactions are."),
    "alarms": (
        "streamguard.cli.alarms",
        "app",
        "Alarms of the processes and the data: list, test where they are sent.",
    ),
    "dead-letters": ("streamguard.cli.dead_letters", "app", "Records that could not be used: list, show, retry."),
    "blacklist": ("streamguard.cli.lists", "blacklist_app", "Accounts, merchants, devices that are blocked."),
    "allowlist": ("streamguard.cli.lists", "allowlist_app", "Trusted accounts, merchants, devices."),
    "rules": ("streamguard.cli.rules", "app", "The rules: what they find and how often; active, shadow or off."),
    "lineage": ("streamguard.cli.lineage", "app", "The whole way of a transaction or an alert, with times."),
    "audit": ("streamguard.cli.audit", "app", "What people did; proof that the log of it is whole."),
    "retention": ("streamguard.cli.retention", "app", "Remove old raw records, and old transactions if asked to."),
    "backup": ("streamguard.cli.backup", "backup_app", "Write database, topics and SQL statements into one file."),
    "restore": ("streamguard.cli.backup", "restore_app", "Fill an empty place from a backup."),
    "schedule": ("streamguard.cli.schedule", "app", "Run commands at times; list them and what they did."),
    "psql": ("streamguard.cli.psql", "app", "psql on the database; arguments are psql's own."),
    "topics": ("streamguard.cli.topics", "topics_app", "The topics of the broker."),
    "groups": ("streamguard.cli.topics", "groups_app", "The consumer groups of the broker."),
    "bench": ("streamguard.cli.bench", "app", "Measure the running stack, the broker or the engine."),
    "demo": ("streamguard.cli.demo", "app", "Demonstrations on the stored transactions."),
    "consume": (
        "streamguard.cli.services",
        "consume_app",
        "Store transactions and alerts in the database, until stopped.",
    ),
    "monitor": (
        "streamguard.cli.services",
        "monitor_app",
        "Figures of Kafka and the database, and alarms, until stopped.",
    ),
    "sink": ("streamguard.cli.sink", "app", "Copy the topics to a sink, until stopped."),
    "desk": ("streamguard.cli.desk", "app", "Run the web desk, until stopped."),
    "users": ("streamguard.cli.users", "app", "Who may log in to the desk, and as what."),
    "broker": ("streamguard.cli.services", "broker_app", "Run the broker alone."),
    "ksqldb": ("streamguard.cli.services", "ksqldb_app", "Run the SQL engine alone."),
    "postgres": ("streamguard.cli.services", "postgres_app", "Run the embedded Postgres alone."),
}
"""Name: module, Typer app in it, one line of help."""

HIDDEN = ("postgres",)
"""What only the supervisor calls."""


class LazyGroup(TyperGroup):
    """A group that knows its commands by name and imports one when it is called."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [name for name in COMMANDS if name not in HIDDEN]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module, attribute, text = COMMANDS[cmd_name]
        if len(sys.argv) < 2 or sys.argv[1] != cmd_name:
            # Asked for its help line only.
            return TyperCommand(cmd_name, help=text)
        command = typer.main.get_command(getattr(import_module(module), attribute))
        command.name = cmd_name
        command.help = command.help or text
        return command


app = typer.Typer(
    cls=LazyGroup,
    help="Real-time fraud detection on payment streams.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"streamguard {version('streamguard')}")
        raise typer.Exit


@app.callback()
def _root(
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Real-time fraud detection on payment streams."""


def main() -> NoReturn:
    """Run the command line: exit code 0; 1 or 2 with one sentence for a UserError or wrong arguments; 130 for Ctrl-C."""
    surroundings.keep_assertions()
    # Searching hundreds of modules for cycles, while they are imported and once more at the exit, takes two fifths of a
    # short command's time and finds nothing.
    gc.set_threshold(50_000, 20, 100)
    try:
        protect_output()
        code = run_command_line(app, name="streamguard")
    except KeyboardInterrupt:
        code = INTERRUPTED
    gc.freeze()
    raise SystemExit(code)


def load_generator() -> Callable[[], NoReturn]:
    """What `generate_transactions.py` runs. A setting that cannot be used is one sentence, also where a module reads it first."""
    surroundings.keep_assertions()
    try:
        from streamguard.cli.generate import run
    except UserError as error:
        print(f"generate: {one_line(error)}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    return run


if __name__ == "__main__":
    main()

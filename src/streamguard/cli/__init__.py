"""`streamguard`: one command line for everything. A command's module is imported only when it is asked for.

The processes of the stack start through it too, and must not pay for each other's imports.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from streamguard.cli.usage import run as run_command_line

COMMANDS: dict[str, tuple[str, str, str]] = {
    "deploy": ("streamguard.cli.deploy", "app", "Bring SQL files to the ksqlDB server."),
    "consume": (
        "streamguard.cli.processes",
        "consume_app",
        "Store transactions and alerts in the database, until stopped.",
    ),
    "generate": ("streamguard.cli.generate", "app", "Make payments, or replay recorded ones."),
    "simulate": ("streamguard.cli.generate", "simulate_app", "Look at what the generator would make."),
    "evaluate": ("streamguard.cli.generate", "evaluate_app", "A scorecard of the rules against the truth."),
    "alerts": ("streamguard.cli.alerts", "app", "List, show, confirm and dismiss alerts."),
    "blacklist": ("streamguard.cli.lists", "blacklist_app", "Accounts, merchants, devices that must not pay."),
    "allowlist": ("streamguard.cli.lists", "allowlist_app", "What the desk vouches for."),
    "rules": ("streamguard.cli.rules", "app", "The Python rules: active, shadow or off."),
    "retention": ("streamguard.cli.retention", "app", "Cut old raw records, and old payments where asked for."),
    "psql": ("streamguard.cli.show", "psql_app", "psql on the database; arguments are psql's own."),
    "status": ("streamguard.cli.show", "status_app", "What runs, and how much it has stored."),
    "logs": ("streamguard.cli.show", "logs_app", "What the processes said."),
    "bench": ("streamguard.cli.bench", "app", "Measure the running stack, the broker or the engine."),
    "demo": ("streamguard.cli.demo", "app", "Demonstrations on the stored payments."),
    "topics": ("streamguard.cli.topics", "topics_app", "The topics of the log."),
    "groups": ("streamguard.cli.topics", "groups_app", "The consumer groups of the log."),
    "broker": ("streamguard.cli.processes", "broker_app", "Run the log alone."),
    "ksqldb": ("streamguard.cli.processes", "ksqldb_app", "Run the SQL engine alone."),
}
"""Name: module, Typer app in it, one line of help."""


class LazyGroup(TyperGroup):
    """A group that knows its commands by name and imports one when it is called."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module, attribute, text = COMMANDS[cmd_name]
        if cmd_name == "evaluate" and any(word.startswith("--data") for word in sys.argv):
            module, attribute = "streamguard.cli.evaluate", "app"
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


@app.callback()
def _root() -> None:
    """Real-time fraud detection on payment streams."""


def main() -> None:
    """Run the command line. What a person can put right is one sentence and exit code 1 (2 for wrong arguments), never a
    traceback."""
    try:
        raise SystemExit(run_command_line(app, name="streamguard"))
    except Exception as error:
        sentence = plain_sentence(error)
        if sentence is None:
            raise
        print(f"streamguard: {sentence}", file=sys.stderr)
        raise SystemExit(1) from None


def plain_sentence(error: BaseException) -> str | None:
    """One sentence for the errors that are the world's and not the program's; None for the rest."""
    from streamguard.config import SettingsError

    module = type(error).__module__
    if isinstance(error, SettingsError):
        return str(error)
    if module.startswith("streamguard."):
        return str(error)
    if module.startswith(("sqlalchemy", "psycopg2")):
        from streamguard.database import error_message, is_outage

        where = " (DATABASE_URL)" if is_outage(error) else ""
        return f"the database{where}: {error_message(error)}"
    if module.startswith("kafka."):
        return f"the log (KAFKA_BOOTSTRAP_SERVERS): {type(error).__name__}: {error}"
    if isinstance(error, ConnectionError | PermissionError):
        return str(error)
    return None


if __name__ == "__main__":
    main()

"""Errors as one sentence: wrong arguments with the value and the choices, and whatever a UserError says."""

from __future__ import annotations

import os
import sys
from typing import Any

import typer

from streamguard.config import UserError
from streamguard.config.visible import OutputError, one_line

# Newer Typers bring a Click of their own, older ones take the installed one; BadParameter is the way to both.
UsageError: Any = typer.BadParameter.__mro__[1]
WRONG_USAGE = 2
INTERRUPTED = 130


def run(app: typer.Typer, *, name: str | None = None, speaker: str | None = None) -> int:
    """Run a command line; its exit code.

    `name` is what its help calls it; `speaker` begins the sentences, else the name (for wrong arguments: the whole
    command). An exception that is no UserError passes through.
    """
    arguments = sys.argv[1:]
    try:
        code = typer.main.get_command(app).main(arguments, prog_name=name, standalone_mode=False)
        sys.stdout.flush()
    except UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()
        else:
            who = speaker or (error.ctx.command_path if error.ctx else name)
            print(f"{who}: {one_line(_sentence(error, arguments))}", file=sys.stderr)
        return WRONG_USAGE
    except UserError as error:
        # What a server adds on further lines, as ksqlDB does, stays on the one line.
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        print(f"{speaker or name}: {one_line('; '.join(lines))}", file=sys.stderr)
        if isinstance(error, OutputError):
            discard_output()
        return error.exit_code
    except typer.Abort as error:
        return INTERRUPTED if isinstance(error.__cause__, KeyboardInterrupt) else 1
    except BrokenPipeError:
        discard_output()
        return 1
    return code if isinstance(code, int) else 0


def discard_output() -> None:
    """After a broken pipe or on a full disk: what Python flushes at exit goes to the null device."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _sentence(error: Any, arguments: list[str]) -> str:
    """What is wrong with the arguments."""
    message = " ".join(error.format_message().split()).rstrip(".")
    message = message[:1].lower() + message[1:]
    command: Any = error.ctx.command if error.ctx else None
    if hasattr(command, "list_commands") and message.startswith(("no such command", "missing command")):
        return f"{message.partition('. ')[0]}: choose {', '.join(command.list_commands(error.ctx))}"
    if hasattr(error, "possibilities"):
        options = [name for param in command.params for name in getattr(param, "opts", ()) if name.startswith("--")]
        return f"no such option {error.option_name!r}: choose {', '.join(options)}"
    param = getattr(error, "param", None)
    if type(error) is typer.BadParameter and param is not None:
        return f"{_name_of(param)} is {_value_of(error.ctx, param, arguments)!r}: {_needed(error.message)}"
    return message


def _name_of(param: Any) -> str:
    """`--count` of an option, `FILE` of an argument."""
    longest: str = max(param.opts, key=len)
    return longest if longest.startswith("-") else longest.upper()


def _value_of(ctx: Any, param: Any, arguments: list[str]) -> str:
    """The text given for a parameter. Typer's message does not say it, so the arguments are taken apart once more."""
    rest = list(arguments)
    for word in ctx.command_path.split()[1:]:
        if word in rest:
            del rest[: rest.index(word) + 1]
    values, _, _ = ctx.command.make_parser(ctx).parse_args(args=rest)
    return str(values.get(param.name))


def _needed(message: str) -> str:
    """What Typer, or the Click of older ones, finds wrong with a value, in plain terms."""
    if "integer" in message:
        return "a whole number is needed"
    if "number" in message or "float" in message:
        return "a number is needed"
    message = message.removeprefix("Value error, ").replace("Input should be", "it has to be").rstrip(".")
    return message[:1].lower() + message[1:]

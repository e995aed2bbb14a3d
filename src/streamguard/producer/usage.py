"""Wrong arguments as one sentence that names the value and the choices, instead of a page of usage.

Give the classes to a Typer app: `typer.Typer(cls=PlainGroup)`, `@app.command(cls=PlainCommand)`.
"""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from streamguard.producer.driving import say
from streamguard.producer.errors import InputError

# Newer Typers bring a Click of their own, older ones take the installed one; BadParameter is the way to both.
UsageError: Any = typer.BadParameter.__mro__[1]


class PlainCommand(TyperCommand):
    """A command whose usage errors are one sentence on stderr and exit code 2."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        given = list(args)
        try:
            return super().make_context(info_name, args, parent, **extra)
        except UsageError as error:
            raise _left_with(_sentence(self, error, given)) from None


class PlainGroup(TyperGroup):
    """The same for a group of commands, and for a command that it does not have."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        given = list(args)
        try:
            return super().make_context(info_name, args, parent, **extra)
        except UsageError as error:
            raise _left_with(_sentence(self, error, given)) from None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except UsageError:
            raise _left_with(f"no such command {args[0]!r}: choose {', '.join(self.list_commands(ctx))}") from None


def _left_with(sentence: str) -> typer.Exit:
    say(sentence)
    return typer.Exit(InputError.exit_code)


def _sentence(command: Any, error: Any, given: list[str]) -> str:
    """What is wrong with the arguments `given` to a command, with the value that is at fault."""
    options = [name for param in command.params for name in getattr(param, "opts", ()) if name.startswith("--")]
    if hasattr(error, "possibilities"):
        return f"no such option {error.option_name!r}: choose {', '.join(options)}"
    param = getattr(error, "param", None)
    if isinstance(error, typer.BadParameter) and param is not None and type(error) is typer.BadParameter:
        value = _value_of(command, error.ctx, param, given)
        return f"{_name_of(param)} is {value!r}: {_needed(error.message)}"
    message = " ".join(error.format_message().split())
    return message[:1].lower() + message[1:].rstrip(".")


def _name_of(param: Any) -> str:
    """`--count` of an option, `FILE` of an argument."""
    longest: str = max(param.opts, key=len)
    return longest if longest.startswith("-") else longest.upper()


def _value_of(command: Any, ctx: Any, param: Any, given: list[str]) -> str:
    """The text given for a parameter. Typer's message does not say it, so the arguments are taken apart once more."""
    values, _, _ = command.make_parser(ctx).parse_args(args=list(given))
    return str(values.get(param.name))


def _needed(message: str) -> str:
    """What Typer, or the Click of older ones, finds wrong with a value, in our words."""
    if "integer" in message:
        return "a whole number is needed"
    if "number" in message or "float" in message:
        return "a number is needed"
    return message.rstrip(".")

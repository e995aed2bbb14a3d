"""The interactive menu of `generate_transactions.py`: asks, and makes the command line that the answers amount to."""

from __future__ import annotations

import sys
from collections.abc import Callable

from rich.console import Console
from rich.prompt import Prompt

from streamguard.config.visible import drawn_on
from streamguard.producer.profile import DEFAULT_PROFILE, profile_names

CHOICES = {
    "1": "batch: a number of transactions at once",
    "2": "stream: a steady rate until Ctrl-C",
    "3": "velocity: one account paying too fast",
    "4": "replay: the payments of a file, yours too",
    "5": "quit",
    "6": "preview: ten transactions, sent nowhere",
}


class _Leave(Exception):
    """The person is done: chose quit, closed stdin or pressed Ctrl-C at a question."""


def run_menu(run: Callable[[list[str]], None], console: Console | None = None) -> None:
    """Ask until one leaves; `run` takes each command line, says what goes wrong and returns, and the menu is back."""
    console = console or Console(file=drawn_on(sys.stdout))
    try:
        while True:
            console.print("\n[bold]StreamGuard transaction generator[/bold]")
            for key, text in CHOICES.items():
                console.print(f"  {key}  {text}", highlight=False)
            run(_arguments(console, _ask(console, "Choose", "1", list(CHOICES))))
    except _Leave:
        console.print("bye")


def _ask(console: Console, question: str, default: str | None = None, choices: list[str] | None = None) -> str:
    """One answer; raises _Leave at the end of input."""
    try:
        if default is None:
            return Prompt.ask(question, console=console, choices=choices) or ""
        return Prompt.ask(question, console=console, choices=choices, default=default)
    except (EOFError, KeyboardInterrupt):
        console.print()
        raise _Leave from None


def _arguments(console: Console, choice: str) -> list[str]:
    """The command line that the answers amount to."""
    if choice == "1":
        arguments = ["batch", "--count", _ask(console, "How many", "1000")]
        arguments += _optional("--seed", _ask(console, "Seed (empty: a new one)", ""))
        arguments += ["--profile", _ask(console, f"Profile ({', '.join(profile_names())})", DEFAULT_PROFILE)]
        return arguments + _ask_mix(console)
    if choice == "2":
        arguments = ["stream", "--tps", _ask(console, "Transactions per second", "10")]
        arguments += _optional("--duration", _ask(console, "Seconds (empty: until Ctrl-C)", ""))
        arguments += ["--profile", _ask(console, f"Profile ({', '.join(profile_names())})", DEFAULT_PROFILE)]
        return arguments + _ask_mix(console)
    if choice == "3":
        account = _ask(console, "Account", "BR-0000042")
        return ["velocity", "--account", account, "--count", _ask(console, "How many", "5")]
    if choice == "4":
        path = _ask(console, "File (CSV, JSON, Parquet or OFX; packed or not)")
        limit = _optional("--limit", _ask(console, "How many (empty: all)", ""))
        return ["replay", path, *limit, "--speed", _ask(console, "Speed (1 is real time, or max)", "max")]
    if choice == "6":
        return ["preview", "--profile", _ask(console, f"Profile ({', '.join(profile_names())})", DEFAULT_PROFILE)]
    raise _Leave


def _ask_mix(console: Console) -> list[str]:
    """How much fraud, and of which kinds."""
    arguments = _optional("--fraud-share", _ask(console, "Share of fraud (empty: the profile's)", ""))
    question = "Mix, such as card_testing=0.05,high_amount=0.01 (empty: the profile's)"
    return arguments + _optional("--mix", _ask(console, question, ""))


def _optional(option: str, answer: str) -> list[str]:
    """The option with the answer, or nothing where there is none."""
    return [option, answer] if answer else []

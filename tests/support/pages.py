"""Documents as tests read them: their blocks, the commands in their prose, and what a command is said to print.

In a `console` block the line that begins with `$ ` is run; the lines after it are what it prints, stderr before stdout.
`...` stands for anything on a line, a line of `...` alone for any lines; `[exit N]` is the exit code, 0 unless said.
Blanks at the ends of lines do not count.
"""

from __future__ import annotations

import re

from tests.support.project import PROJECT_ROOT


def read(page: str) -> str:
    """The text of a document, by its path in the project."""
    return (PROJECT_ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, language: str = "") -> list[str]:
    """The fenced blocks of that language in a document."""
    # All of them at once: the end of one is not taken for the begin of another.
    found = re.findall(r"^```(.*?)\n(.*?)^```$", read(page), re.MULTILINE | re.DOTALL)
    return [block for named, block in found if named == language]


def spans(page: str) -> list[str]:
    """What stands between single backticks in the prose and the tables of a document."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", read(page), flags=re.MULTILINE | re.DOTALL))


def console(block: str) -> tuple[str, re.Pattern[str], int]:
    """A console block's command, the pattern of what it prints, and its exit code."""
    command, *lines = block.rstrip("\n").split("\n")
    assert command.startswith("$ ") and not any(line.startswith("$ ") for line in lines), "a block holds one command"
    code = 0
    if lines and (said := re.fullmatch(r"\[exit (\d+)\]", lines[-1])):
        code, lines = int(said.group(1)), lines[:-1]
    parts = [r"(?:.*\n)*" if line == "..." else re.escape(line).replace(r"\.\.\.", ".*") + r"\n" for line in lines]
    return command[2:], re.compile("".join(parts)), code


def without_trailing_blanks(text: str) -> str:
    """The text with its lines cut behind their last character."""
    return "".join(line.rstrip() + "\n" for line in text.splitlines())

"""The command lines of a page: those of its blocks for a shell, and those that its prose names."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from tests.support import pages

SHELL_LANGUAGES = ("", "sh", "bash", "console")
PROGRAMS = (
    "streamguard",
    "ksql",
    "ksql-test-runner",
    "start.sh",
    "stop.sh",
    "generate_transactions.py",
    "python",
    "python3",
)
_BETWEEN = set("();<>|&")
_VARIABLE = re.compile(r"[A-Za-z_]\w*=")


def shell_blocks(page: str) -> list[str]:
    """The blocks that a person types into a shell: without the prompts and outputs of a console, and without tables."""
    found = []
    for language in SHELL_LANGUAGES:
        for block in pages.blocks(page, language):
            if language == "console":
                block = "\n".join(line[2:] for line in block.splitlines() if line.startswith("$ "))
            if language or any(_program(words) for words in simple_commands(block)):
                found.append(block)
    return found


def commands(page: str) -> list[list[str]]:
    """Each command of ours, in words, the program's own name first."""
    lines = [words for block in shell_blocks(page) for words in simple_commands(block)]
    lines += [words for span in pages.spans(page) for words in simple_commands(span)]
    found = [_program(words) for words in lines]
    return [list(words) for words in dict.fromkeys(tuple(words) for words in found if words)]


def simple_commands(text: str) -> Iterator[list[str]]:
    """The commands of a shell's text, without variables in front, redirections and what is between `<<` and its end."""
    text = re.sub(r"<<-?\s*['\"]?(\w+)['\"]?(.*?)^\s*\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        try:
            words = list(lexer)
        except ValueError:
            # No shell line: prose with an apostrophe.
            continue
        yield from _split(words)


def _split(words: list[str]) -> Iterator[list[str]]:
    command: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in ("<", ">", ">>", ">&", "<<<"):
            skip = True
        elif word and set(word) <= _BETWEEN:
            yield command
            command = []
        elif command or not _VARIABLE.match(word):
            command.append(word)
    yield command


def _program(words: list[str]) -> list[str]:
    """The command with its program by name, where it is one of ours; else nothing."""
    if not words:
        return []
    path, _, name = words[0].rpartition("/")
    if name not in PROGRAMS or path not in ("", ".", ".venv/bin"):
        return []
    if not name.startswith("python"):
        return [name, *words[1:]]
    return words[2:] if words[1:2] == ["-m"] and words[2:] and words[2].startswith("streamguard") else []

"""A server's settings in a file, as ksql-server.properties has them.

The format is Java's (https://docs.oracle.com/javase/8/docs/api/java/util/Properties.html#load-java.io.Reader-): NAME=VALUE
lines, `#` and `!` comments, a backslash at the end joins the next line, and `\\n`, `\\t`, `\\uXXXX` are escapes.
"""

from __future__ import annotations

import re
from pathlib import Path

from streamguard_ksql.errors import KsqlError

_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_LETTERS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
_PAIR = re.compile(r"((?:[^\\=:\s]|\\.)+)[ \t\f]*[=: \t\f]?[ \t\f]*(.*)", re.DOTALL)


def read_config(file: Path, option: str = "--config-file") -> dict[str, str]:
    """The settings of a file; of a name that is in it twice, the last. Raises KsqlError where it cannot be read."""
    try:
        return parse_properties(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise KsqlError(f"The settings of {file} ({option}) cannot be read: {reason}.") from None


def parse_properties(text: str) -> dict[str, str]:
    """The settings of a text."""
    found = {}
    for line in _lines(text):
        if pair := _PAIR.fullmatch(line):
            found[_plain(pair[1])] = _plain(pair[2])
    return found


def _lines(text: str) -> list[str]:
    """Lines without comments and indentation, joined where they are continued."""
    lines: list[str] = []
    continued = False
    for raw in text.splitlines():
        line = raw.lstrip(" \t\f")
        if not continued and (not line or line[0] in "#!"):
            continue
        ends = (len(line) - len(line.rstrip("\\"))) % 2 == 1
        part = line[:-1] if ends else line
        if continued:
            lines[-1] += part
        else:
            lines.append(part)
        continued = ends
    return lines


def _plain(text: str) -> str:
    return _ESCAPE.sub(lambda found: _escaped(found[1]), text)


def _escaped(letter: str) -> str:
    return chr(int(letter[1:], 16)) if len(letter) == 5 else _LETTERS.get(letter, letter)

"""Text of records at a terminal: control characters are shown, never sent.

A value may have escape sequences that move the cursor or set the clipboard, line breaks that make up rows of their own, and
marks that turn the direction of the text or have no width. Each such character is written as JSON escapes it, `\\u001b`, so
that JSON in the output stays the JSON that it was. Whether the output is a terminal makes no difference: what is piped into
a file is looked at later.
"""

from __future__ import annotations

import codecs
import os
import sys
import unicodedata

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_UNENCODABLE = "streamguard_ksql.visible"
"""The name of the error handler of codecs: a character that the terminal's encoding does not have is escaped."""


def escaped(character: str) -> str:
    """A character as JSON escapes it: two escapes beyond the basic plane."""
    data = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{data[i : i + 2].hex()}" for i in range(0, len(data), 2))


class _Table(dict[int, int | str]):
    """For `str.translate`: what is printable stays, and spaces of all widths; filled as characters come."""

    def __init__(self, keep: str) -> None:
        super().__init__({ord(character): character for character in keep})

    def __missing__(self, code: int) -> int | str:
        character = chr(code)
        stays = character.isprintable() or unicodedata.category(character) == "Zs"
        self[code] = code if stays else _SHORT.get(character) or escaped(character)
        return self[code]


_TEXT, _LINE = _Table("\n\t"), _Table("")


def visible(text: str) -> str:
    """Text that may have several lines, without any other control character."""
    return text if text.isprintable() else text.translate(_TEXT)


def one_line(text: str) -> str:
    """Text as one line: line breaks and tabs are escaped as well."""
    return text if text.isprintable() else text.translate(_LINE)


def allow_any_character() -> None:
    """From now on a character that the encoding of stdout or stderr does not have is escaped; without it, it is an error."""
    codecs.register_error(_UNENCODABLE, _escape_unencodable)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_UNENCODABLE)


class OutputError(Exception):
    """What a command says cannot be written: the disk of the file is full, say."""


def print_line(line: str) -> None:
    """Write to stdout at once; raises BrokenPipeError, and OutputError after which nothing more is written."""
    try:
        print(line, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        discard_output()
        raise OutputError(f"The output cannot be written: {error.strerror}.") from None


def discard_output() -> None:
    """What is left, and flushed at the exit, goes to the null device."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _escape_unencodable(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(escaped, error.object[error.start : error.end])), error.end

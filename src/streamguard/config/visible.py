"""Text of strangers at a terminal: control characters are shown, never sent.

A merchant's name may have escape sequences that colour the screen, move the cursor, set the clipboard (OSC 52) or hide a link
(OSC 8), line breaks that make up lines of their own, and marks that turn the direction of the text or have no width. Each such
character is written as JSON escapes it, `\\u001b`, so that JSON in the output stays the JSON that it was. Whether the output
is a terminal makes no difference: what is piped into a file is looked at later.

Every `streamguard` command writes through `protect_output`; what may come from a record also goes through `one_line`.
"""

from __future__ import annotations

import codecs
import logging
import sys
import unicodedata
from collections.abc import Callable
from typing import Any, TextIO

from streamguard.config.errors import UserError

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_UNENCODABLE = "streamguard.visible"
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


def one_line(text: object) -> str:
    """Text as one line: line breaks and tabs are escaped as well."""
    text = str(text)
    return text if text.isprintable() else text.translate(_LINE)


class OutputError(UserError, OSError):
    """What a command says cannot be written: the disk of the file is full, say."""


class VisibleOutput:
    """A text stream that writes visible text only; all else is that of `stream`. Raises OutputError, BrokenPipeError."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write; the length of the text that was given."""
        _written(self.stream.write, visible(text))
        return len(text)

    def flush(self) -> None:
        """Write what is buffered."""
        _written(self.stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def _written(write: Callable[..., object], *text: str) -> None:
    try:
        write(*text)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"the output cannot be written ({error.strerror}): send it elsewhere") from None


def protect_output() -> None:
    """From now on this process writes visible text only, and characters that the terminal cannot show are no error."""
    codecs.register_error(_UNENCODABLE, _escape_unencodable)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or isinstance(stream, VisibleOutput):
            continue
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_UNENCODABLE)
        setattr(sys, name, VisibleOutput(stream))


def drawn_on(stream: Any) -> TextIO:
    """The stream below, for what draws with escape sequences of its own: bars and menus, never text of records."""
    found: TextIO = getattr(stream, "stream", stream)
    return found


def _escape_unencodable(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(escaped, error.object[error.start : error.end])), error.end


class VisibleFormatter(logging.Formatter):
    """Log lines: a message is one line, whatever the record that it quotes has in it."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = one_line(record.message)
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))

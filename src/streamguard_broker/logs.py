"""The broker's log: a line for each event on stderr, as text or as JSON (`--log-format`).

A JSON line has time (ISO 8601, UTC), level, process, logger, message, and where there is one exception. What clients send
(names of groups, of users) is quoted in messages: control characters, line breaks, and marks of direction are written as JSON
escapes them.
"""

from __future__ import annotations

import json
import logging
import sys
import unicodedata
from datetime import datetime, timezone

FORMATS = ("text", "json")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def visible(text: str, keep: str = "") -> str:
    """Text in which every character can be seen but those of `keep`."""
    return text if text.isprintable() else "".join(_shown(character, keep) for character in text)


def _shown(character: str, keep: str) -> str:
    if character in keep or character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return _SHORT.get(character) or "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


class TextLines(logging.Formatter):
    """A message is one line; a traceback follows in lines of its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = visible(record.message)
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record), keep="\n\t")


class JsonLines(logging.Formatter):
    """A line of JSON for each event."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        line = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname,
            "process": "broker",
            "logger": record.name,
            "message": visible(record.getMessage()),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return visible(json.dumps(line, ensure_ascii=False))


def configure_logging(log_format: str = "text") -> None:
    """Lines on stderr in one of `FORMATS`, unless the process has configured logging already."""
    root = logging.getLogger("streamguard_broker")
    if root.handlers or logging.getLogger().handlers:
        return
    handler = logging.StreamHandler(sys.stderr)
    text = TextLines("%(asctime)s %(levelname)s %(name)s %(message)s")
    handler.setFormatter(JsonLines() if log_format == "json" else text)
    root.addHandler(handler)
    root.setLevel(logging.INFO)

"""The server's log: a line for each event on stderr, as text or as JSON (`--log-format`).

A JSON line has time (ISO 8601, UTC), level, process, logger, message, and where known topic, partition, offset and exception.
"""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone
from typing import Any

from streamguard_ksql.visible import one_line, visible

FORMATS = ("text", "json")
_CORRELATION = ("topic", "partition", "offset")


class OneLine(logging.Formatter):
    """A message is one line, whatever the statement or record that it quotes has in it."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = one_line(record.message)
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))


class JsonLines(logging.Formatter):
    """A line of JSON for each event."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname,
            "process": "ksqldb",
            "logger": record.name,
            "message": one_line(record.getMessage()),
        }
        line |= {name: value for name in _CORRELATION if (value := getattr(record, name, None)) is not None}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return one_line(json.dumps(line, ensure_ascii=False, default=str))


def configure_logging(log_format: str) -> None:
    """Lines on stderr from INFO on, in one of `FORMATS`."""
    handler = logging.StreamHandler()
    text = OneLine("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(JsonLines() if log_format == "json" else text)
    logging.basicConfig(level=logging.INFO, handlers=[handler])

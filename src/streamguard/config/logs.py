"""How every process of the application writes its log: a line for each event on stderr, as text or as JSON.

| field of a JSON line | |
|---|---|
| time | ISO 8601 in UTC, to the millisecond |
| level, logger, message | as `logging` has them; the message is one line |
| process | consumer, desk, monitor, sink or generator (broker and SQL engine write the same fields, by `--log-format`) |
| transaction_id, alert_id, topic, partition, offset | where known: what is given to `logging` as `extra` under these names |
| exception | the traceback, where there is one |

Control characters, line breaks and marks of direction are written as JSON escapes them, in either form.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from datetime import datetime, timezone
from typing import Any

from streamguard.config.settings import Settings
from streamguard.config.visible import VisibleFormatter, one_line

CORRELATION = ("transaction_id", "alert_id", "topic", "partition", "offset")
"""The names of what a line is about."""

_TEXT = "%(asctime)s %(levelname)s %(message)s"
_REQUIRED = frozenset({"time", "level", "message"})


class JsonFormatter(logging.Formatter):
    """A line of JSON for each event."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname,
            "process": self._process,
            "logger": record.name,
            "message": one_line(record.getMessage()),
        }
        line |= {name: value for name in CORRELATION if (value := getattr(record, name, None)) is not None}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return one_line(json.dumps(line, ensure_ascii=False, default=str))


def configure_logging(process: str, settings: Settings) -> None:
    """Log lines on stderr, in the format and from the level of the settings on; warnings of Python are lines too."""
    is_json = settings.log_format == "json"
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter(process) if is_json else VisibleFormatter(_TEXT))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("streamguard").setLevel(settings.log_level)
    logging.captureWarnings(True)
    if is_json:
        sys.excepthook = lambda kind, error, trace: _ended(kind, error, trace)
        threading.excepthook = lambda args: _ended(args.exc_type, args.exc_value, args.exc_traceback)


def writes_json() -> bool:
    """Whether this process writes its log as JSON: then what it says to people is a line of it too."""
    return any(isinstance(handler.formatter, JsonFormatter) for handler in logging.getLogger().handlers)


def readable(line: str) -> str:
    """A line of a log as people read it: JSON as `time level message`, with what it is about; any other line as it is."""
    if not line.startswith("{"):
        return line
    try:
        found = json.loads(line)
    except ValueError:
        return line
    if not isinstance(found, dict) or not found.keys() >= _REQUIRED:
        return line
    about = " ".join(f"{name}={found[name]}" for name in CORRELATION if name in found)
    told = [str(found["time"]), str(found["level"]), str(found["message"]), *([f"[{about}]"] if about else [])]
    return " ".join(told) + (f"\n{str(found['exception']).rstrip()}" if "exception" in found else "")


def _ended(kind: Any, error: Any, trace: Any) -> None:
    if issubclass(kind, KeyboardInterrupt | SystemExit):
        return
    logging.getLogger("streamguard").critical("ended by an error: %s", kind.__name__, exc_info=(kind, error, trace))

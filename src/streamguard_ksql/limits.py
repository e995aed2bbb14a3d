"""What a query may take before it is ended: the server's settings, their defaults, and how they are read.

A session cannot change them. A query that exceeds one ends with a `LimitExceeded`; the server goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psutil

from streamguard_ksql.errors import KsqlError

REGEXP_TIMEOUT = "ksql.functions.regexp.timeout.ms"
BATCH_CPU = "ksql.query.batch.cpu.limit.ms"
QUERY_MEMORY = "ksql.query.memory.limit.bytes"
SERVER_MEMORY = "ksql.server.memory.limit.bytes"
NAMES = frozenset([REGEXP_TIMEOUT, BATCH_CPU, QUERY_MEMORY, SERVER_MEMORY])

REGEXP_TIMEOUT_MS = 1_000
BATCH_CPU_MS = 60_000
SERVER_SHARE, QUERY_SHARE = 0.75, 0.5
"""Of the machine's memory, and of the server's limit."""
TEXT_LIMIT = 16 * 1024 * 1024
"""Characters or bytes: more is no value that a record could carry, but enough to take all memory."""
SERIES_LIMIT = 1_000_000
"""Elements of an array made by a function: more are none that a record could carry, but enough to take all memory."""


@dataclass(frozen=True)
class Limits:
    """The limits of a server. `regexp_s` in seconds, `batch_cpu_s` in seconds of one thread's CPU time, memory in bytes."""

    regexp_s: float
    batch_cpu_s: float
    query_bytes: int
    server_bytes: int

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Limits:
        """Those of the settings; KsqlError for a value that is no positive whole number."""
        server_bytes = _setting(config, SERVER_MEMORY, int(SERVER_SHARE * _memory()))
        return cls(
            regexp_s(config),
            _setting(config, BATCH_CPU, BATCH_CPU_MS) / 1000,
            _setting(config, QUERY_MEMORY, int(QUERY_SHARE * server_bytes)),
            server_bytes,
        )


def regexp_s(config: Mapping[str, Any]) -> float:
    """The time that a regular expression may take on one text, in seconds."""
    return _setting(config, REGEXP_TIMEOUT, REGEXP_TIMEOUT_MS) / 1000


def _setting(config: Mapping[str, Any], name: str, default: int) -> int:
    value = str(config.get(name, default))
    if not value.isascii() or not value.isdigit() or int(value) == 0:
        raise KsqlError(f"{name}={value} is not a whole number above 0.")
    return int(value)


def _memory() -> int:
    """The memory of the machine or, where that is less, of the container, in bytes."""
    found = int(psutil.virtual_memory().total)
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            with open(path, encoding="ascii") as file:
                text = file.read().strip()
        except OSError:
            continue
        return min(found, int(text)) if text.isdigit() else found
    return found

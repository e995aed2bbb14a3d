"""The upkeep of the lake: small files of a day become few, and files that nobody reads any more are removed.

In a thread of its own, beside the writing: neither waits for the other, for appending and compacting do not conflict in
Delta's log. An error here is logged, and tried again at the next turn.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

from streamguard.config.extras import need

log = logging.getLogger("streamguard.sinks.lake")

COMPACT_AFTER_COMMITS = 100
"""A commit adds a file to each of its days at least, so a day has not many more files than this."""
VACUUM_EVERY_S = 3_600.0


class Upkeep:
    """Compacts a table after so many commits. `keep_hours`: how long files that were replaced stay."""

    def __init__(self, uri: str, keep_hours: int, after_commits: int = COMPACT_AFTER_COMMITS) -> None:
        self._uri, self._keep_hours, self._after = uri, keep_hours, after_commits
        self._commits: Counter[str] = Counter()
        self._vacuumed_s: dict[str, float] = {}
        self._thread: threading.Thread | None = None

    def wrote(self, tables: Iterable[str]) -> None:
        """Count a commit of each table; begins a turn where it is time and none is under way."""
        self._commits.update(list(tables))
        due = [table for table, count in self._commits.items() if count >= self._after]
        if due and (self._thread is None or not self._thread.is_alive()):
            for table in due:
                del self._commits[table]
            self._thread = threading.Thread(target=self._turn, args=(due,), name="lake upkeep", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Wait for a turn that is under way: cut off, it would leave files that only the next vacuum removes."""
        if self._thread is not None:
            self._thread.join(10)

    def _turn(self, tables: list[str]) -> None:
        for name in tables:
            try:
                self._keep(name)
            except Exception as error:
                log.warning("the lake's table %s was not compacted: %s", name, error)

    def _keep(self, name: str) -> None:
        delta: Any = need("lake", "deltalake")
        table = delta.DeltaTable(f"{self._uri}/{name}")
        figures = compact(table)
        log.info("%s: %d files became %d", name, figures["numFilesRemoved"], figures["numFilesAdded"])
        if time.monotonic() - self._vacuumed_s.get(name, -VACUUM_EVERY_S) >= VACUUM_EVERY_S:
            vacuum(table, self._keep_hours)
            table.create_checkpoint()
            table.cleanup_metadata()
            self._vacuumed_s[name] = time.monotonic()


def compact(table: Any) -> dict[str, Any]:
    """Join the small files of each day; what became of them, in deltalake's words."""
    found: dict[str, Any] = table.optimize.compact()
    return found


def vacuum(table: Any, keep_hours: int) -> list[str]:
    """Remove files that were replaced, or left by a write that failed, before `keep_hours`; their paths."""
    removed: list[str] = table.vacuum(
        retention_hours=keep_hours, dry_run=False, enforce_retention_duration=False, full=True
    )
    return removed

"""Queries that ended the server: one that did so twice in a row is not started a third time.

The file `trials.json` in the server's folder has, at all times, which queries may be about to end the process (`Watch` says
so: a batch that takes very long, most of the memory near its limit) and which thread is whose. If the process dies, the
next one reads it, together with `crash.last.txt`, where Python wrote what its threads were doing at a fatal signal. A query
that is found so counts as the reason; a run in which it is not, or that ends in order, starts its count again.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

log = logging.getLogger(__name__)
TRIALS = 2
"""So often a query may end the server before it is no longer started."""
RECOVERED_LOOKS = 120
"""Looks (a minute) after which a query that goes on has not ended the server this time."""
LAST_CRASH = "crash.last.txt"
_THREAD = re.compile(r"^(Current thread|Thread) 0x([0-9a-f]+)", re.MULTILINE)


class Trials:
    """The counts of one server; `folder` is None where nothing is kept. Not thread-safe but for `note`."""

    def __init__(self, folder: Path | None) -> None:
        self._file = None if folder is None else folder / "trials.json"
        self._looks = 0
        found = self._read()
        reasons: dict[str, str] = dict(found.get("suspects", {}))
        crash = _read_crash(folder)
        for thread in _threads_of_crash(crash):
            query_id = found.get("threads", {}).get(str(thread))
            if query_id is not None:
                reasons.setdefault(query_id, "it was being processed when the process crashed")
        counts: dict[str, int] = {q: n for q, n in found.get("deaths", {}).items() if q in reasons or n >= TRIALS}
        for query_id, reason in reasons.items():
            counts[query_id] = counts.get(query_id, 0) + 1
            log.error("the last process ended while query %s was processed (%s)", query_id, reason)
        self._deaths = counts
        self._reasons: dict[str, str] = {**found.get("reasons", {}), **reasons}
        self._written: Any = None
        self._write({}, {})

    def refusal(self, query_id: str) -> str | None:
        """Why a query is not to be started; None for one that is."""
        if self._deaths.get(query_id, 0) < TRIALS:
            return None
        reason = self._reasons.get(query_id, "")
        return (
            f"The server ended {self._deaths[query_id]} times in a row while it processed this query ({reason}): it is not "
            f"started again. Replace or TERMINATE it; RESUME {query_id}; tries it once more."
        )

    def note(self, suspects: Mapping[str, str], threads: Mapping[str, str]) -> None:
        """Write down which queries may end the process, with what they do, and the query of each thread, by its id."""
        self._looks += 1
        if self._looks == RECOVERED_LOOKS:
            self._deaths = {q: n for q, n in self._deaths.items() if n >= TRIALS or q in suspects}
        self._write(suspects, threads)

    def forget(self, query_id: str) -> None:
        """Start a query's count again."""
        self._deaths.pop(query_id, None)
        self._reasons.pop(query_id, None)

    def close(self) -> None:
        """The process ends in order."""
        self._deaths = {q: n for q, n in self._deaths.items() if n >= TRIALS}
        self._write({}, {})

    def _read(self) -> dict[str, Any]:
        if self._file is None or not self._file.exists():
            return {}
        try:
            found = orjson.loads(self._file.read_bytes())
        except ValueError:
            log.error("%s is damaged: whether a query ended the last process is not known", self._file)
            return {}
        return found if isinstance(found, dict) else {}

    def _write(self, suspects: Mapping[str, str], threads: Mapping[str, str]) -> None:
        reasons = {q: r for q, r in self._reasons.items() if q in self._deaths}
        content = {"suspects": dict(suspects), "threads": dict(threads), "deaths": self._deaths, "reasons": reasons}
        text = orjson.dumps(content)
        if self._file is None or text == self._written:
            return
        new = self._file.with_suffix(".new")
        new.write_bytes(text)
        new.replace(self._file)
        self._written = text


def _read_crash(folder: Path | None) -> str:
    """What Python wrote when the last process crashed, for the log too; it is read once."""
    if folder is None or not (folder / LAST_CRASH).exists():
        return ""
    text = (folder / LAST_CRASH).read_text(encoding="utf-8", errors="replace")
    log.error("the last process crashed:\n%s", text)
    (folder / LAST_CRASH).unlink()
    return text


def _threads_of_crash(text: str) -> list[int]:
    """The threads that may be the reason: the one that crashed; of a process that stood still, those within a batch."""
    crashed = "Fatal Python error" in text
    _, *parts = _THREAD.split(text)
    found = []
    for kind, thread, frames in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        in_batch = re.search(r'topology\.py".* in feed$', frames, re.MULTILINE)
        if kind == "Current thread" if crashed else in_batch:
            found.append(int(thread, 16))
    return found

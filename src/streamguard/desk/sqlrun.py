"""A run of SQL: its statements one after the other, as events that are sent while they happen, until it is stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict
from typing import Any

import anyio
import orjson
from sqlalchemy import Engine

from streamguard.config import UserError
from streamguard.config.ksqldb import Ksqldb
from streamguard.desk.reveal import note_opened
from streamguard.sqldeploy.answers import blocks_of, row_event
from streamguard.sqldeploy.console import Answer, Part, ServerUnavailable, SqlRefused, send
from streamguard.users import audit

MOST_RUNS = 20
"""Runs that are open at once; each has a thread and a query of the server."""
MOST_S = 600.0
"""A run ends after so long: a page that nobody looks at does not keep a query for ever."""
_SLOTS = threading.BoundedSemaphore(MOST_RUNS)
_OPEN: set[SqlRun] = set()

Event = dict[str, Any]


class SqlRun:
    """One run. Its events: `statement`, `columns`, `row`, `text`, `block`, `said`, `error` with its place, `done`."""

    def __init__(
        self,
        server: Ksqldb,
        engine: Engine,
        parts: list[Part],
        *,
        user: str,
        reason: str,
        limit: int,
        most_s: float = MOST_S,
    ) -> None:
        self._server, self._engine, self._parts = server, engine, parts
        self._user, self._reason, self._limit, self._most_s = user, reason, limit, most_s
        self._answer: Answer | None = None
        self._after = -1
        self._lock = threading.Lock()
        self._closed = False

    def close(self) -> None:
        """End it, from any thread; a query that waits for rows ends at once."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            answer = self._answer
        if answer is not None:
            answer.close()

    def events(self) -> Iterator[Event]:
        """What happens; each `next` may wait for the server."""
        began = time.monotonic()
        for part in self._parts:
            if self._closed:
                return
            yield {"statement": part.text[:400], "line": part.line, "kind": part.word}
            if part.is_query:
                with self._engine.begin() as connection:
                    note_opened(connection, self._user, f"statement {one_line(part)}", {"statement": part.text})
            try:
                yield from self._query(part) if part.is_query else self._execute(part)
            except SqlRefused as error:
                yield {"error": str(error), "line": error.line, "column": error.column}
                return
            except UserError as error:
                yield {"error": str(error), "line": None, "column": None}
                return
        yield {"done": round(time.monotonic() - began, 3)}

    async def lines(self) -> AsyncIterator[bytes]:
        """The events as JSON lines; the run ends with whoever reads them."""
        if not _SLOTS.acquire(blocking=False):
            said = f"{MOST_RUNS} statements run at the desk already: stop one, or wait"
            yield orjson.dumps({"error": said, "line": None, "column": None}) + b"\n"
            return
        _OPEN.add(self)
        events, limiter = self.events(), anyio.CapacityLimiter(1)
        deadline = anyio.current_time() + self._most_s
        try:
            while True:
                event: Event | None = None
                with anyio.move_on_after(deadline - anyio.current_time()) as scope:
                    event = await anyio.to_thread.run_sync(next, events, None, limiter=limiter, abandon_on_cancel=True)
                if scope.cancelled_caught:
                    said = f"stopped after {self._most_s / 60:.0f} min: run it again to go on"
                    yield orjson.dumps({"said": said}) + b"\n"
                    return
                if event is None:
                    return
                yield orjson.dumps(event) + b"\n"
        finally:
            self.close()
            _OPEN.discard(self)
            _SLOTS.release()

    def _open(self, part: Part) -> Answer:
        answer = send(self._server, part, self._after)
        with self._lock:
            self._answer = answer
            closed = self._closed
        if closed:
            answer.close()
        return answer

    def _query(self, part: Part) -> Iterator[Event]:
        answer, rows = self._open(part), 0
        try:
            for line in answer.lines():
                event = row_event(line, part)
                if event is None:
                    continue
                yield event
                rows += "row" in event or bool(event.get("is_row"))
                if rows >= self._limit:
                    yield {"said": f"Stopped after {rows:,} rows, as asked."}
                    return
        finally:
            answer.close()

    def _execute(self, part: Part) -> Iterator[Event]:
        entities = self._entities(part) if part.reads_only else self._change(part)
        for entity in entities:
            for block in blocks_of(entity, part):
                yield {"block": asdict(block)}

    def _change(self, part: Part) -> list[dict[str, Any]]:
        """Run a statement that changes the server, with its audit row; one that is refused leaves none."""
        entities: list[dict[str, Any]] = []
        lost: ServerUnavailable | None = None
        with self._engine.begin() as connection:
            try:
                entities = self._entities(part)
            except ServerUnavailable as error:
                # It may have been done all the same.
                lost = error
            outcome = f"not known: {lost}" if lost else "done"
            audit.note(
                connection,
                self._user,
                "sql.change",
                f"statement {one_line(part)}",
                reason=self._reason,
                after={"statement": part.text, "outcome": outcome},
            )
        if lost is not None:
            raise lost
        return entities

    def _entities(self, part: Part) -> list[dict[str, Any]]:
        """The entities of an answer; a command that failed raises SqlRefused, so that it leaves no audit row."""
        # Not ended by `close`: what changes the server is done, and its row written, also when nobody waits any more.
        answer = send(self._server, part, self._after)
        try:
            found = answer.json()
        finally:
            answer.close()
        entities = [entity for entity in found if isinstance(entity, dict)] if isinstance(found, list) else []
        for entity in entities:
            blocks_of(entity, part)
            number = entity.get("commandSequenceNumber")
            self._after = max(self._after, number if isinstance(number, int) else -1)
        return entities


def one_line(part: Part) -> str:
    """A statement as the subject of an audit row."""
    return " ".join(part.text.split())[:120]


def close_all() -> None:
    """End every run: the desk ends."""
    for run in list(_OPEN):
        run.close()

"""Ends the queries that take more than they may: a thread of its own looks at all of them twice a second.

CPU: a batch that makes no progress for `ksql.query.batch.cpu.limit.ms` of its thread's CPU time. A broker that does not
answer, a machine with much else to do or a process that was stopped for a while use none of it.
Memory: the state of each query by an estimate (`memory`), the server's by what the system says. Where the server exceeds
its limit, the query ends that has most of it: its state, and what the server has grown by since the query last made
progress in its present batch.

Records cost nothing more for being watched: their thread counts batches, all else is done here.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import psutil

from streamguard_ksql import limits
from streamguard_ksql.errors import LimitExceeded
from streamguard_ksql.limits import Limits
from streamguard_ksql.runtime.memory import give_back, stores_bytes
from streamguard_ksql.runtime.pulse import Pulse
from streamguard_ksql.topology import Topology

log = logging.getLogger(__name__)
INTERVAL_S = 0.5
SUSPECT_S = 5.0
"""CPU time of a batch without progress after which it may be what ends the process, in one way or another."""
STATE_LOOKS = 4
"""Looks from one estimate of the queries' states to the next."""
RECOVERY_LOOKS = 10
"""Looks after the end of a query before another one may end for the server's memory, unless that grows on: freeing it
takes a while."""
SMALLEST_SHARE = 0.02
"""Of the server's limit: a query that has less is not the reason."""


class Watched(Protocol):
    """A persistent, a push or a pull query, or the values of an INSERT."""

    query_id: str
    pulse: Pulse
    topology: Topology | None

    def exceed(self, reason: LimitExceeded) -> None:
        """End with that reason. From any thread."""


@dataclass
class _Seen:
    """A step in a batch, when it was first seen: the thread's CPU time and the memory of the server were these."""

    batch: int
    step: int
    cpu_s: float
    rss: int


class Watch:
    """Looks at the queries that `works` gives."""

    def __init__(self, works: Callable[[], Sequence[Watched]], config: Limits, suspect: Suspect) -> None:
        self._works = works
        self._limits = config
        self._suspect = suspect
        self._process = psutil.Process()
        self._seen: dict[Pulse, _Seen] = {}
        self._bytes: dict[Pulse, int] = {}
        self._wait = self._looks = self._rss_at_end = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._main, name="watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End; the last look is over then."""
        self._stop.set()
        self._thread.join()

    def _main(self) -> None:
        while not self._stop.wait(INTERVAL_S):
            try:
                self.look()
            except Exception:
                log.exception("the limits of queries could not be checked")

    def look(self) -> None:
        """Check all limits once."""
        works = [w for w in self._works() if w.pulse.exceeded is None]
        pulses = {w.pulse for w in works}
        rss = self._process.memory_info().rss
        self._seen = {p: seen for p, seen in self._seen.items() if p in pulses}
        self._bytes = {p: size for p, size in self._bytes.items() if p in pulses}
        slow = {w.query_id: why for w in works if (why := self._check_cpu(w, rss))}
        self._looks += 1
        if self._looks % STATE_LOOKS == 0:
            for work in works:
                self._check_query(work)
        large = self._check_server(works, rss)
        self._suspect({**large, **slow})

    def _check_cpu(self, work: Watched, rss: int) -> str:
        """End a query whose batch takes too much; why it may end the server, empty if it does not look like that."""
        pulse, topology = work.pulse, work.topology
        if not pulse.is_busy:
            self._seen.pop(pulse, None)
            return ""
        cpu_s, step = pulse.cpu_s(), topology.runtime.steps if topology is not None else 0
        seen = self._seen.get(pulse)
        if seen is None or (seen.batch, seen.step) != (pulse.batches, step):
            self._seen[pulse] = _Seen(pulse.batches, step, cpu_s, rss)
            return ""
        taken_s, limit_s = cpu_s - seen.cpu_s, self._limits.batch_cpu_s
        if taken_s > limit_s:
            self._end(
                work,
                f"A batch of records took more than {limit_s * 1000:.0f} ms of CPU time without progress. Make the "
                f"expressions cheaper, or raise {limits.BATCH_CPU}.",
            )
        return f"a batch of records took {taken_s:.0f} s of CPU time" if taken_s > min(SUSPECT_S, limit_s / 4) else ""

    def _check_query(self, work: Watched) -> None:
        topology = work.topology
        if topology is None:
            return
        try:
            size = self._bytes[work.pulse] = stores_bytes(topology.runtime.stores)
        except RuntimeError:  # it changed while it was looked at: next time
            return
        if size > self._limits.query_bytes:
            self._end(
                work,
                f"Its state takes about {_mb(size)} of memory, more than the {_mb(self._limits.query_bytes)} that a "
                f"query may have. Use windows, fewer keys or less retention, or raise {limits.QUERY_MEMORY}.",
            )

    def _check_server(self, works: Sequence[Watched], rss: int) -> dict[str, str]:
        """End the largest query where the server has too much; the query that is near to it, with what to say of it."""
        limit = self._limits.server_bytes
        grows_on = rss > 1.2 * self._rss_at_end
        self._wait = 0 if grows_on else max(0, self._wait - 1)
        if rss <= 0.9 * limit:
            return {}
        if self._wait == RECOVERY_LOOKS // 2:
            give_back()
        works = [w for w in works if w.pulse.exceeded is None and w.pulse.thread.is_alive()]
        largest = max(works, key=lambda w: self._share(w, rss), default=None)
        if largest is None or self._share(largest, rss) < SMALLEST_SHARE * limit:
            return {}
        if rss > limit and not self._wait:
            self._wait, self._rss_at_end = RECOVERY_LOOKS, rss
            self._end(
                largest,
                f"The server takes {_mb(rss)} of memory, more than the {_mb(limit)} that it may have, and this query has "
                f"the largest part of it, about {_mb(self._share(largest, rss))}. Make it smaller, or raise "
                f"{limits.SERVER_MEMORY}.",
            )
        return {largest.query_id: f"the server took {_mb(rss)} of memory, most of it for this query"}

    def _share(self, work: Watched, rss: int) -> int:
        seen = self._seen.get(work.pulse)
        return self._bytes.get(work.pulse, 0) + (max(0, rss - seen.rss) if seen is not None else 0)

    def _end(self, work: Watched, reason: str) -> None:
        log.error("query %s is ended: %s", work.query_id, reason)
        work.exceed(LimitExceeded(reason))


Suspect = Callable[[dict[str, str]], None]
"""Is told, at each look, which queries may be about to end the server, by id, and what they do."""


def _mb(size: int) -> str:
    return f"{size / 1024 / 1024:.0f} MB"

"""A process for each partition, with lowered priority, a few at a time.

The division does not depend on the machine: the same back-test gives the same result everywhere. Where a rule brings
transactions of several partitions together there is one process for all.
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from typing import Any

from streamguard.backtest import topic as topics
from streamguard.backtest.errors import BacktestError
from streamguard.backtest.records import batches
from streamguard.backtest.run import Job, Outcome, Run, new_outcome
from streamguard.config import UserError
from streamguard.evaluation.replay import TRANSACTIONS
from streamguard.evaluation.workers import BACKTEST, ForkServerProcess, context
from streamguard.kafka.clients import Servers

_NICE = 10
_AT_ONCE = 2
"""Processes for each processor: three partitions on two processors take as long as one and a half, not as two."""
_PROGRESS, _DONE, _FAILED = "progress", "done", "failed"
Spans = Mapping[str, Mapping[int, tuple[int, int]]]
"""By topic and partition the first offset to read and the one behind the last."""


@dataclass(frozen=True)
class Reading:
    """What is read: partitions of the transactions, and the topics that the rules join with."""

    servers: Servers
    spans: Spans
    tables: frozenset[str]
    """The topics that are read as tables."""


def run_on_topic(job: Job, reading: Reading, *, together: bool, advance: Callable[[int], None]) -> Outcome:
    """Run a job over the topics; `together` in one process. Raises BacktestError, KafkaUnavailable."""
    waiting = list(enumerate([reading] if together else _by_partition(reading)))
    most = _AT_ONCE * (os.cpu_count() or 1)
    started: dict[Connection, tuple[int, ForkServerProcess]] = {}
    outcomes: dict[int, Outcome] = {}
    try:
        while waiting or started:
            while waiting and len(started) < most:
                number, share = waiting.pop(0)
                reader, process = _start(job, share)
                started[reader] = number, process
            for ready in wait(list(started)):
                assert isinstance(ready, Connection)
                number, process = started[ready]
                kind, content = _message(ready, process)
                if kind == _FAILED:
                    raise content
                if kind == _PROGRESS:
                    advance(content)
                    continue
                outcomes[number] = content
                del started[ready]
                process.join()
    finally:
        for _, process in started.values():
            process.kill()
            process.join()
    total = new_outcome()
    for number in sorted(outcomes):
        total.add(outcomes[number])
    return total


def _by_partition(reading: Reading) -> list[Reading]:
    """The longest first: the others fill what is left of the time."""
    spans = reading.spans[TRANSACTIONS].items()
    return [
        replace(reading, spans={**reading.spans, TRANSACTIONS: {number: span}})
        for number, span in sorted(spans, key=lambda one: (one[1][0] - one[1][1], one[0]))
        if span[0] < span[1]
    ]


def _start(job: Job, reading: Reading) -> tuple[Connection, ForkServerProcess]:
    workers = context(BACKTEST)
    reader, writer = workers.Pipe(duplex=False)
    process = workers.Process(target=_work, args=(job, reading, writer), daemon=True, name="streamguard backtest")
    process.start()
    writer.close()
    return reader, process


def _message(reader: Connection, process: ForkServerProcess) -> tuple[str, Any]:
    try:
        kind, content = reader.recv()
    except EOFError:
        process.join()
        raise BacktestError(
            f"a process of the back-test has ended (exit code {process.exitcode}); nothing was kept: run it again"
        ) from None
    return kind, content


def _work(job: Job, reading: Reading, writer: Connection) -> None:
    """What a process does. It ends with the one that started it, to which it reports after each batch."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _give_way()
    # What is kept refers to itself in no circle, and there is so much of it that looking for circles takes long.
    gc.disable()
    with suppress(BrokenPipeError):
        try:
            outcome = _run(job, reading, lambda count: writer.send((_PROGRESS, count)))
        except UserError as error:
            writer.send((_FAILED, error))
        else:
            writer.send((_DONE, outcome))
    writer.close()


def _give_way() -> None:
    """Run when nothing else wants the processor: what runs live is asked first, and at once (sched(7), SCHED_IDLE)."""
    os.nice(_NICE)
    with suppress(AttributeError, OSError):  # not Linux, or not allowed
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def _run(job: Job, reading: Reading, advance: Callable[[int], None]) -> Outcome:
    run = Run(job)
    servers, spans = reading.servers, reading.spans
    others = topics.merged(topics.read_all(servers, name, spans[name]) for name in spans if name != TRANSACTIONS)
    transactions = topics.read_all(servers, TRANSACTIONS, spans[TRANSACTIONS])
    for batch in batches(transactions, others, reading.tables):
        advance(run.feed(batch))
    return run.finish()

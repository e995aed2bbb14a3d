"""Labelled payments through the rules in several processes, each with a share of the accounts.

1. A thread of this process sends every process the records of its accounts, in batches that are the same for any number of
   processes.
2. A process runs its batch through the queries. Rows that all need (`division`) it sends here, and goes on with those of all.
3. What its rules say of a payment comes back here.

The result is that of one process. A query that ends does so for all accounts there and for those of its share alone here:
then nothing is returned, and the payments have to be scored in one process.
"""

from __future__ import annotations

import gc
import signal
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import islice
from multiprocessing.connection import Connection, wait
from threading import Thread
from typing import Any, NamedTuple
from zlib import crc32

import msgspec

from streamguard.config import UserError
from streamguard.config.machine import processors
from streamguard.evaluation.division import Division
from streamguard.evaluation.replay import RuleSet
from streamguard.evaluation.scorer import BATCH, Hit, Numbered, Scorer, Summary
from streamguard.evaluation.workers import ForkServerProcess, context
from streamguard_ksql.operators.record import Record

LEAST_PAYMENTS = 50_000
"""Fewer are done sooner in one process than others are started."""
MOST_PROCESSES = 16
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Numbered]).decode
_ROWS, _HITS, _SUMMARY = "rows", "hits", "summary"


def processes_for(payments: int) -> int:
    """How many processes score so many payments soonest: one for each processor, where it is worth starting them."""
    return min(processors(), MOST_PROCESSES) if payments >= LEAST_PAYMENTS else 1


class _Worker(NamedTuple):
    process: ForkServerProcess
    data: Connection
    """Where the batches go."""
    control: Connection
    """Where rows and results come from, and rows go."""


def score_divided(
    records: Iterable[Numbered], rules: RuleSet, shares: int, how: Division, take: Callable[[int, list[Hit]], None]
) -> list[Summary] | None:
    """Score the records in so many processes; `take` is given how many records of a batch a process has done, and the hits.

    Returns what each says at the end; None where a query has ended. Raises UserError where a process has.
    """
    workers = [_start(rules, how, number) for number in range(shares)]
    feeder = Thread(target=_feed, args=(records, [worker.data for worker in workers]), daemon=True)
    feeder.start()
    try:
        return _serve(workers, take)
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.join()
        feeder.join()


def _start(rules: RuleSet, how: Division, number: int) -> _Worker:
    data, to_data = context().Pipe(duplex=False)
    control, to_control = context().Pipe()
    process = context().Process(
        target=_work, args=(rules, how, number, data, to_control), daemon=True, name="streamguard evaluate"
    )
    process.start()
    data.close()
    to_control.close()
    return _Worker(process, to_data, control)


def _feed(records: Iterable[Numbered], pipes: Sequence[Connection]) -> None:
    """Send each process the records of its accounts; an empty message says that there are no more."""
    count, waiting = len(pipes), iter(records)
    with suppress(OSError):  # a process has ended: `_serve` says so
        while batch := list(islice(waiting, BATCH * count)):
            shares: list[list[Numbered]] = [[] for _ in pipes]
            for record in batch:
                shares[crc32(record[2]) % count].append(record)
            for pipe, share in zip(pipes, shares, strict=True):
                pipe.send_bytes(_encode(share))
        for pipe in pipes:
            pipe.send_bytes(b"")
    for pipe in pipes:
        pipe.close()


def _serve(workers: Sequence[_Worker], take: Callable[[int, list[Hit]], None]) -> list[Summary] | None:
    """Answer the processes until all are done."""
    number_of = {worker.control: number for number, worker in enumerate(workers)}
    given: dict[int, list[Record]] = {}
    summaries: dict[int, Summary] = {}
    while len(summaries) < len(workers):
        for ready in wait([w.control for n, w in enumerate(workers) if n not in given and n not in summaries]):
            assert isinstance(ready, Connection)
            number = number_of[ready]
            kind, content = _message(ready, workers[number].process)
            if kind == _ROWS:
                given[number] = content
            elif kind == _HITS:
                take(*content)
            elif content.ended:
                return None
            else:
                summaries[number] = content
        if len(given) == len(workers):
            rows = sorted((row for rows in given.values() for row in rows), key=_place)
            given.clear()
            for worker in workers:
                worker.control.send(rows)
    return [summaries[number] for number in range(len(workers))]


def _place(row: Record) -> tuple[int, bytes | None]:
    """Where a row stands among those of all processes: see `Scorer.feed`."""
    return row.time, row.headers[0][1]


def _message(control: Connection, process: ForkServerProcess) -> tuple[str, Any]:
    try:
        kind, content = control.recv()
    except (EOFError, OSError):
        process.join()
        raise UserError(
            f"a process of the evaluation has ended (exit code {process.exitcode}), perhaps for want of memory: run it again"
        ) from None
    return kind, content


def _work(rules: RuleSet, how: Division, number: int, data: Connection, control: Connection) -> None:
    """What a process does; it ends with the one that started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What is kept refers to itself in no circle, and there is so much of it that looking for circles takes long.
    gc.disable()

    def exchange(topic: str, rows: list[Record]) -> list[Record]:
        control.send((_ROWS, rows))
        found: list[Record] = control.recv()
        return found

    with suppress(EOFError, BrokenPipeError):
        scorer = Scorer(rules)
        scorer.replay.engine.exchange(how.exchanged, exchange)
        while (content := data.recv_bytes()) and not scorer.ended():
            batch = _decode(content)
            hits = scorer.feed(batch)
            control.send((_HITS, (len(batch), hits)))
        control.send((_SUMMARY, scorer.summary(frozenset() if number == 0 else how.repeated)))
        # Nothing is lost where the process that reads is slow: it closes the pipe when it has what was sent.
        control.recv()

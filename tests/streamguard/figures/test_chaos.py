"""The sink of live figures killed again and again while transactions come: each window is stored as a plain reading has it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from streamguard.config import load_settings
from streamguard.kafka.topics import ensure_topics
from streamguard.sqldeploy.run import topics_of
from streamguard.sqldeploy.script import read
from tests.streamguard.figures.test_store import stored
from tests.streamguard.rules_sql.figures_reading import NAMED_BY, read_plainly
from tests.streamguard.rules_sql.test_analytics import FILES, KSQLDB, generated, shuffled
from tests.support.broker import BrokerProcess
from tests.support.engine import RunningEngine, produce
from tests.support.postgres import EmbeddedPostgres
from tests.support.processes import Program, eventually

RATE, KILLS = 2_000, 6
FASTER = 4
"""Times pass so much faster than on the clock: together less than the grace of a window, so that nothing is late however slow the
machine is."""


def at_rate(transactions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same in other times, so many a second."""
    first = transactions[0]["event_time"]
    return [{**fields, "event_time": first + n * 1_000 * FASTER // RATE} for n, fields in enumerate(transactions)]


@pytest.fixture
def sink(broker: BrokerProcess, postgres: EmbeddedPostgres, tmp_path: Path) -> Iterator[Program]:
    addresses = {"KAFKA_BOOTSTRAP_SERVERS": broker.address, "DATABASE_URL": postgres.url()}
    addresses["STREAMGUARD_STATE_DIR"] = str(tmp_path / "state")
    program = Program("sink", ["streamguard.cli", "sink", "figures"], addresses, tmp_path)
    yield program
    program.close()


@pytest.mark.soak
def test_50_000_transactions_and_kills(
    broker: BrokerProcess, postgres: EmbeddedPostgres, sink: Program, tmp_path: Path
) -> None:
    arrivals = shuffled(at_rate(generated(tmp_path, 50_000, 3)), Random(3), 60_000)
    ensure_topics(load_settings(kafka_bootstrap_servers=broker.address), extra=topics_of([KSQLDB / f for f in FILES]))
    engine = RunningEngine(broker.address)
    try:
        for file in FILES:
            for item in read(KSQLDB / file):
                engine.runtime.submit(item.statement, {}, item.text)
        sink.start()
        began, size = time.monotonic(), len(arrivals) // KILLS + 1
        for number in range(KILLS):
            part = arrivals[number * size : (number + 1) * size]
            for first in range(0, len(part), RATE):
                records: list[tuple[Any, Any]] = [(str(f["account_id"]), f) for f, _ in part[first : first + RATE]]
                produce(broker.address, "transactions", records, [f["event_time"] for _, f in records])
                sent = number * size + first + len(records)
                time.sleep(max(0.0, began + sent / RATE - time.monotonic()))
            assert sink.process is not None
            sink.process.kill()
            sink.process.wait()
            sink.start()
        engine.settle(600)
        wanted = read_plainly((fields for fields, is_valid in arrivals if is_valid), NAMED_BY)
        eventually(lambda: stored(postgres) == wanted, bool, 300, sink.said)
    finally:
        engine.close()

"""The sink of live figures killed while transactions come, its database away or full: windows are those of a plain reading."""

from __future__ import annotations

import re
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
from streamguard_ksql.runtime.clients import KafkaTopics
from tests.streamguard.figures.test_store import stored, window
from tests.streamguard.rules_sql.figures_reading import NAMED_BY, read_plainly
from tests.streamguard.rules_sql.test_analytics import FILES, KSQLDB, generated, shuffled
from tests.support.broker import BrokerProcess, free_port
from tests.support.engine import RunningEngine, produce
from tests.support.postgres import EmbeddedPostgres
from tests.support.processes import Program, eventually
from tests.support.small_disk import small_disk

RATE, KILLS, AWAY_S = 2_000, 6, 60
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
def test_50_000_transactions_kills_and_a_database_that_is_away(
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
            if number == KILLS // 2:
                postgres.kill()
                sink.start()
                time.sleep(AWAY_S)
                postgres.start()
            else:
                sink.start()
        engine.settle(600)
        wanted = read_plainly((fields for fields, is_valid in arrivals if is_valid), NAMED_BY)
        eventually(lambda: stored(postgres) == wanted, bool, 300, sink.said)
    finally:
        engine.close()


@pytest.mark.soak
def test_a_full_disk_is_waited_for(broker: BrokerProcess, tmp_path: Path) -> None:
    """Of Postgres: the windows that came meanwhile are stored when it has room again, beside poison."""
    topic, rng = "figures_by_type", Random(2)
    # Noise, which no compression makes small.
    records: list[tuple[Any, Any]] = [
        ("k", window(n, n + 1, name=rng.randbytes(200).hex()).value) for n in range(8_000)
    ]
    records = [("k", b"{") if n % 100 == 99 else record for n, record in enumerate(records)]
    KafkaTopics(broker.address).create(topic, 1, {})
    with small_disk(tmp_path / "disk", 512) as disk:
        postgres = EmbeddedPostgres(disk.folder / "postgres", free_port())
        addresses = {"KAFKA_BOOTSTRAP_SERVERS": broker.address, "DATABASE_URL": postgres.url()}
        addresses["STREAMGUARD_STATE_DIR"] = str(tmp_path / "state")
        program = Program("sink", ["streamguard.cli", "sink", "figures"], addresses, tmp_path)
        try:
            postgres.start()
            program.start()
            produce(broker.address, topic, records[:200])
            count = "SELECT count(*), sum(transactions) FROM live_figures"
            eventually(
                lambda: to_regclass(postgres) and postgres.query(count)[0][0], lambda n: n == 198, 60, program.said
            )
            disk.fill(100_000)
            produce(broker.address, topic, records[200:])
            eventually(program.said, lambda said: "nothing is lost" in said, 120)
            said = next(line for line in program.said().splitlines() if "nothing is lost" in line)
            assert re.search(
                "the database is unavailable: could not extend file .*: No space left on device; nothing", said
            )
            disk.empty()
            eventually(lambda: postgres.query(count)[0][0], lambda n: n == 7_920, 120, program.said)
            assert postgres.query(count)[0][1] == sum(n + 1 for n in range(8_000) if n % 100 != 99)
            assert program.end() == 0
        finally:
            program.close()
            postgres.kill()


def to_regclass(postgres: EmbeddedPostgres) -> bool:
    """Whether the table is there yet."""
    return postgres.query("SELECT to_regclass('live_figures') IS NOT NULL") == [(True,)]

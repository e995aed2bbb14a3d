"""Several engines of one service id: they divide the queries, know each other's statements, and take over from one that ends."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest
import requests
from confluent_kafka import Consumer, TopicPartition

from streamguard_ksql.operators.state import encode
from streamguard_ksql.runtime import names
from tests.support.broker import BrokerProcess
from tests.support.engine import create_topic, produce
from tests.support.ksqldb import EARLIEST, KsqlServerProcess, running_server
from tests.support.processes import eventually

PARTITIONS = 6
STATEMENTS = (
    "CREATE STREAM payments (account VARCHAR KEY, amount INT) WITH (KAFKA_TOPIC='payments', VALUE_FORMAT='JSON');",
    "CREATE TABLE sums AS SELECT account, COUNT(*) AS n, SUM(amount) AS total FROM payments GROUP BY account;",
    "CREATE TABLE amounts AS SELECT amount, COUNT(*) AS n FROM payments GROUP BY amount;",
    "CREATE STREAM large AS SELECT account, amount FROM payments WHERE amount > 90;",
)
"""A query that is divided, one that is not, and one without state."""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    with BrokerProcess(tmp_path / "log") as running:
        create_topic(running.address, "payments", PARTITIONS)
        yield running


class Engines:
    """Engines that share a service id, and what they have to come to."""

    def __init__(self, folder: Path, broker: BrokerProcess, count: int = 2) -> None:
        self.broker = broker
        self.draw = random.Random(7)
        self.sent: list[tuple[str, int]] = []
        self.all = [
            KsqlServerProcess(folder / f"engine-{n}", broker.address, ("--share-as", f"engine-{n}"))
            for n in range(1, count + 1)
        ]

    def __enter__(self) -> Engines:
        for engine in self.all:
            engine.start()
        return self

    def __exit__(self, *_: object) -> None:
        for engine in self.all:
            if engine.process is not None and engine.process.poll() is None:
                engine.kill()

    def send(self, count: int = 3_000) -> None:
        new = [(f"A{self.draw.randrange(200)}", self.draw.randrange(100)) for _ in range(count)]
        produce(self.broker.address, "payments", [(account, {"amount": amount}) for account, amount in new])
        self.sent += new

    def sums(self) -> dict[str, tuple[int, int]]:
        """By plain reading."""
        counts = Counter(account for account, _ in self.sent)
        totals: Counter[str] = Counter()
        for account, amount in self.sent:
            totals[account] += amount
        return {account: (counts[account], totals[account]) for account in counts}

    def settled(self, asked: KsqlServerProcess) -> None:
        """Both tables have everything, whichever engine is asked."""
        for table, wanted in (("sums", self.sums()), ("amounts", _by_amount(self.sent))):
            eventually(lambda table=table: _table(asked, table), lambda got, wanted=wanted: got == wanted, 60)  # type: ignore[misc]


def _by_amount(sent: list[tuple[str, int]]) -> dict[int, tuple[int]]:
    return {amount: (n,) for amount, n in Counter(amount for _, amount in sent).items()}


def _table(engine: KsqlServerProcess, table: str) -> Any:
    """The rows of a table by key; what is said instead, while there are none to be had."""
    answer = engine.post("/query-stream", {"sql": f"SELECT * FROM {table};"}, "application/json")
    if answer.status_code != 200:
        return answer.text
    return {row[0]: tuple(row[1:]) for row in answer.json()[1:]}


def _define(engines: Engines) -> None:
    """Each statement at another engine, which has to know those before it."""
    for number, statement in enumerate(STATEMENTS):
        asked = engines.all[number % len(engines.all)]
        done = asked.ksql(statement, streamsProperties=EARLIEST)
        for engine in engines.all:
            # Answered once it has carried out what the other one was told.
            engine.ksql("SHOW STREAMS;", commandSequenceNumber=done[0]["commandSequenceNumber"])


def _parts(engine: KsqlServerProcess) -> dict[str, dict[str, list[int]]]:
    """By query and engine, the partitions that it reads."""
    found: dict[str, dict[str, list[int]]] = {}
    for address, status in requests.get(f"{engine.url}/clusterStatus", timeout=10).json()["clusterStatus"].items():
        for query, share in status["activeStandbyPerQuery"].items():
            found.setdefault(query, {})[address] = [place["partition"] for place in share["activePartitions"]]
    return found


def _consumed(engine: KsqlServerProcess) -> dict[str, int]:
    """How many records each query has read, of all engines together."""
    return {q["id"]: q["consumed"] for q in requests.get(f"{engine.url}/queries", timeout=10).json()["queries"]}


def _records(address: str, topic: str) -> list[tuple[str, int]]:
    """Account and amount of all that is committed in a topic."""
    reader = Consumer(
        {"bootstrap.servers": address, "group.id": "records", "enable.partition.eof": True, "enable.auto.commit": False}
    )
    reader.assign([TopicPartition(topic, p, 0) for p in range(PARTITIONS)])
    found: list[tuple[str, int]] = []
    ends = 0
    while ends < PARTITIONS:
        message = reader.poll(5)
        assert message is not None
        if message.error():
            ends += 1
        else:
            key, value = message.key(), message.value()
            assert key is not None
            assert value is not None
            found.append((key.decode(), int(orjson.loads(value)["AMOUNT"])))
    reader.close()
    return found


def test_divided(tmp_path: Path, broker: BrokerProcess) -> None:
    """Each partition of a query is one engine's; statements, rows and figures are the same wherever one asks."""
    with Engines(tmp_path, broker) as engines:
        _define(engines)
        engines.send()
        for asked in engines.all:
            engines.settled(asked)
        parts = eventually(lambda: _parts(engines.all[0]), lambda found: len(found) == 3)
        addresses = {engine.address for engine in engines.all}
        for query, shares in parts.items():
            assert sorted(p for share in shares.values() for p in share) == list(range(PARTITIONS))
            assert len(shares) == 1 if "AMOUNTS" in query else set(shares) == addresses
        assert _parts(engines.all[1]) == parts
        for asked in engines.all:
            eventually(lambda asked=asked: _consumed(asked), lambda got: got == dict.fromkeys(parts, len(engines.sent)))  # type: ignore[misc]
        assert Counter(_records(broker.address, "LARGE")) == Counter(
            (account, amount) for account, amount in engines.sent if amount > 90
        )
        engines.all[0].ksql("DROP TABLE sums DELETE TOPIC;")
        eventually(lambda: _table(engines.all[1], "sums"), lambda said: "SUMS does not exist" in said)


def test_taken_over(tmp_path: Path, broker: BrokerProcess) -> None:
    """kill -9 of either, with and without a return: every payment is counted once."""
    with Engines(tmp_path, broker) as engines:
        _define(engines)
        engines.send()
        one, other = engines.all
        other.kill()
        engines.send()
        engines.settled(one)  # it stays away: its share is taken over
        other.start()
        engines.send()
        engines.settled(other)
        one.kill()
        engines.send()
        one.start()
        engines.settled(other)
        engines.settled(one)
        assert other.stop() == 0
        engines.send()
        engines.settled(one)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(5))
def test_chaos(tmp_path: Path, broker: BrokerProcess, seed: int) -> None:
    """Three engines, ten times killed, stood still and restarted while payments come."""
    draw = random.Random(seed)
    with Engines(tmp_path, broker, count=3) as engines:
        _define(engines)
        for _ in range(10):
            engines.send(2_000)
            victim = draw.choice(engines.all)
            assert victim.process is not None
            if draw.random() < 0.3:
                victim.process.send_signal(signal.SIGSTOP)
                time.sleep(draw.uniform(0, 15))
                victim.process.send_signal(signal.SIGCONT)
            else:
                victim.kill()
                time.sleep(draw.choice((0, 0, 12)))
                victim.start()
        for asked in engines.all:
            engines.settled(asked)


def test_same_name(tmp_path: Path, broker: BrokerProcess) -> None:
    """A second engine of a name takes the place of the first, which ends; one with the same folder does not start."""
    first = KsqlServerProcess(tmp_path / "first", broker.address, ("--share-as", "engine-1")).start()
    second = KsqlServerProcess(tmp_path / "second", broker.address, ("--share-as", "engine-1")).start()
    try:
        assert first.process is not None
        assert first.process.wait(30) == 0
        assert "another engine has joined as engine-1: this one has to end" in first.log_path.read_text()
        third = KsqlServerProcess(tmp_path / "second", broker.address, ("--share-as", "engine-2"))
        said = subprocess.run(third.command, capture_output=True, text=True, timeout=60, check=False)
        assert said.returncode == 1
        assert said.stderr == (
            f"streamguard ksqldb: Another SQL engine that runs has the folder {tmp_path / 'second' / 'ksql'}: stop that one, or "
            "give this one a folder of its own with --data-dir.\n"
        )
    finally:
        for engine in (first, second):
            if engine.process is not None and engine.process.poll() is None:
                engine.kill()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        encode({"sql": "SHOW STREAMS;"}),
        encode({"sql": "SHOW STREAMS;", "properties": {}, "slots": [1]}),
        encode({"sql": "DROP STREAM KSQL_PROCESSING_LOG;", "properties": {}, "slots": [1]}),
        encode({"sql": "SELECT * FROM a; SELECT * FROM b;", "properties": {}, "slots": [1]}),
        encode({"sql": "", "properties": {}, "slots": []}),
    ],
)
def test_a_question_that_no_engine_asks(alone: KsqlServerProcess, body: bytes) -> None:
    """Refused in one sentence, and nothing is carried out; an engine alone has no part to give."""
    answer = requests.post(f"{alone.url}/peers/pull", body, timeout=10)
    assert answer.status_code == 400, answer.text
    assert "\n" not in answer.json()["message"]
    assert [s["name"] for s in alone.ksql("SHOW STREAMS;")[0]["streams"]] == ["KSQL_PROCESSING_LOG"]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KsqlServerProcess]:
    with running_server(tmp_path_factory.mktemp("alone")) as server:
        yield server


def test_another_version(tmp_path: Path, broker: BrokerProcess) -> None:
    """An engine of another version does not join: one sentence that names both."""
    group = names.sharing_topic("default_")
    create_topic(broker.address, group, 120)
    settings = {
        "bootstrap.servers": broker.address,
        "group.id": group,
        "client.id": "engine-9|0.0.1|http://127.0.0.1:9",
    }
    with closing(Consumer(settings)) as other:
        joined: list[object] = []
        other.subscribe([group], on_assign=lambda _, partitions: joined.append(partitions))
        eventually(lambda: (other.poll(0.1), joined)[1], bool)
        engine = KsqlServerProcess(tmp_path / "engine", broker.address, ("--share-as", "engine-1"))
        said = subprocess.run(engine.command, capture_output=True, text=True, timeout=60, check=False)
    assert said.returncode == 1
    assert "The engine engine-9 at http://127.0.0.1:9 has version 0.0.1, and this one " in said.stderr
    assert "engines that share a service id are of one version; stop the others first." in said.stderr

"""The engine's throughput: make the transactions, measure the ceiling, measure the engine, kill and restart it."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import orjson
from confluent_kafka import Consumer, Producer, TopicPartition

from streamguard.bench.broker.node import OurBroker, resident_mb
from streamguard.bench.engine.latency import Latencies, measure_latency
from streamguard.bench.engine.processes import EngineProcess, cpu_seconds, pin
from streamguard.config.http import http_session
from streamguard.sqldeploy import deploy
from streamguard.sqldeploy.script import read
from streamguard.sqldeploy.state import Server
from streamguard_ksql.runtime import names
from streamguard_ksql.runtime.clients import KafkaTopics

SERVICE_ID = "default_"
TOPIC = "transactions"
PARTITIONS = 3
FIRST_EVENT_MS = 1_763_692_800_000


@dataclass(frozen=True)
class EngineFigures:
    """One run of the engine: seconds; CPU seconds of all its threads; MB after the last record; seconds of a restart."""

    seconds: float
    cpu_seconds: float
    memory_mb: float
    restart_seconds: float


def transaction(number: int, draw: random.Random, accounts: int) -> tuple[bytes, bytes]:
    """Key and value (about 300 bytes) of a made-up payment; two milliseconds of event time after the one before."""
    account = f"ACC{draw.randrange(accounts):06d}"
    value = {
        "transaction_id": f"tx-{number:09d}",
        "amount": round(draw.lognormvariate(4.5, 1.2), 2),
        "currency": "BRL",
        "transaction_type": "PURCHASE",
        "channel": "CARD",
        "merchant_id": f"M{draw.randrange(2000):05d}",
        "merchant_name": "Loja",
        "merchant_category": "grocery",
        "city": "Recife",
        "country": "BR",
        "latitude": -8.05,
        "longitude": -34.9,
        "device_id": "d1",
        "event_time": FIRST_EVENT_MS + 2 * number,
    }
    return account.encode(), orjson.dumps(value)


def fill(servers: str, records: int, accounts: int, partitions: int = PARTITIONS) -> None:
    """Write the transactions, seeded."""
    KafkaTopics(servers).create(TOPIC, partitions, {})
    producer = Producer(
        {"bootstrap.servers": servers, "linger.ms": 20, "partitioner": "murmur2_random", "batch.num.messages": 10_000}
    )
    draw = random.Random(1)
    for number in range(records):
        key, value = transaction(number, draw, accounts)
        while True:
            try:
                producer.produce(TOPIC, value=value, key=key, timestamp=FIRST_EVENT_MS + 2 * number)
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush()


def measure_ceiling(servers: str, records: int, core: int | None, partitions: int = PARTITIONS) -> float:
    """Seconds that the bare consumer takes."""
    command = [sys.executable, "-m", "streamguard.bench.engine.ceiling", servers, TOPIC, str(partitions), str(records)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    pin(process.pid, core)
    output, _ = process.communicate()
    return float(output)


def measure_engine(
    servers: str, records: int, rules: Path, folder: Path, core: int | None, engines: int = 1
) -> EngineFigures:
    """The rules over all records, from deploying them to the last record's commit; then a kill of the first engine and its
    restart. Several engines share the work, each on a core of its own while there are enough."""
    with ExitStack() as stack:
        running = [stack.enter_context(engine) for engine in _engines(servers, folder, core, engines)]
        if engines > 1:
            _wait_for_shares(running[0].url, engines)
        before = [cpu_seconds(engine.pid) for engine in running]
        read(rules)  # what the client imports for it is no time of the engine
        started = time.perf_counter()
        outcomes = deploy(Server(running[0].url), [rules])
        assert outcomes
        groups = groups_of_readers(servers)
        wait_until_read(servers, groups, records)
        elapsed = time.perf_counter() - started
        cpu = sum(cpu_seconds(engine.pid) - at for engine, at in zip(running, before, strict=True))
        memory = sum(resident_mb(engine.pid) for engine in running)
        first = running[0]
        first.kill()
        started = time.perf_counter()
        with EngineProcess(first.folder, servers, first.core, first.share_as):
            return EngineFigures(elapsed, cpu, memory, time.perf_counter() - started)


def _engines(servers: str, folder: Path, core: int | None, engines: int) -> list[EngineProcess]:
    if engines == 1:
        return [EngineProcess(folder, servers, core)]
    cores = os.cpu_count() or 1
    return [
        EngineProcess(folder / str(n), servers, None if core is None else (core + n) % cores, f"engine-{n + 1}")
        for n in range(engines)
    ]


def _wait_for_shares(url: str, engines: int) -> None:
    """Wait until all engines have their shares: those that came first give some of theirs up."""
    deadline = time.monotonic() + 60
    with http_session(url) as session:
        while len(session.get(f"{url}/clusterStatus", timeout=10).json()["clusterStatus"]) < engines:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{engines} engines did not find each other within 60 s")
            time.sleep(0.1)


def groups_of_readers(servers: str) -> list[str]:
    """The groups of the two rules' queries that read the transactions."""
    prefix = names.query_group(SERVICE_ID, "")
    admin = KafkaTopics(servers).admin
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = [g.group_id for g in admin.list_consumer_groups().result().valid if g.group_id.startswith(prefix)]
        reading = [g for g in found if "VELOCITY_CHANGES" not in g and "HIGH_VELOCITY" not in g]
        if len(reading) == 2:
            return reading
        time.sleep(0.05)
    raise RuntimeError("the queries did not start within 30 s")


def wait_until_read(servers: str, groups: Sequence[str], records: int) -> None:
    """Wait until each group has committed so many records of the transactions."""
    wanted = [TopicPartition(TOPIC, p) for p in range(KafkaTopics(servers).partitions(TOPIC) or 0)]
    for group in groups:
        watcher = Consumer({"bootstrap.servers": servers, "group.id": group})
        while sum(max(0, tp.offset) for tp in watcher.committed(wanted, timeout=10)) < records:
            time.sleep(0.05)
        watcher.close()


def measure_all(
    records: int, accounts: int, rules: Path, core: int | None, engines: int = 1
) -> tuple[float, EngineFigures]:
    """Seconds of the bare consumer, and the engines' figures, over the same records on a new broker."""
    with tempfile.TemporaryDirectory(prefix="streamguard-bench-") as folder, OurBroker(Path(folder) / "broker") as node:
        partitions = PARTITIONS * engines
        fill(node.address, records, accounts, partitions)
        rules = _with_partitions(rules, partitions, Path(folder))
        ceiling = measure_ceiling(node.address, records, core, partitions)
        return ceiling, measure_engine(node.address, records, rules, Path(folder) / "ksqldb", core, engines)


def _with_partitions(rules: Path, partitions: int, folder: Path) -> Path:
    """The rules over a topic of so many partitions."""
    if partitions == PARTITIONS:
        return rules
    copy = folder / rules.name
    text = re.sub(r"\bPARTITIONS\s*=\s*\d+", f"PARTITIONS={partitions}", rules.read_text(encoding="utf-8"))
    copy.write_text(text, encoding="utf-8")
    return copy


def measure_latencies(rules: Path, seconds: float = 20.0) -> Latencies:
    """From a payment to its alert on the topic, for each rule, on a new broker and engine."""
    with (
        tempfile.TemporaryDirectory(prefix="streamguard-bench-") as folder,
        OurBroker(Path(folder) / "broker") as node,
        EngineProcess(Path(folder) / "ksqldb", node.address) as engine,
    ):
        deploy(Server(engine.url), [rules])
        return measure_latency(node.address, seconds=seconds)

"""The consumer against a real log and a real database, killed, cut off and fed with poison: each record counts once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition

from streamguard.config import load_settings
from streamguard.kafka.topics import differences, ensure_topics, topic_configs
from streamguard.models import DeadLetter
from tests.support.broker import BrokerProcess
from tests.support.damage import corrupt_batch
from tests.support.postgres import EmbeddedPostgres
from tests.support.processes import Program, eventually
from tests.support.records import T0_MS, high_amount, transaction_value
from tests.support.topics import read_topic

pytestmark = pytest.mark.integration

READ = "SELECT coalesce(sum(records_read), 0)::INT FROM consumer_offsets"


@dataclass
class Bench:
    """A log, a database, a producer and as many consumers as a test wants."""

    broker: BrokerProcess
    postgres: EmbeddedPostgres
    folder: Path
    producer: KafkaProducer
    programs: list[Program]

    def consumer(self, name: str = "consumer", **environment: str) -> Program:
        addresses = {"KAFKA_BOOTSTRAP_SERVERS": self.broker.address, "DATABASE_URL": self.postgres.url()}
        program = Program(name, ["streamguard.cli", "consume"], {**addresses, **environment}, self.folder)
        self.programs.append(program)
        program.start()
        return program

    def send(self, topic: str, key: str, value: bytes | None) -> None:
        self.producer.send(topic, key=key.encode(), value=value)

    def payments(self, count: int, seed: int = 7, start: int = 0) -> None:
        chosen = random.Random(seed)
        for number in range(start, start + count):
            account = f"A{chosen.randrange(200)}"
            value = transaction_value(f"t{number}", account, chosen.randrange(1, 400_000) / 100, T0_MS + number)
            self.send("transactions", account, orjson.dumps(value))
        self.producer.flush()

    def read(self) -> int:
        return int(self.postgres.query(READ)[0][0]) if self.has_schema() else 0

    def has_schema(self) -> bool:
        return bool(self.postgres.query("SELECT to_regclass('consumer_offsets') IS NOT NULL")[0][0])

    def wait_read(self, count: int, timeout_s: float = 40.0) -> None:
        eventually(self.read, lambda read: read >= count, timeout_s, lambda: f"{count} records read\n{self.said()}")

    def said(self) -> str:
        return "\n".join(program.said()[-2_000:] for program in self.programs)

    def in_is_out(self) -> None:
        """Records in = rows + dead letters = records of all minutes, for the transactions topic."""
        [(read, rows, dead, counted)] = self.postgres.query(
            "SELECT (SELECT sum(records_read) FROM consumer_offsets WHERE topic = 'transactions'),"
            " (SELECT count(*) FROM transactions),"
            " (SELECT count(*) FROM dead_letters WHERE source_topic = 'transactions'),"
            " (SELECT sum(records) FROM quality_minutes WHERE topic = 'transactions')"
        )
        assert read == rows + dead == counted


@pytest.fixture
def bench(postgres: EmbeddedPostgres, tmp_path: Path) -> Iterator[Bench]:
    with BrokerProcess(tmp_path / "log") as broker:
        ensure_topics(load_settings(kafka_bootstrap_servers=broker.address))
        producer = KafkaProducer(bootstrap_servers=broker.address, acks="all", max_request_size=9_000_000)
        made = Bench(broker, postgres, tmp_path, producer, [])
        yield made
        for program in made.programs:
            program.close()
        producer.close(timeout=20)


def dead_letters_in_topic(broker: BrokerProcess) -> list[DeadLetter]:
    reader = KafkaConsumer(bootstrap_servers=broker.address, enable_auto_commit=False)
    partitions = [TopicPartition("dead_letters", number) for number in range(3)]
    reader.assign(partitions)
    ends = reader.end_offsets(partitions)
    reader.seek_to_beginning(*partitions)
    found: list[DeadLetter] = []
    while any(reader.position(partition) < ends[partition] for partition in partitions):
        for records in reader.poll(timeout_ms=500).values():
            found += [DeadLetter.from_json(record.value) for record in records]
    reader.close()
    return found


def test_a_consumer_that_comes_first_makes_the_topics(bench: Bench) -> None:
    settings = load_settings(kafka_bootstrap_servers=bench.broker.address)
    admin = KafkaAdminClient(bootstrap_servers=bench.broker.address)
    admin.delete_topics(list(topic_configs(settings)))
    bench.consumer()
    wanted = set(topic_configs(settings))
    eventually(lambda: set(admin.list_topics()), lambda there: wanted <= there, 30, bench.said)
    admin.close()
    assert differences(settings) == []


def test_more_than_a_batch_of_both_topics_is_read_to_the_end(bench: Bench) -> None:
    bench.payments(3_000)
    for number in range(3_000):
        account = f"A{number}"
        bench.send("fraud_alerts", account, high_amount(0, f"t{number}", account, 5_000, T0_MS + number).value)
    bench.producer.flush()
    bench.consumer(STREAMGUARD_BATCH_MAX_RECORDS="50")
    bench.wait_read(6_000)
    bench.in_is_out()


def test_poison_ends_in_the_table_and_once_in_the_topic(bench: Bench) -> None:
    good = transaction_value("ok", "A", 5, T0_MS)
    poison = [
        b"{",
        b'{"transaction_id": "x"}',
        orjson.dumps({**good, "amount": -5}),
        orjson.dumps({**good, "currency": "XXQ"}),
        orjson.dumps({**good, "transaction_id": ""}),
        orjson.dumps({**good, "latitude": 91}),
        orjson.dumps({**good, "event_time": 10**15}),
        None,
        b'{"transaction_id": "' + b"x" * 5_242_880 + b'"}',
    ]
    for value in poison:
        bench.send("transactions", "A", value)
    bench.send("fraud_alerts", "A", b"[]")
    bench.send("transactions", "A", orjson.dumps(good))
    bench.producer.flush()
    consumer = bench.consumer(STREAMGUARD_CONSUMER_INSTANCE="one")
    bench.wait_read(len(poison) + 2)
    unpublished = "SELECT count(*) FROM outbox"
    eventually(lambda: bench.postgres.query(unpublished), lambda rows: rows == [(0,)], 20, bench.said)
    bench.in_is_out()
    in_table = bench.postgres.query(
        "SELECT source_topic, source_partition, source_offset, reason, raw_value FROM dead_letters"
    )
    in_topic = dead_letters_in_topic(bench.broker)
    assert len(in_table) == len(in_topic) == len(poison) + 1
    told = {(letter.topic, letter.partition, letter.offset): letter for letter in in_topic}
    for topic, partition, offset, reason, raw in in_table:
        letter = told[topic, partition, offset]
        assert (letter.reason, letter.value) == (reason, None if raw is None else bytes(raw))
    # Sent, but not removed from the outbox when the process was killed: it must not be sent again.
    consumer.end(signal.SIGKILL)
    for record in read_topic(bench.broker.address, "dead_letters"):
        [identity] = [value.decode() for name, value in record.headers if name == "id"]
        insert = "INSERT INTO outbox (id, topic, key, value) VALUES (%s, 'dead_letters', %s, %s)"
        bench.postgres.query(insert, identity, record.key, record.value)
    bench.postgres.query("DELETE FROM outbox_positions")
    consumer.start()
    eventually(lambda: bench.postgres.query(unpublished), lambda rows: rows == [(0,)], 30, bench.said)
    assert len(dead_letters_in_topic(bench.broker)) == len(in_topic)


def test_killed_consumers_and_databases_lose_and_double_nothing(bench: Bench) -> None:
    consumer = bench.consumer(STREAMGUARD_BATCH_MAX_RECORDS="200", STREAMGUARD_CONSUMER_INSTANCE="one")
    chosen = random.Random(3)
    total = 0
    for round_number in range(4):
        bench.payments(2_000, seed=round_number, start=total)
        total += 2_000
        bench.wait_read(total - chosen.randrange(200, 1_900))
        if round_number % 2:
            bench.postgres.kill()
            bench.postgres.start()
        else:
            consumer.end(signal.SIGKILL)
            consumer.start()
    bench.wait_read(total)
    assert bench.read() == total
    assert bench.postgres.query("SELECT count(*) FROM transactions") == [(total,)]
    bench.in_is_out()


def test_cut_connections_and_a_stopped_broker_are_waited_out(bench: Bench) -> None:
    bench.consumer(STREAMGUARD_BATCH_MAX_RECORDS="100")
    bench.payments(3_000)
    bench.wait_read(500)
    bench.postgres.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE pid <> pg_backend_pid() AND usename = 'streamguard'"
    )
    bench.wait_read(3_000)
    bench.broker.kill()
    bench.broker.start()
    bench.payments(1_000, seed=8, start=3_000)
    bench.wait_read(4_000)
    assert bench.postgres.query("SELECT count(*) FROM transactions") == [(4_000,)]
    bench.in_is_out()


def test_corrupt_batches_are_dead_letters_and_what_follows_is_stored(bench: Bench) -> None:
    """In front of the consumer, in the middle, and while it runs; each lost offset counts."""
    lost: set[tuple[int, int]] = set()

    def spoil(partition: int, offset: int) -> None:
        offsets = corrupt_batch(bench.broker.data_dir, "transactions", partition, offset)
        lost.update((partition, number) for number in offsets)

    for start in range(0, 600, 100):
        bench.payments(100, start=start)
    spoil(0, 0)
    spoil(1, 60)
    bench.consumer()
    bench.wait_read(600)
    bench.broker.stop()
    spoil(2, 199)
    bench.broker.start()
    bench.payments(300, seed=8, start=600)
    bench.wait_read(900)
    dead = bench.postgres.query("SELECT source_partition, source_offset, reason FROM dead_letters")
    assert {(partition, offset) for partition, offset, _ in dead} | {(2, n) for p, n in lost if p == 2} == lost
    assert all("the record batch is corrupt" in str(reason) for _, _, reason in dead)
    bench.in_is_out()
    assert bench.read() == 900


def test_records_that_the_log_deleted_unread_are_told(bench: Bench) -> None:
    consumer = bench.consumer()
    bench.payments(300)
    bench.wait_read(300)
    consumer.end(signal.SIGTERM)
    bench.payments(900, start=300)
    admin = KafkaAdminClient(bootstrap_servers=bench.broker.address)
    admin.delete_records({TopicPartition("transactions", number): -1 for number in range(3)})
    admin.close()
    bench.payments(300, seed=8, start=1_200)
    consumer.start()
    bench.wait_read(600)
    assert consumer.said().count("were deleted before they were read") == 3
    bench.in_is_out()


def test_a_database_unavailable_for_a_while_is_retried(bench: Bench) -> None:
    consumer = bench.consumer(STREAMGUARD_CONSUMER_INSTANCE="one")
    bench.payments(500)
    bench.wait_read(500)
    bench.postgres.kill()
    bench.payments(2_000, seed=8, start=500)
    eventually(consumer.said, lambda said: said.count("the database is unavailable") >= 3, 20)
    bench.postgres.start()
    bench.wait_read(2_500)
    assert consumer.process is not None and consumer.process.poll() is None, "it waits, it does not die"
    bench.in_is_out()


ALERTS = "SELECT alert_id, outcome FROM fraud_alerts ORDER BY 1"
VERSIONS = "SELECT alert_id, tx_count, judged, refused_topic, refused_partition, refused_offset FROM alert_versions ORDER BY 1, 2"


def alert_value(alert_id: str, transaction_id: str, count: int, amount: float) -> bytes:
    """An alert as the SQL rules write it, in upper case; a burst's has the window of its minute."""
    start, end = (T0_MS, T0_MS + 60_000) if alert_id.startswith("HIGH_VELOCITY") else (T0_MS + count, T0_MS + count)
    value = {"alert_id": alert_id, "rule": alert_id.split(":")[0], "transaction_id": transaction_id, "amount": amount}
    value |= {"tx_count": count, "window_start": start, "window_end": end, "detected_at": T0_MS}
    return orjson.dumps({name.upper(): field for name, field in value.items()})


def test_alerts_on_refused_transactions_under_kill(bench: Bench) -> None:
    """Alerts and refused transactions in turn, the consumer killed after each batch; retried ones are judged."""
    chosen = random.Random(5)
    consumer = bench.consumer(STREAMGUARD_BATCH_MAX_RECORDS="7", STREAMGUARD_CONSUMER_INSTANCE="one")
    accounts = [f"A{number}" for number in range(30)]
    sends: list[tuple[str, str, bytes]] = []
    for account in accounts:
        for number in range(6):
            fields = transaction_value(f"{account}-{number}", account, 5_000, T0_MS + number)
            fields["currency"] = "XXQ" if number == 4 else "BRL"
            sends.append(("transactions", account, orjson.dumps(fields)))
        for count in (4, 5, 6):
            alert = f"HIGH_VELOCITY:{account}:{T0_MS}"
            sends.append(("fraud_alerts", account, alert_value(alert, f"{account}-{count - 1}", count, count * 5_000)))
        alert = f"HIGH_AMOUNT:{account}-4"
        sends.append(("fraud_alerts", account, alert_value(alert, f"{account}-4", 1, 5_000)))
    chosen.shuffle(sends)
    for start in range(0, len(sends), 75):
        for topic, account, value in sends[start : start + 75]:
            bench.send(topic, account, value)
        bench.producer.flush()
        bench.wait_read(start + chosen.randrange(1, 40))
        consumer.end(signal.SIGKILL)
        consumer.start()
    bench.wait_read(len(sends))
    bench.in_is_out()
    outcomes = dict(bench.postgres.query(ALERTS))
    assert {outcomes[f"HIGH_AMOUNT:{account}-4"] for account in accounts} == {"refused"}
    assert {outcomes[f"HIGH_VELOCITY:{account}:{T0_MS}"] for account in accounts}.isdisjoint({None, "refused"})
    versions = bench.postgres.query(VERSIONS)
    dead = set(bench.postgres.query("SELECT source_topic, source_partition, source_offset FROM dead_letters"))
    assert len(versions) == 4 * len(accounts) and len(dead) == len(accounts)
    for alert_id, count, judged, *place in versions:
        refused = alert_id.startswith("HIGH_AMOUNT") or count == 5
        assert judged and (tuple(place) in dead if refused else place == [None] * 3), (alert_id, count, place)
    sent_again = {f"{account}-4" for account in accounts[:10]}
    for transaction_id in sorted(sent_again):
        account = transaction_id.split("-")[0]
        again = transaction_value(transaction_id, account, 5_000, T0_MS + 1)
        bench.send("transactions", account, orjson.dumps(again))
    bench.producer.flush()
    bench.wait_read(len(sends) + len(sent_again))
    outcomes = dict(bench.postgres.query(ALERTS))
    wanted = {f"HIGH_AMOUNT:{account}-4": f"{account}-4" not in sent_again for account in accounts}
    assert {alert_id: outcomes[alert_id] == "refused" for alert_id in wanted} == wanted
    eventually(lambda: bench.postgres.query("SELECT count(*) FROM outbox"), lambda rows: rows == [(0,)], 30, bench.said)
    decisions = [orjson.loads(record.value) for record in read_topic(bench.broker.address, "decisions")]
    last = {decision["alert_id"]: decision["outcome"] for decision in decisions if decision["alert_id"] in wanted}
    assert {alert_id: outcome == "refused" for alert_id, outcome in last.items()} == wanted


def test_a_refused_record_is_sent_again_and_judged(bench: Bench) -> None:
    """By the command, while the consumer runs; its limit was too low."""
    value = orjson.dumps(transaction_value("big", "A", 5_000, T0_MS + 1, note="x" * 10_000))
    consumer = bench.consumer(STREAMGUARD_RECORD_MAX_BYTES="9000", STREAMGUARD_CONSUMER_INSTANCE="one")
    bench.send("fraud_alerts", "A", alert_value("HIGH_AMOUNT:big", "big", 1, 5_000))
    bench.send("transactions", "A", value)
    bench.producer.flush()
    bench.wait_read(2)
    assert bench.postgres.query(ALERTS) == [("HIGH_AMOUNT:big", "refused")]
    consumer.end(signal.SIGTERM)
    consumer.environment["STREAMGUARD_RECORD_MAX_BYTES"] = "20000"
    consumer.start()
    environment = {"KAFKA_BOOTSTRAP_SERVERS": bench.broker.address, "DATABASE_URL": bench.postgres.url()}
    command = [sys.executable, "-m", "streamguard.cli", "dead-letters", "retry", "--reason", "above the limit", "--yes"]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "1 sent again" in done.stdout, done.stdout + done.stderr
    bench.wait_read(3)
    assert bench.postgres.query(ALERTS) == [("HIGH_AMOUNT:big", "review")]
    bench.in_is_out()
    [(partition, offset)] = bench.postgres.query("SELECT retried_partition, retried_offset FROM dead_letters")
    stored = bench.postgres.query(
        "SELECT source_partition, source_offset FROM transactions WHERE transaction_id = 'big'"
    )
    assert stored == [(partition, offset)]

"""`streamguard dead-letters`: found, shown and sent again, each once, on a real broker and database."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal

import orjson
import pytest
from kafka import KafkaAdminClient, KafkaProducer

from streamguard.config import load_settings
from streamguard.consumer.store import Store
from streamguard.dead_letters.find import Filter, counts
from streamguard.kafka.topics import ensure_topics
from streamguard.models import Transaction
from streamguard.privacy.protection import Protection
from tests.streamguard.cli.test_commands import Line
from tests.support.broker import BrokerProcess
from tests.support.desk import Desk
from tests.support.records import T0_MS, Record, high_amount, transaction
from tests.support.topics import read_topic

BAD = [
    transaction(0, "t0", "A", -5, T0_MS),
    transaction(1, "t1", "A", -7, T0_MS),
    Record("transactions", 0, 2, b"B", b"{"),
    Record("transactions", 0, 3, b"B\x00\xff", b"\x00\x01Avro"),
    Record("transactions", 0, 4, b"B", None),
    Record("transactions", 0, 5, None, orjson.dumps({"ACCOUNT_ID": "C", "amount": 1})),
    Record("fraud_alerts", 0, 0, b"A", b"[]"),
]


class Commands(Line):
    """`streamguard dead-letters ...` on a database and a broker."""

    def __init__(self, desk: Desk, broker: BrokerProcess) -> None:
        super().__init__(desk.postgres.url())
        self.environment = {"DATABASE_URL": self.url, "KAFKA_BOOTSTRAP_SERVERS": broker.address}

    def __call__(self, *arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "streamguard.cli", "dead-letters", *arguments],
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr


@pytest.fixture
def said(desk: Desk, broker: BrokerProcess) -> Commands:
    ensure_topics(load_settings(kafka_bootstrap_servers=broker.address))
    desk.feed(*BAD)
    return Commands(desk, broker)


def records(broker: BrokerProcess, topic: str = "transactions") -> list[tuple[bytes | None, bytes | None, str]]:
    """Key, value and the header `dead_letter` of what the topic holds."""
    return sorted(
        (record.key, record.value, dict(record.headers)["dead_letter"].decode())
        for record in read_topic(broker.address, topic)
    )


def test_the_list_counts_by_reason_and_shows_the_newest_first(said: Commands, desk: Desk) -> None:
    desk.rows("UPDATE dead_letters SET failed_at = now() - source_offset * INTERVAL '1 day'")
    listed = said("list")
    assert listed.startswith("7 dead letters:\n        2  amount: an amount above 0 is expected\n")
    places = re.findall(r"^\d{4}-\S+ \S+  (\S+) ", listed, re.M)
    assert places == ["fraud_alerts/0/0", *(f"transactions/0/{n}" for n in range(6))]
    assert "(got -5)" in listed
    assert re.findall(r"  (\S+/\d/\d) ", said("list", "--limit", "2")) == ["fraud_alerts/0/0", "transactions/0/0"]
    assert said("list", "--reason", "ABOVE 0").startswith("2 dead letters:")
    assert said("list", "--topic", "fraud_alerts").startswith("1 dead letter:")
    assert said("list", "--since", "36h").startswith("3 dead letters:")
    assert said("list", "--reason", "100%_") == "no dead letters\n"
    desk.rows("UPDATE dead_letters SET retried_partition = 0, retried_offset = 9 WHERE source_offset = 0")
    assert said("list", "--waiting").startswith("5 dead letters:")
    assert "--since is 'soon': a time such as" in said("list", "--since", "soon", code=2)


REASONS = {
    "amount: an amount above 0 is expected": [
        "amount: an amount above 0 is expected (got -5)",
        'amount: an amount above 0 is expected (got "a (b); c)")',
    ],
    "amount: missing; currency: missing": ["amount: missing; currency: missing"],
    "amount: above 0 is expected; currency: ISO 4217 is expected": [
        "amount: above 0 is expected (got -5); currency: ISO 4217 is expected (got XXQ)"
    ],
    "transaction_id was stored before": ["transaction_id a b was stored before, from partition 0 offset 1"],
    "the key has to be the account id": ['the key has to be the account id: it is "A", account_id is "B"'],
    "not a JSON object": ["not a JSON object but 12"],
    "a record of so many bytes is above the limit of 1,048,576": [
        "a record of 5,242,880 bytes is above the limit of 1,048,576",
        "a record of 12 bytes is above the limit of 1,048,576",
    ],
    "the record batch is corrupt (its checksum does not match)": [
        "the record batch is corrupt (its checksum does not match): offset 7 is lost",
        "the record batch is corrupt (its checksum does not match): offsets 7 to 9 are lost",
    ],
    "not JSON: unexpected character": ["not JSON: unexpected character: line 1 column 2 (char 1)"],
    "an Avro record: only JSON is read": ["an Avro record (magic byte 0, schema id 7): only JSON is read"],
}


def test_reasons_are_counted_without_what_they_quote(desk: Desk) -> None:
    insert = "INSERT INTO dead_letters (source_topic, source_partition, source_offset, reason) VALUES ('t', 0, %s, %s)"
    for offset, reason in enumerate(reason for reasons in REASONS.values() for reason in reasons):
        desk.rows(insert, offset, reason)
    with desk.engine.connect() as connection:
        found = {count.reason: count.letters for count in counts(connection, Filter())}
    assert found == {plain: len(reasons) for plain, reasons in REASONS.items()}


def test_show_reads_text_as_text_and_bytes_in_hexadecimal(said: Commands, desk: Desk) -> None:
    desk.feed(high_amount(1, "t0", "A", 4_000, T0_MS))
    shown = said("show", "transactions/0/0")
    assert "reason: amount: an amount above 0 is expected (got -5)" in shown
    assert "key:    A\n" in shown and '"transaction_id":"t0"' in shown
    assert "alert:  HIGH_AMOUNT:t0: refused because of it\n" in shown
    desk.feed(transaction(6, "t0", "A", 4_000, T0_MS))
    assert "alert:  HIGH_AMOUNT:t0: review\n" in said("show", "transactions/0/0")
    shown = said("show", "transactions/0/3")
    assert "key:    hex 42 00 ff\n" in shown and "value:  hex 00 01 41 76 72 6f\n" in shown
    assert "value:  none\n" in said("show", "transactions/0/4")
    assert "there is no dead letter transactions/0/99" in said("show", "transactions/0/99", code=1)
    assert "'17' is no place: topic/partition/offset is needed" in said("show", "17", code=1)


def test_a_retry_sends_each_once_and_notes_it(said: Commands, desk: Desk, broker: BrokerProcess) -> None:
    assert "--yes sends without a question" in said("retry", "transactions/0/0", code=1)
    assert records(broker) == []
    first = said("retry", "transactions/0/0", "--yes", "--by", "ana")
    assert re.search(r"transactions/0/0 is sent again as transactions/\d/0\n1 sent again\n", first)
    assert records(broker) == [(b"A", BAD[0].value, "transactions/0/0")]
    assert re.search(r"sent again as transactions/\d/0 at .* by ana", said("show", "transactions/0/0"))
    assert re.search(r"\(got -5\) \(sent again as transactions/\d/0\)", said("list"))
    assert said("retry", "transactions/0/0", "--yes").startswith("1 of 1 were sent again before")
    assert len(records(broker)) == 1
    rest = said("retry", "--topic", "transactions", "--yes", code=1)
    assert "1 of 6 were sent again before" in rest and "4 sent again, 1 not" in rest
    assert "transactions/0/4 is not sent: it has no bytes" in rest
    # All of account A are in one partition, in their order; what had no key is keyed by the account of its value.
    assert [key for key, _, _ in records(broker)] == [b"A", b"A", b"B", b"B\x00\xff", b"C"]
    partitions = {(record.key, record.partition) for record in read_topic(broker.address) if record.key == b"A"}
    assert len(partitions) == 1
    said("retry", "transactions/0/0", "--yes", "--again")
    assert [place for _, _, place in records(broker)].count("transactions/0/0") == 2
    assert said("retry", "--reason", "no such reason", "--yes") == "no dead letters\n"


def test_what_was_sent_and_not_noted_is_not_sent_again(said: Commands, desk: Desk, broker: BrokerProcess) -> None:
    """As after a kill -9 between the commit of the broker and that of the database, and before either."""
    said("retry", "transactions/0/0", "--yes")
    wanted = desk.rows("SELECT retried_partition, retried_offset FROM dead_letters WHERE retry_id IS NOT NULL")
    desk.rows("UPDATE dead_letters SET retried_partition = NULL, retried_offset = NULL")
    desk.rows("UPDATE dead_letters SET retry_id = gen_random_uuid(), retried_at = now() WHERE source_offset = 1")
    assert "was being sent again" in said("list")
    assert "2 sent again" in said("retry", "--reason", "amount above", "--yes")
    assert [place for _, _, place in records(broker)] == ["transactions/0/0", "transactions/0/1"]
    noted = "SELECT retried_partition, retried_offset FROM dead_letters WHERE source_offset = 0 AND source_topic = 'transactions'"
    assert desk.rows(noted) == wanted


def test_a_retried_record_that_is_refused_again_is_a_dead_letter_of_its_own(
    said: Commands, desk: Desk, broker: BrokerProcess
) -> None:
    said("retry", "transactions/0/0", "--yes")
    [record] = read_topic(broker.address)
    desk.feed(Record("transactions", 2, record.offset, record.key, record.value))
    assert desk.rows("SELECT count(*) FROM dead_letters WHERE transaction_id = 't0'") == [(2,)]


def test_at_a_terminal_it_asks(said: Commands, broker: BrokerProcess) -> None:
    for answer, code in ((b"n\n", 1), (b"y\n", 0)):
        terminal, end = pty.openpty()
        os.write(terminal, answer)
        command = [sys.executable, "-m", "streamguard.cli", "dead-letters", "retry", "transactions/0/0"]
        done = subprocess.run(
            command, env={**os.environ, **said.environment}, stdin=end, capture_output=True, text=True, timeout=60
        )
        os.close(terminal)
        os.close(end)
        assert "Send transactions/0/0 again to transactions? [y/N]" in done.stdout
        assert done.returncode == code, done.stdout + done.stderr
    assert len(records(broker)) == 1


HEADERS = [("label", b"card_testing"), ("id", b"the sender's own")]


def place_in_topic(broker: BrokerProcess, record: Record) -> Record:
    """Send a record to its topic, with headers; returns it as a reader finds it."""
    producer = KafkaProducer(bootstrap_servers=broker.address)
    found = producer.send(record.topic, record.value, record.key, headers=HEADERS, partition=2).get(timeout=30)
    producer.close(timeout=20)
    return replace(record, partition=2, offset=found.offset)


def test_a_record_is_sent_as_its_topic_has_it(desk: Desk, broker: BrokerProcess) -> None:
    ensure_topics(load_settings(kafka_bootstrap_servers=broker.address))
    record = place_in_topic(broker, BAD[0])
    desk.feed(record)
    Commands(desk, broker)("retry", "--yes")
    [again] = [record for record in read_topic(broker.address) if record.offset or record.partition != 2]
    assert (again.key, again.value) == (record.key, record.value)
    headers = dict(again.headers)
    assert headers["label"] == b"card_testing" and headers["dead_letter"] == b"transactions/2/0"
    [identity] = desk.rows("SELECT retry_id::TEXT FROM dead_letters")
    assert (headers["id"].decode(),) == identity


def test_a_topic_made_anew_does_not_change_what_is_sent(desk: Desk, broker: BrokerProcess) -> None:
    ensure_topics(load_settings(kafka_bootstrap_servers=broker.address))
    place_in_topic(broker, Record("transactions", 0, 0, b"other", b"another record"))
    desk.feed(replace(BAD[0], partition=2))
    Commands(desk, broker)("retry", "--yes")
    assert (b"A", BAD[0].value, "transactions/2/0") in [
        (record.key, record.value, dict(record.headers).get("dead_letter", b"").decode())
        for record in read_topic(broker.address)
    ]


def test_a_topic_that_is_gone_is_not_made(said: Commands, desk: Desk, broker: BrokerProcess) -> None:
    desk.rows("UPDATE dead_letters SET source_topic = 'old' WHERE source_offset = 1")
    assert "old/0/1 is not sent: the topic old does not exist any more" in said("retry", "old/0/1", "--yes", code=1)
    admin = KafkaAdminClient(bootstrap_servers=broker.address)
    assert "old" not in admin.list_topics()
    admin.close()


def test_protected_values_are_sent_as_they_came_or_not_at_all(desk: Desk, broker: BrokerProcess) -> None:
    ensure_topics(load_settings(kafka_bootstrap_servers=broker.address))
    kinds = dict.fromkeys(("account", "card", "ip", "device"), "token")
    desk.store = Store(desk.engine, desk.settings, protection=Protection(kinds, "k" * 32))
    said = Commands(desk, broker)
    said.environment |= {f"STREAMGUARD_PII_{kind.upper()}": mode for kind, mode in kinds.items()}
    said.environment["STREAMGUARD_PII_KEY"] = "k" * 32
    record = place_in_topic(broker, BAD[0])
    desk.feed(record, BAD[1])
    assert "personal data is protected: key and value are not as they came" in said("show", "transactions/2/0")
    told = said("retry", "--yes", code=1)
    assert "transactions/0/1 is not sent: personal data is protected, and the topic does not have the record" in told
    assert "1 sent again, 1 not" in told
    assert [(record.key, record.value) for record in read_topic(broker.address)] == [(record.key, record.value)] * 2


def test_an_unavailable_broker_is_one_sentence_and_loses_nothing(
    said: Commands, desk: Desk, broker: BrokerProcess
) -> None:
    address, said.environment["KAFKA_BOOTSTRAP_SERVERS"] = said.environment["KAFKA_BOOTSTRAP_SERVERS"], "127.0.0.1:1"
    assert "Kafka at 127.0.0.1:1 (KAFKA_BOOTSTRAP_SERVERS): " in said("retry", "transactions/0/0", "--yes", code=1)
    said.environment["KAFKA_BOOTSTRAP_SERVERS"] = address
    assert "1 sent again" in said("retry", "transactions/0/0", "--yes")


def test_a_retry_can_map_the_fields_of_foreign_records(desk: Desk, broker: BrokerProcess) -> None:
    ensure_topics(load_settings(kafka_bootstrap_servers=broker.address))
    foreign = {"id": "p1", "amt": "12.50", "cc": "C1", "ts": "2026-01-02T03:04:05Z", "cur": "eur"}
    desk.feed(
        Record("transactions", 0, 0, None, orjson.dumps(foreign)),
        Record("transactions", 0, 1, None, orjson.dumps({**foreign, "amt": "much"})),
        Record("transactions", 0, 2, None, b"[]"),
        Record("transactions", 0, 3, b"B", orjson.dumps({"amt": 1, "Currency": "BRL"})),
    )
    said = Commands(desk, broker)
    assert "transactions/0/3 is not sent: the record has no account_id: say --map account_id='...'" in said(
        "retry", "transactions/0/3", "--yes", "--map", "amount=amt", code=1
    )
    mapping = "transaction_id=id,amount=amt,account_id=cc,event_time=ts,currency=cur"
    told = said("retry", "--yes", "--map", mapping, code=1)
    assert re.search(r"transactions/0/0 is sent again as transactions/\d/0\n", told)
    assert re.search(r"transactions/0/1 is not sent: .*much", told)
    assert "transactions/0/2 is not sent: it is no JSON object, so it has no fields to map" in told
    [record] = read_topic(broker.address)
    fields = Transaction.from_record(record.value, record.key)
    assert (record.key, fields.transaction_id, fields.amount, fields.currency) == (b"C1", "p1", Decimal("12.5"), "EUR")
    assert fields.event_time == 1_767_323_045_000
    own = transaction(4, "t4", "A", 7, T0_MS, merchant_id="M1").value or b""
    desk.feed(
        Record("transactions", 0, 4, b"A", own.replace(b'"amount"', b'"amt"').replace(b'"currency"', b'"CURRENCY"'))
    )
    said("retry", "transactions/0/4", "--yes", "--map", "amount=amt")
    [mended] = [record for record in read_topic(broker.address) if record.key == b"A"]
    fields = Transaction.from_record(mended.value, mended.key)
    assert (fields.transaction_id, fields.amount, fields.currency, fields.merchant_id) == (
        "t4",
        Decimal(7),
        "BRL",
        "M1",
    )
    assert "a transaction has no field 'amont': did you mean amount" in said(
        "retry", "--map", "amont=amt", "--yes", code=2
    )

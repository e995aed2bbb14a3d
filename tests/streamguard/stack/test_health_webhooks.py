"""What status says of webhooks: receivers that fail, decisions that wait, what was not delivered."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kafka import KafkaAdminClient

from streamguard.stack.health import Context, Finding, webhooks
from streamguard.webhooks.hooks import Wanted, add_hook
from tests.streamguard.desk.plumbing import make_topic, on_broker, produce
from tests.support.broker import BrokerProcess
from tests.support.desk import Desk

URL = "https://receiver.example/x"


@pytest.fixture
def desk(desk: Desk, broker: BrokerProcess) -> Desk:
    make_topic(broker, "decisions", 1)
    return on_broker(desk, broker)


@pytest.fixture
def context(desk: Desk, broker: BrokerProcess) -> Iterator[Context]:
    kafka = KafkaAdminClient(bootstrap_servers=broker.address)
    with desk.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        yield Context(desk.settings, database=connection, kafka=kafka)
    kafka.close()


def found(context: Context) -> list[Finding]:
    checks = (webhooks.failing, webhooks.waiting, webhooks.left_out)
    return [finding for check in checks for finding in check(context)]


def add(desk: Desk) -> None:
    with desk.engine.begin() as connection:
        number, _ = add_hook(connection, desk.settings, Wanted(URL), by="admin")
    assert number == 1


def test_without_webhooks_or_tables_nothing_is_said(desk: Desk, context: Context) -> None:
    assert found(context) == []
    desk.postgres.query("DROP TABLE webhook_deliveries, webhooks, webhook_offsets")
    assert found(context) == []


def test_one_that_works_is_no_finding(desk: Desk, context: Context, broker: BrokerProcess) -> None:
    add(desk)
    produce(broker, "decisions", {"value": b"{}"})
    desk.postgres.query("INSERT INTO webhook_deliveries (hook_no, payload) VALUES (1, '')")
    desk.postgres.query("UPDATE webhooks SET failing_since = now() - INTERVAL '9 minutes', failures = 3")
    assert found(context) == []


def test_one_that_fails_for_long(desk: Desk, context: Context) -> None:
    add(desk)
    desk.postgres.query("INSERT INTO webhook_deliveries (hook_no, payload) VALUES (1, ''), (1, '')")
    desk.postgres.query("UPDATE webhooks SET failing_since = now() - INTERVAL '11 minutes', last_error = '500 Oh'")
    [finding] = found(context)
    assert finding.serious
    assert f"webhook 1 ({URL}) has failed for 11 min (500 Oh), 2 deliveries wait" in finding.sentence


def test_what_nobody_sends_or_reads(desk: Desk, context: Context, broker: BrokerProcess) -> None:
    add(desk)
    produce(broker, "decisions", {"value": b"{}"}, {"value": b"{}"})
    desk.postgres.query("UPDATE webhook_offsets SET updated_at = now() - INTERVAL '11 minutes'")
    desk.postgres.query(
        "INSERT INTO webhook_deliveries (hook_no, payload, next_at) VALUES (1, '', now() - INTERVAL '12 minutes')"
    )
    due, unread = found(context)
    assert due.serious and "1 deliveries of webhooks are due, the oldest for 12 min" in due.sentence
    assert unread.serious and "2 decisions were not read" in unread.sentence


def test_what_was_left_out_is_a_note(desk: Desk, context: Context) -> None:
    add(desk)
    desk.postgres.query("UPDATE webhooks SET is_on = FALSE, off_reason = 'admin: they moved'")
    desk.postgres.query(
        "INSERT INTO webhook_deliveries (hook_no, topic, partition_no, record_offset, payload, status) VALUES"
        " (1, 'decisions', 0, 0, '', 'given_up'), (1, 'decisions', 0, 1, '', 'waiting')"
    )
    desk.postgres.query("UPDATE webhook_offsets SET left_out = 4")
    off, given_up, gone = found(context)
    assert not any(finding.serious for finding in (off, given_up, gone))
    assert "is off (admin: they moved), 1 deliveries wait" in off.sentence
    assert "1 deliveries of webhook 1 were given up" in given_up.sentence
    assert "4 offsets of decisions/0 were removed or corrupt" in gone.sentence

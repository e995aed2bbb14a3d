"""From the topic to receivers: signed, filtered, in order, none lost; what fails is tried again."""

from __future__ import annotations

import logging
import signal
import threading
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, TopicPartition

from streamguard.kafka import clients
from streamguard.webhooks import deliveries, hooks
from streamguard.webhooks.schedule import Schedule
from streamguard.webhooks.sender import Sender
from tests.streamguard.desk.plumbing import make_topic, produce
from tests.streamguard.webhooks.conftest import SOON, Serve, add, decide, decision, statuses
from tests.support.broker import BrokerProcess, free_port
from tests.support.desk import Desk
from tests.support.processes import Program, eventually
from tests.support.receiver import Got, Receiver


def numbers(receiver: Receiver) -> list[int]:
    return [got.decision["number"] for got in receiver.got]


def done(desk: Desk, count: int) -> None:
    """Wait until so many are delivered and nothing else is there."""
    eventually(lambda: statuses(desk), lambda rows: rows == [("delivered", count)], 30)


def test_two_hundred_decisions_reach_whom_they_concern(
    desk: Desk, broker: BrokerProcess, receiver: Receiver, serve: Serve
) -> None:
    with Receiver() as other:
        _, secret = add(desk, receiver)
        _, others = add(desk, other, outcomes=("block",), rules=("HIGH_AMOUNT",))
        serve()
        decide(broker, *range(200))
        decide(broker, 200, 201, outcome="block")
        decide(broker, 202, outcome="block", rule="HIGH_VELOCITY")
        done(desk, 205)
        assert sorted(numbers(receiver)) == list(range(203)), "and none from before the webhook"
        for partition in range(3):
            sent = [n for n in numbers(receiver) if n % 3 == partition]
            assert sent == sorted(sent), "in the order of the topic"
        assert sorted(numbers(other)) == [200, 201]
        assert all(got.is_signed_by(secret) and not got.is_signed_by(others) for got in receiver.got)
        assert all(got.is_signed_by(others) for got in other.got)
        assert len({got.id for got in (*receiver.got, *other.got)}) == 205
    first = next(got for got in receiver.got if got.decision["number"] == 0)
    assert first.body == decision(0), "the bytes of the topic"
    assert first.headers["content-type"] == "application/json" and "authorization" not in first.headers
    [(topic, offset)] = desk.rows(
        "SELECT topic, record_offset FROM webhook_deliveries WHERE message_id = %s::uuid", first.id.removeprefix("msg_")
    )
    assert (topic, offset) == ("decisions", 1)


def test_what_fails_is_tried_again_under_the_same_id(
    desk: Desk, broker: BrokerProcess, receiver: Receiver, serve: Serve
) -> None:
    answers = iter([500, 302, 404])
    receiver.answer = lambda _: next(answers, 200)
    receiver.location = receiver.url
    number, secret = add(desk, receiver)
    serve()
    decide(broker, 1)
    done(desk, 1)
    assert len(receiver.got) == 4 and len({got.id for got in receiver.got}) == 1
    assert all(got.is_signed_by(secret) for got in receiver.got)
    assert desk.rows("SELECT attempts, last_status, last_error FROM webhook_deliveries") == [(4, 200, None)]
    with desk.engine.begin() as connection:
        found = hooks.hook(connection, number)
    assert (found.failures, found.failing_since, found.last_error) == (0, None, None)


def test_a_receiver_that_hangs_holds_up_no_other(
    desk: Desk, broker: BrokerProcess, receiver: Receiver, serve: Serve
) -> None:
    with Receiver() as hanging:
        hanging.hold.clear()
        slow, _ = add(desk, hanging)
        add(desk, receiver)
        serve(timeout_s=0.2)
        decide(broker, *range(10))
        eventually(lambda: len(receiver.got), lambda count: count == 10, 30)
        error = "SELECT last_error FROM webhooks WHERE hook_no = %s"
        eventually(lambda: desk.rows(error, slow), lambda rows: rows == [("no answer within 0.2 s",)], 30)
        hanging.hold.set()
        done(desk, 20)
    assert set(numbers(hanging)) == set(range(10))


def test_nobody_listens(desk: Desk, broker: BrokerProcess, serve: Serve) -> None:
    with Receiver() as gone:
        add(desk, gone)
    serve(Schedule(first_s=3_600))
    decide(broker, *range(5))
    said = "SELECT failures, last_error, held_until > now() FROM webhooks"
    eventually(lambda: desk.rows(said), lambda rows: rows == [(3, "no connection: Connection refused", True)], 30)
    assert desk.rows("SELECT sum(attempts) FROM webhook_deliveries") == [(3,)], "the others do not ask in vain"


def test_after_a_day_it_is_given_up_and_may_be_sent_again(
    desk: Desk, broker: BrokerProcess, receiver: Receiver, serve: Serve
) -> None:
    receiver.answer = lambda _: 503
    number, _ = add(desk, receiver)
    serve(Schedule(first_s=3_600, hold_after=1))
    decide(broker, 0, 1, 2)
    eventually(lambda: len(receiver.got), lambda count: count == 1, 30)
    eventually(lambda: desk.rows("SELECT failures FROM webhooks"), lambda rows: rows == [(1,)], 30)
    # A day later: what was tried fails once more, what was never tried is as old.
    desk.postgres.query("UPDATE webhook_deliveries SET created_at = created_at - INTERVAL '1 day', next_at = now()")
    desk.postgres.query("UPDATE webhook_deliveries SET first_at = first_at - INTERVAL '1 day'")
    desk.postgres.query("UPDATE webhooks SET failing_since = failing_since - INTERVAL '1 day', held_until = NULL")
    eventually(lambda: statuses(desk), lambda rows: rows == [("given_up", 3)], 30)
    errors = {error for (error,) in desk.rows("SELECT last_error FROM webhook_deliveries")}
    assert errors == {"503 Service Unavailable: status 503 <b>", "not tried: 503 Service Unavailable: status 503 <b>"}
    receiver.answer = lambda _: 200
    desk.postgres.query("UPDATE webhooks SET held_until = NULL")
    with desk.engine.begin() as connection:
        assert deliveries.send_given_up_again(connection, number, by="admin") == 3
    done(desk, 3)


def test_gone_switches_it_off_and_decisions_wait(
    desk: Desk, broker: BrokerProcess, receiver: Receiver, serve: Serve
) -> None:
    receiver.answer = lambda _: 410
    number, _ = add(desk, receiver)
    serve()
    decide(broker, 0)
    off = eventually(lambda: desk.rows("SELECT is_on, off_reason FROM webhooks"), lambda rows: not rows[0][0], 30)
    assert "410 Gone" in str(off[0][1])
    decide(broker, 1, 2)
    eventually(lambda: statuses(desk), lambda rows: rows == [("waiting", 3)], 30)
    assert len(receiver.got) == 1
    assert desk.rows("SELECT done_by, action FROM audit_log WHERE action = 'webhooks.pause'") == [
        ("webhooks", "webhooks.pause")
    ]
    receiver.answer = lambda _: 200
    with desk.engine.begin() as connection:
        hooks.switch_hook(connection, number, True, by="admin", reason="it is back")
    done(desk, 3)


def test_a_new_secret_signs_beside_the_old_one_for_a_day(
    desk: Desk, broker: BrokerProcess, receiver: Receiver, serve: Serve
) -> None:
    number, old = add(desk, receiver)
    with desk.engine.begin() as connection:
        new = hooks.rotate_secret(connection, number, by="admin", reason="it leaked")
    serve()
    decide(broker, 0)
    done(desk, 1)
    assert new != old and receiver.got[0].is_signed_by(new) and receiver.got[0].is_signed_by(old)
    desk.postgres.query("UPDATE webhooks SET rotated_at = rotated_at - INTERVAL '1 day'")
    decide(broker, 1)
    done(desk, 2)
    assert receiver.got[1].is_signed_by(new) and not receiver.got[1].is_signed_by(old)


def test_without_a_webhook_nothing_is_read(desk: Desk, broker: BrokerProcess, receiver: Receiver, serve: Serve) -> None:
    number, _ = add(desk, receiver)
    with desk.engine.begin() as connection:
        hooks.remove_hook(connection, number, by="admin", reason="not needed")
    decide(broker, *range(5))
    assert desk.rows("SELECT * FROM webhook_offsets") == []
    add(desk, receiver)
    serve()
    decide(broker, 7)
    done(desk, 1)
    assert numbers(receiver) == [7], "what was decided while there was none is not sent"


def test_two_desks_make_one_delivery(desk: Desk, broker: BrokerProcess, receiver: Receiver, serve: Serve) -> None:
    add(desk, receiver)
    serve()
    serve()
    for first in range(0, 30, 3):
        decide(broker, *range(first, first + 3))
    done(desk, 30)
    assert sorted(numbers(receiver)) == list(range(30))


def test_a_database_that_is_away_loses_and_repeats_nothing(
    desk: Desk, broker: BrokerProcess, receiver: Receiver, serve: Serve
) -> None:
    add(desk, receiver)
    serve()
    decide(broker, 0)
    done(desk, 1)
    desk.postgres.kill()
    try:
        decide(broker, *range(1, 7))
    finally:
        desk.postgres.start()
    done(desk, 7)
    assert set(numbers(receiver)) == set(range(7))


def test_a_desk_that_is_killed_sends_the_rest_later(
    desk: Desk, broker: BrokerProcess, receiver: Receiver, tmp_path: Path
) -> None:
    _, secret = add(desk, receiver)
    environment = {
        "DATABASE_URL": desk.settings.database_url,
        "KAFKA_BOOTSTRAP_SERVERS": broker.address,
        "KSQLDB_URL": "http://127.0.0.1:1",
        "STREAMGUARD_DESK_PORT": str(free_port()),
        "STREAMGUARD_STATE_DIR": str(tmp_path / "state"),
    }
    program = Program("desk", ["streamguard.cli", "desk"], environment, tmp_path)
    receiver.hold.clear()
    decide(broker, *range(9))
    try:
        program.start()
        eventually(lambda: len(receiver.got), lambda count: count == 1, 60, program.said)
        program.end(signal.SIGKILL)
        receiver.hold.set()
        # What it had taken belongs to it for a minute; here that has passed.
        desk.postgres.query("UPDATE webhook_deliveries SET next_at = now() WHERE status = 'waiting'")
        program.start()
        eventually(lambda: statuses(desk), lambda rows: rows == [("delivered", 9)], 60, program.said)
        assert program.end() == 0
    finally:
        program.close()
    assert sorted(set(numbers(receiver))) == list(range(9))
    assert len(receiver.got) == 10 and receiver.got[0].id in {got.id for got in receiver.got[1:]}
    assert all(got.is_signed_by(secret) for got in receiver.got)


def test_a_topic_that_was_made_anew_is_read_whole(
    desk: Desk, broker: BrokerProcess, receiver: Receiver, serve: Serve
) -> None:
    add(desk, receiver)
    service = serve()
    decide(broker, *range(6))
    done(desk, 6)
    service.close()
    admin = KafkaAdminClient(bootstrap_servers=broker.address)
    admin.delete_topics(["decisions"])
    admin.close()
    make_topic(broker, "decisions", 3)
    decide(broker, 6, 7)
    serve()
    done(desk, 8)
    assert sorted(numbers(receiver)) == list(range(8))


def test_what_is_no_decision_goes_to_whoever_wants_all(
    desk: Desk, broker: BrokerProcess, receiver: Receiver, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    with Receiver() as other, caplog.at_level(logging.WARNING, "streamguard.webhooks"):
        add(desk, receiver)
        add(desk, other, outcomes=("block",))
        serve()
        produce(broker, "decisions", {"value": b"\xff"}, {"value": b"[1]"}, {"value": None, "key": b"k"})
        done(desk, 2)
        assert [got.body for got in receiver.got] == [b"\xff", b"[1]"] and other.got == []
    assert "is no decision" in caplog.text and "is empty" in caplog.text


def test_a_test_is_sent_once_and_says_what_came_of_it(desk: Desk, receiver: Receiver) -> None:
    number, secret = add(desk, receiver)
    sender = Sender(desk.engine, threading.Event(), schedule=SOON)
    assert sender.send_test(number, "admin").status == 204
    receiver.answer = lambda _: 400
    failed = sender.send_test(number, "admin")
    assert failed.error == "400 Bad Request: status 400 <b>"
    assert statuses(desk) == [("delivered", 1), ("given_up", 1)]
    assert desk.rows("SELECT failures FROM webhooks") == [(0,)], "a test that fails is no failure of the webhook"
    assert receiver.got[0].is_signed_by(secret) and receiver.got[0].decision["rule"] == "TEST"


def test_what_is_done_for_long_is_removed(desk: Desk, broker: BrokerProcess, receiver: Receiver, serve: Serve) -> None:
    def answer(got: Got) -> int:
        return 200 if got.decision["number"] else 500

    receiver.answer = answer
    add(desk, receiver)
    serve(Schedule(first_s=3_600))
    decide(broker, 0, 1, 2)
    eventually(lambda: statuses(desk), lambda rows: rows == [("delivered", 2), ("waiting", 1)], 30)
    desk.postgres.query("UPDATE webhook_deliveries SET created_at = created_at - INTERVAL '31 days'")
    with desk.engine.begin() as connection:
        assert deliveries.remove_old(connection) == 2
    assert statuses(desk) == [("waiting", 1)], "what waits stays"


def test_what_retention_removed_is_counted_and_said(
    desk: Desk, broker: BrokerProcess, receiver: Receiver, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    add(desk, receiver)
    decide(broker, *range(6))
    admin = KafkaAdminClient(bootstrap_servers=broker.address)
    admin.delete_records({TopicPartition("decisions", 0): 2})
    admin.close()
    with caplog.at_level(logging.ERROR, "streamguard.webhooks"):
        serve()
        done(desk, 5)
    assert sorted(numbers(receiver)) == [1, 2, 3, 4, 5]
    assert desk.rows("SELECT partition_no, left_out FROM webhook_offsets ORDER BY 1") == [(0, 1), (1, 0), (2, 0)]
    assert "decisions/0 begins at offset 2: 1 to 1 were removed before webhooks got them" in caplog.text


def test_a_desk_that_is_overtaken_while_it_begins_reads_nothing_twice(
    desk: Desk, broker: BrokerProcess, receiver: Receiver, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another desk stores a decision between this one's looks at Kafka and at the database."""
    overtaken: list[bool] = []

    class Consumer(clients.MemberConsumer):
        def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
            ends: dict[TopicPartition, int] = super().end_offsets(partitions)
            if not overtaken:
                overtaken.append(True)
                decide(broker, 3)
                desk.postgres.query("UPDATE webhook_offsets SET next_offset = 2 WHERE partition_no = 0")
            return ends

    monkeypatch.setattr(clients, "MemberConsumer", Consumer)
    add(desk, receiver)
    serve()
    eventually(lambda: overtaken, bool, 30)
    decide(broker, 4)
    done(desk, 1)
    assert numbers(receiver) == [4]

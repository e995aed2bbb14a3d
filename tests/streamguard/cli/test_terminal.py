"""No command sends a terminal what a record has in it: each is run on records that try."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from kafka import KafkaConsumer, KafkaProducer

from streamguard.config import load_settings
from streamguard.kafka.topics import ensure_topics
from tests.streamguard.config.test_visible import ATTACKS, harmful
from tests.support.broker import BrokerProcess
from tests.support.desk import Desk
from tests.support.records import T0_MS, Record, high_amount, transaction

ATTACK = "".join(text for name, text in ATTACKS.items() if name != "lone surrogate") + "€"
ACCOUNT = "A\x1b[31m\r\nB\u202e"


@pytest.fixture
def environment(desk: Desk, broker: BrokerProcess, tmp_path: Path) -> dict[str, str]:
    """A database and a broker where every text that a record may bring is an attack, and a log that quotes them."""
    desk.feed(
        transaction(0, "big", ACCOUNT, 4_000, T0_MS, merchant_name=ATTACK, city=ATTACK),
        high_amount(0, "big", ACCOUNT, 4_000, T0_MS),
        transaction(1, ATTACK, ACCOUNT, -1, T0_MS, currency=ATTACK),
        Record("transactions", 0, 2, ATTACK.encode(), f"{ATTACK}\n{ATTACK}".encode()),
        Record("transactions", 0, 3, b"A", orjson.dumps({ATTACK: ATTACK})),
    )
    ensure_topics(load_settings(kafka_bootstrap_servers=broker.address))
    producer = KafkaProducer(bootstrap_servers=broker.address, acks="all")
    producer.send("transactions", b"x").get(10)
    producer.close()
    member = KafkaConsumer(
        "transactions", bootstrap_servers=broker.address, group_id=ATTACK, auto_offset_reset="earliest"
    )
    assert member.poll(20_000)
    member.commit()
    member.close()
    logs = tmp_path / "state" / "logs"
    logs.mkdir(parents=True)
    (logs / "consumer.log").write_bytes(ATTACK.replace("\n", "").encode() + b"\xff\x1b\n")
    return {
        "DATABASE_URL": desk.postgres.url(),
        "KAFKA_BOOTSTRAP_SERVERS": broker.address,
        "KSQLDB_URL": "http://127.0.0.1:1",
        "STREAMGUARD_STATE_DIR": str(tmp_path / "state"),
    }


COMMANDS = (
    ("alerts", "list"),
    ("alerts", "show", ATTACK),
    ("alerts", "dismiss", "HIGH_AMOUNT:big", "--reason", ATTACK),
    ("alerts", "show", "HIGH_AMOUNT:big"),
    ("dead-letters", "list"),
    *(("dead-letters", "show", f"transactions/0/{offset}") for offset in (1, 2)),
    ("dead-letters", "retry", "--yes", "--map", f"amount={ATTACK}"),
    ("blacklist", "add", "account", ACCOUNT, "--reason", ATTACK),
    ("blacklist", "list"),
    ("groups", "list"),
    ("groups", "describe", ATTACK),
    ("logs",),
    ("status",),
    (ATTACK,),
)

QUOTING = (("alerts", "list"), ("alerts", "show"), ("dead-letters", "list"), ("groups", "list"), ("logs",))
"""What shows the attack itself; it would prove nothing otherwise."""


def at_terminal(environment: dict[str, str], arguments: tuple[str, ...]) -> str:
    """What a command writes to a terminal, both of its outputs."""
    terminal, end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "streamguard.cli", *arguments], env=environment, stdin=end, stdout=end, stderr=end
    )
    os.close(end)
    written = b""
    try:
        while data := os.read(terminal, 65_536):
            written += data
    except OSError:
        # Linux reports the end of a terminal as an error.
        pass
    os.close(terminal)
    process.wait(timeout=60)
    # The terminal itself ends its lines so.
    return written.decode().replace("\r\n", "\n")


def piped(environment: dict[str, str], arguments: tuple[str, ...]) -> str:
    command = [sys.executable, "-m", "streamguard.cli", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
    return (done.stdout + done.stderr).decode(environment.get("PYTHONIOENCODING", "utf-8"))


def test_no_command_sends_control_characters_of_records(environment: dict[str, str]) -> None:
    for place, arguments in enumerate(COMMANDS):
        run = at_terminal if place % 2 else piped
        encoding = {"PYTHONIOENCODING": "latin-1"} if run is piped and place % 4 else {}
        # The colours of `status` are its own.
        said = run({**os.environ, **environment, **encoding, "NO_COLOR": "1"}, arguments)
        assert "Traceback" not in said, said
        assert set(harmful(said)) <= {"\n"}, (arguments, said)
        assert not [line for line in said.splitlines() if line.startswith("PROBLEM: all is lost")], (arguments, said)
        assert "\\u001b" in said or arguments[:2] not in QUOTING, (arguments, said)

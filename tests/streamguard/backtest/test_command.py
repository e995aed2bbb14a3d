"""`streamguard backtest` as a person types it: kept, listed, shown, repeated; and killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import Producer

from streamguard.config import load_settings
from streamguard.database import apply_schema, make_engine
from tests.streamguard.backtest.conftest import Bench, payments, send
from tests.support.postgres import EmbeddedPostgres
from tests.support.processes import eventually

LOWER = ("--define", "velocity_count=2")


@dataclass
class Line:
    """`streamguard backtest ...` in a process of its own; there is no ksqlDB server."""

    postgres: EmbeddedPostgres
    servers: str
    folder: Path

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "streamguard.cli", "backtest", *arguments],
            env={
                **os.environ,
                "DATABASE_URL": self.postgres.url(),
                "KAFKA_BOOTSTRAP_SERVERS": self.servers,
                "KSQLDB_URL": "http://127.0.0.1:1",
            },
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: str, code: int = 0) -> str:
        process = self.start(*arguments)
        said, errors = process.communicate(timeout=120)
        assert process.returncode == code, said + errors
        assert "Traceback" not in errors
        return said + errors


@pytest.fixture
def line(topic_bench: Bench, postgres: EmbeddedPostgres) -> Iterator[Line]:
    engine = make_engine(load_settings(database_url=postgres.url()))
    apply_schema(engine)
    engine.dispose()
    yield Line(postgres, topic_bench.servers, topic_bench.folder)


def test_a_back_test_is_kept_listed_shown_and_repeated(line: Line) -> None:
    assert "no back-tests" in line("list")
    sent = payments(600)
    send(line.servers, sent)
    said = line(*LOWER, "--json", "first.json", "--by", "ada")
    assert "A is the catalogue's files: no ksqlDB server answers" in said
    assert "kept as back-test 1" in said
    first = json.loads((line.folder / "first.json").read_text())
    gained = first["alerts"]["gained"]
    assert f"streamguard backtest show 1 {gained[0]['alert_id']}" in said

    listed = line("list")
    assert "ada" in listed
    assert "streamguard backtest --define velocity_count=2 --json first.json" in listed
    assert f"{len(gained):,}" in line("show", "1", "--json", "again.json")
    assert (line.folder / "again.json").read_bytes() == (line.folder / "first.json").read_bytes()

    alert = line("show", "1", gained[0]["alert_id"])
    assert "A: no alert" in alert
    assert "B: " in alert
    for transaction in gained[0]["transactions"]["b"]:
        assert f"partition {transaction['partition']} offset {transaction['offset']}" in alert
        assert transaction["transaction_id"] in alert

    send(line.servers, payments(50, seed=2))
    assert "the same result, byte for byte" in line("repeat", "1")
    ends = first["source"]["offsets"]["transactions"]
    offsets = ",".join(f"transactions:{number}:{span[1]}" for number, span in ends.items())
    line(*LOWER, "--until-offsets", f"{offsets},fraud_labels:0:0", "--json", "second.json")
    assert (line.folder / "second.json").read_bytes() == (line.folder / "first.json").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("show", "7"), "there is no back-test 7; none was kept yet"),
        (("--sql", "none.sql"), "none.sql: No such file or directory"),
        (("--mode", "NIGHT_AMONT=off"), "there is no rule NIGHT_AMONT; NIGHT_AMOUNT is the nearest name"),
        ((*LOWER, "--json", "there/is/none.json"), "cannot write there/is/none.json"),
        (LOWER, "has no transaction that the rules could see"),
    ],
)
def test_what_cannot_be_done_is_a_sentence_and_an_exit_code(
    line: Line, arguments: tuple[str, ...], sentence: str
) -> None:
    assert sentence in line(*arguments, code=2 if "--json" in arguments else 1)


def test_labels_of_transactions_that_are_not_there_are_said(line: Line) -> None:
    send(line.servers, payments(300))
    producer = Producer({"bootstrap.servers": line.servers})
    for transaction_id in ("t3", "t-none"):
        value = {"transaction_id": transaction_id, "account_id": "A1", "is_fraud": True, "reported_at": 1}
        producer.produce("fraud_labels", json.dumps(value), "A1")
    assert producer.flush(30) == 0
    said = line(*LOWER, "--json", "labelled.json", code=1)
    assert "1 labels of the topic fraud_labels name transactions that are not in the topic transactions" in said
    assert "t-none" in said
    assert json.loads((line.folder / "labelled.json").read_text())["labels"]["fraud"] == 1


def test_a_killed_back_test_leaves_nothing(line: Line) -> None:
    send(line.servers, payments(6_000))
    process = line.start(*LOWER, "--all", "--sql", "queries.sql")
    children: list[int] = []

    def workers() -> bool:
        path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        children[:] = [int(text) for text in path.read_text().split()] if path.exists() else []
        return bool(children)

    eventually(workers, bool)
    process.kill()
    process.communicate(timeout=60)
    eventually(lambda: [pid for pid in children if _runs(pid)], lambda running: not running)
    assert "no back-tests" in line("list")


def _runs(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False

"""`streamguard backtest --accept`: the change that was tested is deployed, or nothing is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamguard.backtest.accept import sql_of_change
from streamguard.backtest.errors import BacktestError
from streamguard.backtest.spec import load
from streamguard.config import load_settings
from streamguard.config.resources import sql_file
from streamguard.database import apply_schema, make_engine
from streamguard.sqldeploy.state import Server
from tests.streamguard.backtest.conftest import START_MS, Bench, payments, send
from tests.support.ksqldb import KsqlServerProcess
from tests.support.postgres import EmbeddedPostgres


class Stack:
    """A broker, a server of SQL and a database; `streamguard ...` in a process of its own."""

    def __init__(self, server: KsqlServerProcess, bench: Bench, postgres: EmbeddedPostgres) -> None:
        self.bench = bench
        self.server = Server(server.url)
        addresses = {"KAFKA_BOOTSTRAP_SERVERS": bench.servers, "KSQLDB_URL": server.url, "DATABASE_URL": postgres.url()}
        self._environment = {**os.environ, **addresses}

    def __call__(self, *arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "streamguard.cli", *arguments],
            env=self._environment,
            cwd=self.bench.folder,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    def limit(self) -> str:
        """The condition of the velocity rule that runs."""
        text = self.server.definition("ACCOUNT_VELOCITY") or ""
        return "".join(text.split()).rpartition("HAVING")[2]


@pytest.fixture
def stack(topic_bench: Bench, postgres: EmbeddedPostgres, tmp_path: Path) -> Iterator[Stack]:
    engine = make_engine(load_settings(database_url=postgres.url()))
    apply_schema(engine)
    engine.dispose()
    server = KsqlServerProcess(tmp_path / "ksqldb", topic_bench.servers).start()
    try:
        yield Stack(server, topic_bench, postgres)
    finally:
        server.stop()


def test_the_change_is_deployed_when_its_result_is_kept(stack: Stack) -> None:
    send(stack.bench.servers, payments(600))
    stack("deploy", "queries.sql")
    file = stack.bench.sql(sql_file("queries.sql").read_text().replace("velocity_count = '3'", "velocity_count = '2'"))
    said = stack("backtest", "--sql", str(file))
    assert "kept as back-test 1" in said
    assert ">3" in stack.limit()

    refused = stack("backtest", "--sql", str(file), "--mode", "HIGH_AMOUNT=off", "--accept", code=2)
    assert "--accept deploys SQL alone" in refused
    assert "none is given" in stack("backtest", "--define", "velocity_count=2", "--accept", code=2)
    stack("backtest", "--sql", str(stack.bench.sql("SELECT 1;", "bad.sql")), "--accept", code=1)
    assert ">3" in stack.limit()

    said = stack("backtest", "--sql", str(file), "--accept", "--by", "ada")
    assert "kept as back-test 2" in said
    assert "HIGH_VELOCITY: alerts on transactions from now on" in said
    assert ">2" in stack.limit()
    history = stack("rules", "history", "HIGH_VELOCITY")
    assert "ada" in history
    assert "back-test 2" in history
    assert "no difference" in stack("backtest", "--sql", str(file))


def test_what_ended_in_the_back_test_is_not_deployed(stack: Stack) -> None:
    same_minute = [
        {**payment, "transaction_id": f"s{number}", "account_id": "A", "amount": 4_000, "event_time": START_MS}
        for number, payment in enumerate(payments(5))
    ]
    send(stack.bench.servers, same_minute)
    stack("deploy", "queries.sql")
    wide, narrow = "SUM(CAST(amount AS DECIMAL(38, 4)))", "SUM(CAST(amount AS DECIMAL(6, 2)))"
    text = sql_file("queries.sql").read_text()
    assert wide in text
    file = stack.bench.sql(text.replace(wide, narrow).replace("velocity_count = '3'", "velocity_count = '2'"))
    said = stack("backtest", "--sql", str(file), "--accept", code=1)
    assert "nothing is deployed: the query" in said
    assert "Numeric field overflow" in said
    assert ">3" in stack.limit()


@pytest.mark.soak
def test_the_sql_of_a_kept_back_test_is_what_was_tested(stack: Stack, postgres: EmbeddedPostgres) -> None:
    send(stack.bench.servers, payments(600))
    stack("deploy", "queries.sql")
    stack("backtest", "--define", "velocity_count=2")
    stack("backtest", "--mode", "HIGH_AMOUNT=off")
    inputs = [str(text) for (text,) in postgres.query("SELECT inputs FROM backtests ORDER BY backtest_no")]
    with pytest.raises(BacktestError, match="a deployment is SQL alone"):
        sql_of_change(load(inputs[1]))
    file = stack.bench.sql(sql_of_change(load(inputs[0])), "kept.sql")
    said = stack("deploy", str(file), "--replace", "--from", "now", "--reason", "back-test 1")
    assert "HIGH_VELOCITY: alerts on transactions from now on" in said
    assert ">2" in stack.limit()
    assert "no difference" in stack("backtest", "--define", "velocity_count=2")

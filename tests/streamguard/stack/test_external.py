"""What is named by its address is used as it is: no embedded part is started, stopped or wiped for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from streamguard.config import Settings, load_settings, variable_of
from streamguard.stack import readiness
from streamguard.stack.errors import StackError
from streamguard.stack.parts import by_name, embedded_parts
from streamguard.stack.up import StartOptions, start
from tests.support.broker import free_port
from tests.support.postgres import EmbeddedPostgres


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(variable_of(name), raising=False)


@pytest.mark.parametrize(
    ("given", "external"),
    [
        ({}, {}),
        ({"STREAMGUARD_KAFKA_PORT": "19092"}, {}),
        ({"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092", "KSQLDB_URL": "http://localhost:8088"}, {}),
        ({"DATABASE_URL": "postgresql://u:p@localhost/other"}, {}),
        ({"KAFKA_BOOTSTRAP_SERVERS": "localhost:19092", "STREAMGUARD_KAFKA_PORT": "19092"}, {}),
        ({"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:19092"}, {"broker": "KAFKA_BOOTSTRAP_SERVERS"}),
        ({"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092,b:9092"}, {"broker": "KAFKA_BOOTSTRAP_SERVERS"}),
        ({"KAFKA_BOOTSTRAP_SERVERS": "kafka.example.org:9092"}, {"broker": "KAFKA_BOOTSTRAP_SERVERS"}),
        ({"STREAMGUARD_KAFKA_ADVERTISE": "kafka.example.org:9092"}, {}),
        ({"KSQLDB_URL": "https://ksql.example.org"}, {"ksqldb": "KSQLDB_URL"}),
        ({"DATABASE_URL": "postgresql://u:p@db.example.org/other"}, {"postgres": "DATABASE_URL"}),
        ({"DATABASE_URL": "postgresql://u:p@127.0.0.1:15432/other"}, {"postgres": "DATABASE_URL"}),
    ],
)
def test_an_address_other_than_that_of_the_ports_is_somebody_else_s(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], external: dict[str, str]
) -> None:
    for variable, value in given.items():
        monkeypatch.setenv(variable, value)
    settings = load_settings()
    assert settings.external == external
    assert set(by_name(embedded_parts(settings))) == {"postgres", "broker", "ksqldb"} - set(external)
    # Every process of the stack has to come to the same.
    for variable, value in settings.environment.items():
        monkeypatch.setenv(variable, value)
    again = load_settings()
    assert (again.external, again.kafka, again.environment) == (external, settings.kafka, settings.environment)


def on_free_ports(**given: Any) -> Settings:
    """Whatever else runs on this machine."""
    ports = {f"{name}_port": free_port() for name in ("kafka", "ksqldb", "postgres", "desk")}
    return load_settings(**ports, **given)


def test_one_that_does_not_answer_is_named_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "EXTERNAL_S", 0.0)
    settings = on_free_ports(state_dir=tmp_path / "state", database_url=f"postgresql://u:p@127.0.0.1:{free_port()}/x")
    with pytest.raises(StackError) as caught:
        start(settings, StartOptions(), lambda _: None)
    assert str(caught.value).startswith("Postgres at the given address (DATABASE_URL) cannot be used: connection to")
    assert "without DATABASE_URL an embedded one is started" in str(caught.value)
    assert not (tmp_path / "state").exists()


def test_a_wrong_password_is_not_waited_for(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    url = postgres.url().replace("streamguard_2024", "wrong")
    with pytest.raises(
        StackError, match=r"Postgres at the given address \(DATABASE_URL\) cannot be used: .*password auth"
    ):
        start(on_free_ports(state_dir=tmp_path / "state", database_url=url), StartOptions(), lambda _: None)


def test_docker_starts_all_three_or_is_refused(tmp_path: Path) -> None:
    settings = on_free_ports(state_dir=tmp_path, kafka_bootstrap_servers="kafka.example.org:9092")
    with pytest.raises(
        StackError, match="--docker starts Postgres, Kafka and ksqlDB, and KAFKA_BOOTSTRAP_SERVERS names"
    ):
        start(settings, StartOptions(docker=True), lambda _: None)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"kafka_security_protocol": "SSL"},
            "the embedded broker has no certificate for SSL: set STREAMGUARD_KAFKA_CERT",
        ),
        ({"kafka_host": "0.0.0.0"}, "does not listen on 0.0.0.0 (STREAMGUARD_KAFKA_HOST) without logins and TLS: set"),
    ],
)
def test_a_broker_that_could_not_start_is_refused_first(tmp_path: Path, given: dict[str, str], sentence: str) -> None:
    settings = on_free_ports(state_dir=tmp_path / "state", **given)
    with pytest.raises(StackError) as caught:
        start(settings, StartOptions(), lambda _: None)
    assert sentence in str(caught.value)
    assert not (tmp_path / "state").exists()


def test_wipe_leaves_what_is_elsewhere_and_says_so(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    postgres.query("CREATE TABLE theirs (a INT)")
    key = tmp_path / "state" / "pii.key"
    (tmp_path / "state" / "postgres").mkdir(parents=True)
    key.write_text("of the database that is elsewhere")
    environment = {"DATABASE_URL": postgres.url(), "STREAMGUARD_STATE_DIR": str(tmp_path / "state")}
    done = subprocess.run(
        [sys.executable, "-m", "streamguard.cli", "down", "--wipe"],
        env=os.environ | environment, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "Postgres of DATABASE_URL is not ours: what is in it stays" in done.stdout
    assert postgres.query("SELECT * FROM theirs") == []
    assert postgres.answers()

"""`./start.sh`: bring the stack up, step by step, each step ready before the next one needs it."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kafka.errors import KafkaError
from sqlalchemy import Engine

from streamguard.config import PROJECT_ROOT, Settings
from streamguard.database import apply_schema, error_message, make_engine
from streamguard.kafka.topics import ensure_topics
from streamguard.sqldeploy import DeployError, deploy
from streamguard.sqldeploy.state import Server
from streamguard.stack import conf, ports
from streamguard.stack.parts import Part, application_parts, by_name, embedded_parts
from streamguard.stack.readiness import consumer_probe, kafka_probe, ksqldb_probe, postgres_probe, running_probe, wait
from streamguard.stack.supervisor import StackError, Supervisor

QUERIES = PROJECT_ROOT / "ksqldb" / "queries.sql"
LEAST_FREE_BYTES = 500 * 1024 * 1024

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Wanted:
    """What the caller of start asked for."""

    docker: bool = False
    generator: bool = True


def start(settings: Settings, wanted: Wanted, tell: Tell) -> list[Part]:
    """Bring up what does not run yet; returns the parts. Raises StackError with one sentence."""
    infrastructure = [] if wanted.docker else embedded_parts(settings)
    parts = [*infrastructure, *application_parts(settings, generator=wanted.generator)]
    if wanted.docker:
        _compose_up(tell)
    supervisor = Supervisor(settings)
    if supervisor.alive():
        running = supervisor.processes()
        # A generator that runs is left to run: a second start takes nothing away.
        if "generator" in running and not wanted.generator:
            parts = [*infrastructure, *application_parts(settings, generator=True)]
        _check_free([part for part in infrastructure if part.name not in running])
        conf.write(settings, parts)
        supervisor.reread()
    else:
        _check_disk(settings)
        _check_free(infrastructure)
        conf.write(settings, parts)
        supervisor.launch()
    try:
        _infrastructure(settings, wanted, by_name(parts), supervisor, tell)
        _lay_out(settings, tell)
        _application(settings, by_name(parts), supervisor, wanted, tell)
    except (KafkaError, DeployError) as error:
        raise StackError(str(error)) from None
    return parts


def _check_free(infrastructure: list[Part]) -> None:
    if found := ports.complaints(infrastructure):
        raise StackError("; ".join(found))


def _check_disk(settings: Settings) -> None:
    state = settings.state_path
    try:
        state.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(state).free
    except OSError as error:
        raise StackError(f"the state folder {state} (STREAMGUARD_STATE_DIR) cannot be made: {error.strerror}") from None
    if free < LEAST_FREE_BYTES:
        raise StackError(
            f"only {free // 2**20} MiB are free for {state} (STREAMGUARD_STATE_DIR),"
            f" {LEAST_FREE_BYTES // 2**20} are needed"
        )


def _infrastructure(
    settings: Settings, wanted: Wanted, parts: dict[str, Part], supervisor: Supervisor, tell: Tell
) -> None:
    """Postgres, log and engine, ours or Docker's; returns when all three answer."""
    logs = settings.state_path / "logs"
    if not wanted.docker:
        for name in ("postgres", "broker"):
            supervisor.start(name)
    kafka = parts.get("broker", Part("kafka", (), 0))
    postgres = parts.get("postgres", Part("postgres", (), 0))
    ksqldb = parts.get("ksqldb", Part("ksqldb", (), 0))
    watched = None if wanted.docker else supervisor
    wait(kafka, lambda: kafka_probe(settings), watched, logs)
    if not wanted.docker:
        # The engine takes longest to start; the database gets ready meanwhile.
        supervisor.start("ksqldb")
    wait(postgres, lambda: postgres_probe(settings), watched, logs)
    tell("postgres and broker answer")
    wait(ksqldb, lambda: ksqldb_probe(settings), watched, logs)
    tell("ksqldb answers")


def _application(
    settings: Settings, parts: dict[str, Part], supervisor: Supervisor, wanted: Wanted, tell: Tell
) -> None:
    """The consumer and the generator stream; both import while they are waited for side by side."""
    logs = settings.state_path / "logs"
    names = ["consumer", *(["generator"] if wanted.generator else [])]
    for name in names:
        supervisor.start(name)
    wait(parts["consumer"], lambda: consumer_probe(settings), supervisor, logs)
    for name in names:
        wait(parts[name], lambda name=name: running_probe(supervisor, name), supervisor, logs)  # type: ignore[misc]
    tell(" and ".join(names) + (" run" if len(names) > 1 else " runs"))


def _lay_out(settings: Settings, tell: Tell) -> None:
    """The schema, the topics and the SQL: each makes what is missing and leaves what is there."""
    engine = make_engine(settings)
    try:
        apply_schema(engine)
    except Exception as error:
        raise StackError(f"the database schema cannot be laid: {error_message(error)}") from None
    finally:
        engine.dispose()
    ensure_topics(settings)
    outcomes = deploy(Server(settings.ksqldb_url), [QUERIES])
    counts: dict[str, int] = {}
    for outcome in outcomes:
        counts[outcome.status] = counts.get(outcome.status, 0) + 1
    tell("SQL: " + ", ".join(f"{count} {status}" for status, count in counts.items()))
    if counts.get("different"):
        names = ", ".join(outcome.item.name for outcome in outcomes if outcome.status == "different")
        tell(f"{names}: another version runs; `streamguard deploy --replace` brings the file's")


def _compose_up(tell: Tell) -> None:
    if shutil.which("docker") is None:
        raise StackError("docker is not installed; ./start.sh without --docker runs everything without it")
    if subprocess.run(["docker", "info"], capture_output=True).returncode != 0:
        raise StackError("no Docker daemon answers; ./start.sh without --docker runs everything without it")
    tell("docker compose up")
    done = subprocess.run(["docker", "compose", "up", "--detach", "--wait"], cwd=PROJECT_ROOT)
    if done.returncode != 0:
        raise StackError("docker compose could not bring the cluster up; its words are above")


def first_alerts(settings: Settings, count: int, patience_s: float) -> list[tuple[Any, ...]]:
    """The newest alerts, waiting for a first one up to `patience_s`; empty when none came."""
    engine: Engine = make_engine(settings)
    statement = (
        "SELECT rule, account_id, amount, tx_count, outcome, detected_at FROM fraud_alerts"
        " ORDER BY created_at DESC LIMIT %s"
    )
    deadline = time.monotonic() + patience_s
    try:
        while True:
            with engine.connect() as connection:
                cursor = connection.connection.cursor()
                cursor.execute(statement, (count,))
                rows = list(cursor.fetchall())
            if rows or time.monotonic() > deadline:
                return rows
            time.sleep(0.1)
    finally:
        engine.dispose()

"""The one list of the stack's processes: what each runs, where it listens, and the variable that moves it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from streamguard.config import Settings, variable_of

_PYTHON = (sys.executable, "-I", "-u")
"""Isolated: no module of the current folder, of PYTHONPATH or of the person's own site-packages is taken for one of ours."""


@dataclass(frozen=True)
class Part:
    """One supervised process."""

    name: str
    command: tuple[str, ...]
    priority: int
    """Started in this order, stopped in the reverse."""
    host: str | None = None
    port: int | None = None
    variable: str | None = None
    """The environment variable that moves `port`."""
    reached_by: str = ""
    """What a person types or opens to reach it."""
    stop_signal: str = "TERM"
    environment: tuple[tuple[str, str], ...] = ()


def embedded_parts(settings: Settings) -> list[Part]:
    """Postgres, the broker and the SQL engine on this machine."""
    state = settings.state_path
    kafka = urlsplit("//" + settings.kafka_bootstrap_servers.split(",")[0])
    ksqldb = urlsplit(settings.ksqldb_url)
    database = settings.database
    kafka_listen = f"{kafka.hostname}:{kafka.port}"
    ksqldb_port = ksqldb.port or 8088
    python = _PYTHON
    return [
        Part(
            "postgres",
            (*_cli("postgres"), "--data-dir", str(state / "postgres")),
            10,
            *(
                database.host,
                database.port,
                _variable_that_moves(settings, "database_url", "postgres_port", database.host, database.port),
            ),
            f"postgresql://{database.user}@{database.host}:{database.port}/{database.name}",
            "INT",
        ),
        Part(
            "broker",
            (*python, "-m", "streamguard_broker", "--data-dir", str(state / "broker"), "--listen", kafka_listen),
            20,
            *(
                kafka.hostname,
                kafka.port,
                _variable_that_moves(settings, "kafka_bootstrap_servers", "kafka_port", kafka.hostname, kafka.port),
            ),
            kafka_listen,
        ),
        Part(
            "ksqldb",
            (
                *(*python, "-m", "streamguard_ksql.server", "--data-dir", str(state / "ksqldb")),
                *("--listen", f"{ksqldb.hostname}:{ksqldb_port}", "--service-id", "streamguard_"),
                *("--bootstrap-servers", settings.kafka_bootstrap_servers),
            ),
            30,
            *(
                ksqldb.hostname,
                ksqldb_port,
                _variable_that_moves(settings, "ksqldb_url", "ksqldb_port", ksqldb.hostname, ksqldb_port),
            ),
            settings.ksqldb_url,
        ),
    ]


def desk_url(settings: Settings) -> str:
    """Where a browser opens the desk."""
    if settings.desk_public_url:
        return settings.desk_public_url
    scheme = "https" if settings.desk_certificate else "http"
    return f"{scheme}://{settings.desk_host}:{settings.desk_port}"


def application_parts(settings: Settings, *, desk: bool, generator: bool) -> list[Part]:
    """What runs on either stack."""
    instance = (("STREAMGUARD_CONSUMER_INSTANCE", "stack"),)
    parts = [Part("consumer", _cli("consume"), 40, reached_by="streamguard logs consumer", environment=instance)]
    if desk:
        place = (settings.desk_host, settings.desk_port, variable_of("desk_port"), desk_url(settings))
        address = tuple((variable_of(name), str(getattr(settings, name))) for name in ("desk_host", "desk_port"))
        parts.append(Part("desk", _cli("desk"), 45, *place, environment=address))
    if generator:
        # The first alerts come within seconds of the start.
        begin = ("--begin-with", "high_amount", "--begin-with", "velocity_burst")
        command = (*_cli("generate"), "stream", "--tps", f"{settings.generator_tps:g}", *begin)
        parts.append(Part("generator", command, 50, reached_by="streamguard logs generator", stop_signal="INT"))
    return parts


def _cli(command: str) -> tuple[str, ...]:
    return (*_PYTHON, "-m", "streamguard.cli", command)


def _variable_that_moves(settings: Settings, address: str, port: str, host: str | None, actual: int | None) -> str:
    """The variable that sets the port in use: the port's own, or the address's where that was given."""
    made_from_port = host == "127.0.0.1" and getattr(settings, port) == actual
    return variable_of(port if made_from_port else address)


def by_name(parts: Sequence[Part]) -> dict[str, Part]:
    """The parts under their names."""
    return {part.name: part for part in parts}

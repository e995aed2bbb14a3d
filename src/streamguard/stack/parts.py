"""The one list of the stack's processes: what each runs, where it listens, and the variable that moves it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from streamguard.config import Settings, variable_of
from streamguard.metrics.targets import port_of, targets_folder
from streamguard.schedules.plan import has_jobs
from streamguard.stack.ksqldb_config import config_file

USERS_FILE = "users.properties"
"""In the folder of the first SQL engine; all have these users."""
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


NAMES = {"postgres": "Postgres", "broker": "Kafka", "ksqldb": "ksqlDB"}
"""The parts that may be somebody else's, as people call those."""


def embedded_parts(settings: Settings, engines: int = 1) -> list[Part]:
    """Postgres, the broker and the SQL engines on this machine, but for those whose address was given."""
    parts = [_postgres(settings), _broker(settings), *engine_parts(settings, engines)]
    return [part for part in parts if part.name not in settings.external]


def engine_parts(settings: Settings, number: int) -> list[Part]:
    """So many engines that share the rules: `ksqldb` at the address of the settings, `ksqldb-2` and so on at ports that the
    system gives them."""
    first = _ksqldb(settings)
    if number == 1:
        return [first]
    return [
        replace(first, command=(*first.command, "--share-as", "engine-1")),
        *(_further_engine(settings, first, member) for member in range(2, number + 1)),
    ]


def _further_engine(settings: Settings, first: Part, member: int) -> Part:
    name, words = f"ksqldb-{member}", list(first.command)
    mine = {
        "--data-dir": str(engine_folder(settings, name)),
        "--listen": f"{first.host}:0",
        "--metrics": "127.0.0.1:0",
        "--metrics-file": str(targets_folder(settings) / f"{name}.json"),
    }
    for option, value in mine.items():
        if option in words:
            words[words.index(option) + 1] = value
    words += ["--share-as", f"engine-{member}"]
    return Part(name, tuple(words), first.priority, reached_by=f"streamguard logs {name}")


def _postgres(settings: Settings) -> Part:
    address = settings.database
    return Part(
        "postgres",
        (*_cli("postgres"), "--data-dir", str(settings.state_path / "postgres")),
        10,
        *("127.0.0.1", settings.postgres_port, variable_of("postgres_port")),
        f"postgresql://{address.user}@{address.host}:{address.port}/{address.name}",
        "INT",
    )


def _broker(settings: Settings) -> Part:
    host = f"[{settings.kafka_host}]" if ":" in settings.kafka_host else settings.kafka_host
    command = [*_PYTHON, "-m", "streamguard_broker", "--data-dir", str(settings.state_path / "broker")]
    command += ["--listen", f"{host}:{settings.kafka_port}"]
    if settings.kafka_advertise:
        command += ["--advertise", settings.kafka_advertise]
    if settings.kafka.security.login:
        command.append("--sasl")
    if settings.kafka.security.tls and settings.kafka_certificate is not None:
        command += ["--tls-certificate", str(settings.kafka_certificate.absolute())]
        command += ["--tls-key", str((settings.kafka_key or settings.kafka_certificate).absolute())]
    command += _metrics(settings, "broker")
    command += ["--log-format", settings.log_format] if settings.log_format != "text" else []
    place = (settings.kafka_host, settings.kafka_port, variable_of("kafka_port"))
    return Part("broker", tuple(command), 20, *place, settings.kafka_bootstrap_servers)


def _ksqldb(settings: Settings) -> Part:
    url = urlsplit(settings.ksqldb_url)
    port = url.port or settings.ksqldb_port
    command = [*_PYTHON, "-m", "streamguard_ksql.server", "--data-dir", str(engine_folder(settings))]
    command += ["--listen", f"{url.hostname}:{port}", "--service-id", "streamguard_"]
    command += ["--bootstrap-servers", settings.kafka_bootstrap_servers]
    if settings.kafka.security.protocol != "PLAINTEXT":
        command += ["--config-file", str(config_file(settings))]
    command += [*_secured_engine(settings), *_metrics(settings, "ksqldb")]
    command += ["--log-format", settings.log_format] if settings.log_format != "text" else []
    place = (url.hostname, port, variable_of("ksqldb_port"))
    return Part("ksqldb", tuple(command), 30, *place, settings.ksqldb_url)


def _metrics(settings: Settings, name: str) -> list[str]:
    """Where the broker or the SQL engine shows its figures, and the file that it tells so."""
    if settings.metrics_port == "off":
        return []
    file = targets_folder(settings) / f"{name}.json"
    return ["--metrics", f"127.0.0.1:{port_of(settings, name)}", "--metrics-file", str(file)]


def engine_folder(settings: Settings, name: str = "ksqldb") -> Path:
    """Where a SQL engine keeps what is not in Kafka, the first among it the users."""
    return settings.state_path / name


def _secured_engine(settings: Settings) -> list[str]:
    """The SQL engine's TLS, and that it asks for a login; its users are in a file (streamguard.stack.logins)."""
    given = {
        "ssl.certificate.location": settings.ksqldb_certificate and settings.ksqldb_certificate.absolute(),
        "ssl.key.location": settings.ksqldb_key and settings.ksqldb_key.absolute(),
        "authentication.method": "BASIC" if settings.ksqldb_username else None,
        "authentication.users.file": settings.ksqldb_username and engine_folder(settings).absolute() / USERS_FILE,
    }
    return [word for name, value in given.items() if value for word in ("--set", f"{name}={value}")]


def desk_url(settings: Settings) -> str:
    """Where a browser opens the desk."""
    if settings.desk_public_url:
        return settings.desk_public_url
    scheme = "https" if settings.desk_certificate else "http"
    return f"{scheme}://{settings.desk_host}:{settings.desk_port}"


def sink_part(name: str) -> str:
    """The part that is a sink."""
    return f"sink-{name}"


def consumer_parts(number: int) -> list[Part]:
    """So many members of the consumer group: `consumer`, `consumer-2` and so on."""
    parts = []
    for suffix in ("", *(f"-{member}" for member in range(2, number + 1))):
        name, instance = f"consumer{suffix}", (("STREAMGUARD_CONSUMER_INSTANCE", f"stack{suffix}"),)
        parts.append(Part(name, _cli("consume"), 40, reached_by=f"streamguard logs {name}", environment=instance))
    return parts


def application_parts(
    settings: Settings, *, desk: bool, generator: bool, sinks: Sequence[str] = (), consumers: int = 1
) -> list[Part]:
    """What runs on either stack."""
    parts = consumer_parts(consumers)
    if desk:
        place = (settings.desk_host, settings.desk_port, variable_of("desk_port"), desk_url(settings))
        address = tuple((variable_of(name), str(getattr(settings, name))) for name in ("desk_host", "desk_port"))
        parts.append(Part("desk", _cli("desk"), 45, *place, environment=address))
    if generator:
        # The first alerts come within seconds of the start.
        begin = ("--begin-with", "high_amount", "--begin-with", "velocity_burst")
        command = (*_cli("generate"), "stream", "--tps", f"{settings.generator_tps:g}", *begin)
        parts.append(Part("generator", command, 50, reached_by="streamguard logs generator", stop_signal="INT"))
    for name in sinks:
        part = sink_part(name)
        parts.append(Part(part, (*_cli("sink"), name), 55, reached_by=f"streamguard logs {part}"))
    if has_jobs(settings):
        parts.append(Part("schedule", (*_cli("schedule"), "run"), 58, reached_by="streamguard schedule list"))
    if settings.metrics_port != "off":
        parts.append(Part("monitor", _cli("monitor"), 60, reached_by="streamguard logs monitor"))
    return parts


def _cli(command: str) -> tuple[str, ...]:
    return (*_PYTHON, "-m", "streamguard.cli", command)


def by_name(parts: Sequence[Part]) -> dict[str, Part]:
    """The parts under their names."""
    return {part.name: part for part in parts}

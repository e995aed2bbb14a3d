"""supervisord's configuration is what supervisord reads: odd characters survive, secrets are the owner's alone."""

from __future__ import annotations

import shlex
import socket
from configparser import RawConfigParser
from pathlib import Path

from streamguard.config import Settings, load_settings
from streamguard.stack import ports
from streamguard.stack.conf import render, socket_file, write
from streamguard.stack.parts import Part, application_parts, embedded_parts


def _settings(state: Path, **more: object) -> Settings:
    return load_settings(state_dir=state, **more)


def test_every_part_is_a_program_with_its_environment(tmp_path: Path) -> None:
    settings = _settings(tmp_path / "a b", postgres_password='p%a"s s', postgres_port=15000)
    parts = [*embedded_parts(settings), *application_parts(settings, desk=True, generator=True)]
    parser = RawConfigParser(inline_comment_prefixes=(" ;",))
    parser.read_string(render(settings, parts))
    names = [name.split(":")[1] for name in parser.sections() if name.startswith("program:")]
    assert names == ["postgres", "broker", "ksqldb", "consumer", "desk", "generator"]
    command = shlex.split(parser["program:postgres"]["command"].replace("%%", "%"))
    assert command[-1] == str(tmp_path / "a b" / "postgres")
    environment = parser["program:consumer"]["environment"].replace("%%", "%")
    assert 'DATABASE_URL="postgresql+psycopg2://streamguard:p%25a%22s%20s@127.0.0.1:15000/streamguard"' in environment


def test_the_file_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    file = write(_settings(tmp_path), [])
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_long_path_gets_a_short_socket(tmp_path: Path) -> None:
    assert len(str(socket_file(_settings(tmp_path / ("x" * 100))))) < 100


def test_a_taken_port_is_named_with_the_variable_that_moves_it(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        [said] = ports.conflicts(embedded_parts(_settings(tmp_path, kafka_port=port, ksqldb_port=1, postgres_port=2)))[
            :1
        ]
        assert said == f"port {port} is in use, broker needs it: stop what uses it, or set STREAMGUARD_KAFKA_PORT"


def test_a_host_that_is_not_here_is_a_sentence() -> None:
    [said] = ports.conflicts([Part("broker", (), 1, "192.0.2.1", 9092, "KAFKA_BOOTSTRAP_SERVERS")])
    assert said.startswith("broker cannot listen on 192.0.2.1:9092 (KAFKA_BOOTSTRAP_SERVERS)")

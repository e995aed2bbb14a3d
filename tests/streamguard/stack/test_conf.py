"""supervisord's configuration is what supervisord reads: odd characters survive, secrets are the owner's alone."""

from __future__ import annotations

import json
import os
import shlex
import socket
from pathlib import Path

import pytest
from supervisor.options import ServerOptions

from streamguard.config import Settings, load_settings
from streamguard.stack import ports
from streamguard.stack.conf import SOCKET_VARIABLE, pid_file, socket_file, socket_within_reach, write
from streamguard.stack.parts import Part, application_parts, embedded_parts


def _settings(state: Path, **more: object) -> Settings:
    return load_settings(state_dir=state, **more)


ODD = """50% "off" 'x' $HOME ;a #b \\ ü%(here)s"""
"""A folder with everything that supervisord, its shell words or ours take for something else."""


def test_supervisord_reads_every_part_as_it_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ODD).mkdir()
    monkeypatch.chdir(tmp_path / ODD)
    settings = _settings(Path(ODD), postgres_password=ODD, postgres_port=15000)
    parts = [*embedded_parts(settings), *application_parts(settings, desk=True, generator=True)]
    monkeypatch.setenv(SOCKET_VARIABLE, str(socket_file(settings)))
    options = ServerOptions()
    options.realize(["-n", "-c", str(write(settings, parts))])
    folder = tmp_path / ODD / ODD
    assert options.logfile == str(folder / "logs" / "supervisord.log")
    assert options.pidfile == str(pid_file(settings)) == str(folder / "supervisord.pid")
    programs = {group.name: group.process_configs[0] for group in options.process_group_configs}
    assert [*programs] == ["postgres", "broker", "ksqldb", "consumer", "desk", "generator", "monitor"]
    command = shlex.split(programs["postgres"].command)
    assert command[-1] == str(folder / "postgres")
    assert programs["postgres"].stdout_logfile == str(folder / "logs" / "postgres.log")
    kept = [(one.stdout_logfile_maxbytes, one.stdout_logfile_backups, one.redirect_stderr) for one in programs.values()]
    assert kept == [(10 * 1024**2, 3, True)] * len(programs), "every log is turned over"
    given = json.loads(Path(command[command.index("INT") + 1]).read_text())
    assert given["directory"] == str(tmp_path / ODD)
    assert load_settings(database_url=given["environment"]["DATABASE_URL"]).database.password == ODD


def test_each_part_has_its_port_for_metrics_and_none_where_they_are_off(tmp_path: Path) -> None:
    commands = {part.name: part.command for part in embedded_parts(_settings(tmp_path, metrics_port=9108))}
    for name, port in (("broker", 9108), ("ksqldb", 9109)):
        file = str(tmp_path / "metrics" / f"{name}.json")
        assert commands[name][-4:] == ("--metrics", f"127.0.0.1:{port}", "--metrics-file", file)
    off = _settings(tmp_path, metrics_port="off")
    parts = [*embedded_parts(off), *application_parts(off, desk=True, generator=True)]
    assert "monitor" not in [part.name for part in parts]
    assert not [part for part in parts if "--metrics" in part.command]


def test_the_file_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    settings = _settings(tmp_path, postgres_password="s3cret")
    file = write(settings, embedded_parts(settings))
    assert "s3cret" not in file.read_text()
    private = [file, *(tmp_path / "run").glob("*.json")]
    assert {path.stat().st_mode & 0o777 for path in private} == {0o600} and len(private) == 4


@pytest.mark.parametrize("name", ["x" * 200, "é" * 90])
def test_a_long_path_has_its_socket_within_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    long = _settings(tmp_path / name)
    long.state_path.mkdir(parents=True)
    monkeypatch.setenv("TMPDIR", str(long.state_path))
    with socket_within_reach(long) as path:
        assert len(os.fsencode(path)) < 90
        Path(path).touch()
        assert socket_file(long).exists()
    assert not Path(path).parent.is_symlink()


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


def test_every_part_is_told_the_format_of_its_log(tmp_path: Path) -> None:
    settings = _settings(tmp_path, log_format="json")
    told = {part.name: "--log-format json" in " ".join(part.command) for part in embedded_parts(settings)}
    assert told == {"postgres": False, "broker": True, "ksqldb": True}

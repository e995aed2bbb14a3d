"""`streamguard up` where it cannot work: one sentence, a non-zero exit code, and nothing half made."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from streamguard.config import load_settings
from streamguard.config.resources import sql_file
from streamguard.stack import conf, state
from streamguard.stack.errors import StackError
from streamguard.stack.supervisor import Supervisor
from tests.support.broker import free_port
from tests.support.project import PROJECT_ROOT

PORTS = tuple(f"STREAMGUARD_{name}_PORT" for name in ("KAFKA", "KSQLDB", "POSTGRES", "DESK"))


def up(folder: Path, **environment: str) -> str:
    """What a failing `streamguard up` in a folder says on stderr: a single line."""
    done = subprocess.run(
        [sys.executable, "-m", "streamguard.cli", "up", "--no-generator"],
        cwd=folder,
        env={**os.environ, **{name: str(free_port()) for name in PORTS}, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode in (1, 2), done.stdout + done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    shut = tmp_path / "shut"
    shut.mkdir(mode=0o555)
    # Permissions do not stop root; nobody can make a folder in /proc.
    folder = Path("/proc") if os.geteuid() == 0 else shut
    said = up(folder)
    assert f"{folder}/.streamguard" in said and "STREAMGUARD_STATE_DIR" in said
    assert not list(shut.iterdir())
    with pytest.raises(StackError, match="cannot be made"):
        state.make(load_settings(state_dir=folder / ".streamguard"))


def test_a_state_folder_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = up(tmp_path, STREAMGUARD_STATE_DIR="file/state")
    assert f"the state folder {tmp_path}/file/state cannot be written to" in said


def test_a_broken_sql_file_is_found_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "ksqldb").mkdir()
    (tmp_path / "ksqldb" / "queries.sql").write_text("CREATE STREAM x AS\n  SELEC nothing FROM transactions;\n")
    assert up(tmp_path).startswith("streamguard: ksqldb/queries.sql: line 2")
    assert not (tmp_path / ".streamguard").exists()


@pytest.mark.integration
def test_sql_that_the_server_refuses_leaves_no_process(tmp_path: Path) -> None:
    (tmp_path / "ksqldb").mkdir()
    good = sql_file("queries.sql").read_text()
    (tmp_path / "ksqldb" / "queries.sql").write_text(good + "\nCREATE STREAM x AS SELECT nothing FROM transactions;\n")
    said = up(tmp_path)
    assert said.startswith("streamguard: ksqldb/queries.sql:") and "NOTHING" in said
    assert not Supervisor(load_settings(state_dir=tmp_path / ".streamguard")).alive()


def test_a_state_folder_of_a_newer_version(tmp_path: Path) -> None:
    (tmp_path / ".streamguard").mkdir()
    (tmp_path / ".streamguard" / "version").write_text("99\nstreamguard 9.9.9\n")
    assert "has format 99, written by streamguard 9.9.9; this version reads up to 1: install" in up(tmp_path)
    (tmp_path / ".streamguard" / "version").write_text("?")
    assert "has '?' instead of a format number" in up(tmp_path)
    assert [path.name for path in (tmp_path / ".streamguard").iterdir()] == ["version"]


def test_a_made_state_folder_is_accepted_again(tmp_path: Path) -> None:
    settings = load_settings(state_dir=tmp_path / "state")
    state.check(settings)
    assert not settings.state_path.exists()
    state.make(settings)
    state.check(settings)


def test_a_taken_port_leaves_no_state_folder(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        said = up(tmp_path, STREAMGUARD_KAFKA_PORT=str(taken.getsockname()[1]))
    assert "is in use, broker needs it" in said
    assert not (tmp_path / ".streamguard").exists()


def test_two_parts_on_one_port(tmp_path: Path) -> None:
    port = str(free_port())
    said = up(tmp_path, STREAMGUARD_KAFKA_PORT=port, STREAMGUARD_KSQLDB_PORT=port)
    assert f"broker and ksqldb cannot both have port {port}: set STREAMGUARD_KAFKA_PORT or STREAMGUARD_KSQLDB" in said
    assert not (tmp_path / ".streamguard").exists()


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("-n 64", "a process may open 64 files here, 1,024 are needed: raise the limit (`ulimit -n 4096`)"),
        ("-u 60", "a user may have 60 processes here, 200 are needed: raise the limit (`ulimit -u 4096`)"),
    ],
)
def test_limits_that_are_too_low(tmp_path: Path, limit: str, said: str) -> None:
    command = ["bash", "-c", f'ulimit {limit} && exec "$@"', "bash", sys.executable, "-m", "streamguard.cli", "up"]
    done = subprocess.run(command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert said in done.stderr
    assert not (tmp_path / ".streamguard").exists()


def test_a_user_without_a_name_is_told_so_where_postgres_is_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 54_321)
    with pytest.raises(StackError, match="user 54321 has no name on this machine, which the embedded Postgres needs"):
        state.check(load_settings(state_dir=tmp_path))
    state.check(load_settings(state_dir=tmp_path, database_url="postgresql://u:p@db.example/x"))


@pytest.mark.parametrize(
    ("taken", "said"),
    [
        ("logs/supervisord.log", "supervisord did not start: IsADirectoryError"),
        ("run/broker.json", "run/broker.json cannot be written (Is a directory)"),
    ],
)
def test_a_supervisor_that_cannot_start(tmp_path: Path, taken: str, said: str) -> None:
    (tmp_path / ".streamguard" / taken).mkdir(parents=True)
    assert said in up(tmp_path)
    assert not Supervisor(load_settings(state_dir=tmp_path / ".streamguard")).alive()


@pytest.mark.parametrize(
    ("name", "later"), [("a", "moved"), ("long" * 30, "moved"), ("a", "moved" * 30), ("long" * 30, "moved" * 30)]
)
def test_a_folder_that_was_moved_under_what_runs_in_it(tmp_path: Path, name: str, later: str) -> None:
    before, moved = (load_settings(state_dir=tmp_path / folder) for folder in (name, later))
    conf.write(before, [])
    Supervisor(before).launch()
    try:
        before.state_path.rename(moved.state_path)
        with pytest.raises(
            StackError, match=r"was started before its folder came to .*/(moved)+: stop it .*, then start"
        ):
            Supervisor(moved).reread()
    finally:
        Supervisor(moved).shutdown()


def test_a_folder_with_a_line_break(tmp_path: Path) -> None:
    (tmp_path / "a\nb").mkdir()
    assert r"a\nb/.streamguard has a control character in its path" in up(tmp_path / "a\nb")


def test_a_wrong_limit_of_the_rules_is_reported_at_once(tmp_path: Path) -> None:
    assert "STREAMGUARD_RULES_NIGHT_FROM_HOUR: " in up(tmp_path, STREAMGUARD_RULES_NIGHT_FROM_HOUR="25")
    assert not (tmp_path / ".streamguard").exists()


def test_a_python_that_is_too_old(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    (clone / "scripts").mkdir(parents=True)
    for name in ("start.sh", "scripts/venv.sh", "pyproject.toml", "requirements.lock", "requirements-dev.lock"):
        shutil.copy(PROJECT_ROOT / name, clone / name)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("bash", "dirname", "cksum", "grep", "cat"):
        (programs / name).symlink_to(str(shutil.which(name)))
    for name in ("python", "python3", "python3.10", "python3.11", "python3.12", "python3.13", "python3.14"):
        (programs / name).write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2 && exit 0\nexit 1\n')
        (programs / name).chmod(0o755)
    done = subprocess.run(
        [clone / "start.sh"], env={"PATH": str(programs)}, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith("StreamGuard needs Python 3.10 or later") and "found: Python 3.9.2" in done.stderr
    assert done.stderr.count("\n") == 1 and not done.stdout
    assert not (clone / ".venv").exists()

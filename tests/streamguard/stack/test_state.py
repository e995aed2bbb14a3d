"""The state folder is its owner's alone, whatever the umask is and whoever made it; its password is made once."""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamguard.config import load_settings
from streamguard.config.password import PASSWORD_FILE
from streamguard.stack import conf, locks, passwords, state
from streamguard.stack.errors import StackError

STRANGER = 12_345
"""Somebody's user id."""


@pytest.fixture(autouse=True)
def _open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def open_to_others(folder: Path) -> list[str]:
    found = [folder, *folder.rglob("*")]
    return [str(path) for path in found if path.lstat().st_mode & 0o077 and not path.is_symlink()]


def test_a_new_folder_and_an_existing_one_are_closed_to_others(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    settings = load_settings(state_dir=folder)
    state.make(settings)
    assert open_to_others(folder) == []
    for name in ("broker/logs/t-0", "postgres/base", "run"):
        (folder / name).mkdir(parents=True)
    for name in ("broker/logs/t-0/0.log", "postgres/base/1", "consumer.log"):
        (folder / name).write_text("personal data")
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    state.make(settings)
    # Postgres's own folder may be another user's, and it insists on its modes itself.
    assert [path for path in open_to_others(folder) if "/postgres" not in path] == []
    assert stat.S_IMODE((folder / "broker/logs/t-0").stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "broker/logs/t-0/0.log").stat().st_mode) == 0o600


def test_what_a_start_writes_is_closed_to_others(tmp_path: Path) -> None:
    settings = load_settings(state_dir=tmp_path / "state")
    state.make(settings)
    with locks.command(settings, print):
        conf.write(passwords.keep(settings), [])
    assert open_to_others(tmp_path / "state") == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_another_user_reads_nothing() -> None:
    # The folder of pytest itself is shut to others, so that this would say nothing there.
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        settings = load_settings(state_dir=Path(place) / "state")
        state.make(settings)
        secret = passwords.keep(settings).database.password
        command = ["cat", str(settings.state_path / PASSWORD_FILE)]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == secret + "\n"
        refused = subprocess.run(
            command, capture_output=True, text=True, user=STRANGER, group=STRANGER, extra_groups=[]
        )
        assert refused.returncode != 0 and "Permission denied" in refused.stderr


def test_a_password_is_made_for_a_new_database_alone(tmp_path: Path) -> None:
    settings = load_settings(state_dir=tmp_path)
    made = passwords.keep(settings)
    assert len(made.database.password) == 32 and made.database.password in made.database_url
    assert passwords.keep(settings).database_url == load_settings(state_dir=tmp_path).database_url
    assert passwords.keep(load_settings(state_dir=tmp_path)).database.password == made.database.password
    given = load_settings(state_dir=tmp_path, postgres_password="given")
    assert passwords.keep(given) is given
    old = tmp_path / "old"
    (old / "postgres").mkdir(parents=True)
    before = load_settings(state_dir=old)
    assert passwords.keep(before) is before and not (old / PASSWORD_FILE).exists()


def test_a_restore_that_was_cut_off_keeps_a_start_from_what_it_left(tmp_path: Path) -> None:
    settings = load_settings(state_dir=tmp_path)
    state.restore_folder(settings).mkdir()
    with pytest.raises(StackError, match="repeat `streamguard restore FILE`"):
        state.check(settings)
    state.check(settings, restoring=True)

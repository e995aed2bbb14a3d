"""`streamguard init`: copies to edit, never over what is there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from streamguard.config.resources import packaged_sql


def init(folder: Path, *options: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "streamguard.cli", "init", *options], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def test_copies_are_written_and_kept_unless_forced(tmp_path: Path) -> None:
    said = init(tmp_path)
    for source in packaged_sql():
        assert (tmp_path / "ksqldb" / source.name).read_bytes() == source.read_bytes()
        assert f"written  ksqldb/{source.name}" in said
    edited = tmp_path / "ksqldb" / "queries.sql"
    edited.write_text("-- mine")
    said = init(tmp_path)
    assert "kept     ksqldb/queries.sql" in said and "written" not in said
    assert edited.read_text() == "-- mine"
    assert "kept" not in init(tmp_path, "--force")
    assert "-- mine" not in edited.read_text()


def test_a_folder_that_cannot_be_written_to_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "ksqldb").write_text("a file")
    said = init(tmp_path, code=1)
    assert said == f"streamguard: the SQL cannot be written into {tmp_path / 'ksqldb'}: File exists\n"

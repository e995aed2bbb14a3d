"""The files that ship with the package, and which of two SQL files is used."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamguard.config import resources
from tests.support.project import PROJECT_ROOT


def test_the_packaged_files_are_the_ones_at_the_top_level() -> None:
    for path in ("docker-compose.yaml", "docker/init-db.sql", "ksqldb"):
        assert (resources.DATA / path).resolve() == PROJECT_ROOT / path
    assert resources.schema_file().is_file() and resources.compose_file().is_file()
    assert "br" in resources.profiles()
    assert {file.name for file in resources.packaged_sql()} == {
        file.name for file in (PROJECT_ROOT / "ksqldb").iterdir() if file.is_file()
    }


def test_a_file_of_the_current_folder_is_used_instead_of_the_packaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    packaged = resources.DATA / "ksqldb" / "queries.sql"
    for name in ("queries.sql", "ksqldb/queries.sql"):
        assert resources.sql_file(name) == packaged
    (tmp_path / "ksqldb").mkdir()
    (tmp_path / "ksqldb" / "queries.sql").write_text("-- mine")
    for name in ("queries.sql", "ksqldb/queries.sql"):
        assert resources.sql_file(name).read_text() == "-- mine"
    assert resources.sql_file("ksqldb/blacklist.sql") == resources.DATA / "ksqldb" / "blacklist.sql"


@pytest.mark.parametrize("name", ["elsewhere/queries.sql", "/queries.sql", "none.sql"])
def test_any_other_path_is_taken_as_it_is(name: str) -> None:
    assert resources.sql_file(name) == Path(name)

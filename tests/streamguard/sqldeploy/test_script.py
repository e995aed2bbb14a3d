"""SQL files: cut, filled in, refused with file, line and column."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamguard.sqldeploy import DeployError
from streamguard.sqldeploy.script import read
from tests.support.project import PROJECT_ROOT


def _read(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "f.sql"
    file.write_text(text)
    return [f"{item.line} {item.kind} {item.name}" for item in read(file)]


def test_the_projects_files_can_be_read() -> None:
    for file in sorted((PROJECT_ROOT / "ksqldb").glob("*.sql")):
        if file.stem.endswith("-values"):
            continue  # rows, not definitions: for the shell
        assert read(file), file


def test_variables_count_from_their_definition_on(tmp_path: Path) -> None:
    text = "DEFINE n = '1';\nCREATE STREAM a AS SELECT * FROM s WHERE x > ${n};\nDEFINE n = '2';\n"
    text += "INSERT INTO a WITH (QUERY_ID='q') SELECT * FROM s WHERE x > ${n} AND y = ';--';"
    file = tmp_path / "f.sql"
    file.write_text(text)
    assert [item.variables for item in read(file)] == [{"n": "1"}, {"n": "2"}]
    assert _read(tmp_path, text) == ["2 stream A", "4 query Q"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("CREATE STREAM a AS\n  SELEC * FROM s;", "f.sql: line 2:3"),
        ("CREATE STREAM a AS SELECT * FROM s WHERE x > ${n};", "f.sql:1: the variable n is not DEFINEd above"),
        ("\n\nINSERT INTO a SELECT * FROM s;", "f.sql:3: INSERT INTO needs WITH"),
        ("DROP STREAM a;", "f.sql:1: only CREATE, INSERT INTO"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(DeployError) as caught:
        _read(tmp_path, text)
    assert said in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="No such file"):
        read(tmp_path / "none.sql")

"""The files that ship with the package: SQL rules, schema, migrations, compose file, profiles.

All are below `streamguard/data`, which mirrors the top level of the project. SQL rules may be edited: a file in
`./ksqldb` of the current folder is used instead of the packaged file of the same name.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

DATA = Path(str(files("streamguard"))) / "data"
"""The packaged files. They are real files: the package is installed unpacked."""

SQL_FOLDER = Path("ksqldb")
"""Where edited SQL is looked for, below the current folder."""

SOURCES = "sources"
"""The folder in it for the SQL of foreign topics."""


def schema_file() -> Path:
    """The schema of a new database."""
    return DATA / "docker" / "init-db.sql"


def migrations() -> list[Path]:
    """The changes to the schema since, `NNNN_name.sql`, in the order in which they apply."""
    return sorted((DATA / "migrations").glob("[0-9]*_*.sql"))


def compose_file() -> Path:
    """The cluster stack for Docker Compose; its relative paths count from `DATA`."""
    return DATA / "docker-compose.yaml"


def profiles() -> dict[str, Path]:
    """The generator's profiles by name."""
    return {path.stem: path for path in sorted((DATA / "profiles").glob("*.yaml"))}


def packaged_sql() -> list[Path]:
    """Everything in the packaged SQL folder, by name."""
    return sorted(path for path in (DATA / SQL_FOLDER).iterdir() if path.is_file())


def values_file(file: Path) -> Path | None:
    """The rows that the tables of a SQL file begin with, `NAME-values.sql` beside it; None where it has none."""
    values = file.with_name(f"{file.stem}-values.sql")
    return values if values.exists() else None


def source_files() -> list[Path]:
    """The SQL of the foreign topics that `streamguard connect` has written below the current folder, by name."""
    return sorted((SQL_FOLDER / SOURCES).glob("*.sql"))


def sql_file(name: str | Path) -> Path:
    """The SQL file meant by `name`: a path as given, or, for what is not there, the packaged file of that name.

    `queries.sql` and `ksqldb/queries.sql` both mean `./ksqldb/queries.sql` first and the packaged file second. Any other
    path is returned as it is, whether it exists or not.
    """
    given = Path(name)
    if given.exists() or given.parent not in (Path(), SQL_FOLDER):
        return given
    for folder in (SQL_FOLDER, DATA / SQL_FOLDER):
        if (folder / given.name).exists():
            return folder / given.name
    return given

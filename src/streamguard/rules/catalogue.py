"""Every rule that there is: the SQL rules of `ksqldb/rules.yaml` and the registered Python rules, under the same fields."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from streamguard.config.errors import UserError
from streamguard.config.resources import sql_file
from streamguard.rules.base import REGISTRY, SEVERITIES

CATALOGUE_FILE = "rules.yaml"
SQL, PYTHON = "sql", "python"
ALL, CORE = "all", "core"
_CORE_FILE = "queries.sql"
_WITHOUT_ALERTS = ("validation.sql",)
"""SQL that raises no alert, and is deployed with the rules."""


class CatalogueError(UserError):
    """`ksqldb/rules.yaml` cannot be used."""


@dataclass(frozen=True)
class Rule:
    """One rule. `query_id` is None for a Python rule; `file` is a SQL file of `ksqldb`, or a module."""

    kind: str
    name: str
    version: int
    file: str
    query_id: str | None
    finds: str
    limits: tuple[str, ...]
    """DEFINEs of the SQL file, or fields of `RuleLimits`."""
    severity: str
    points: int | None = None
    """What the hit of a SQL rule is worth by itself; None for `RuleLimits.base_score`, and for Python rules."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    version: int = Field(ge=1)
    file: str
    finds: str
    limits: tuple[str, ...] = ()
    severity: str = Field(pattern="|".join(SEVERITIES))
    points: int | None = Field(None, ge=0, le=100)


_ENTRIES = TypeAdapter(dict[str, _Entry])


def sql_rules() -> list[Rule]:
    """The SQL rules, in the order of the catalogue's file. Raises CatalogueError."""
    path = sql_file(CATALOGUE_FILE)
    try:
        entries = _ENTRIES.validate_python(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError) as error:
        raise CatalogueError(f"{path}: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise CatalogueError(f"{path}: {place}: {first['msg']}") from None
    return [
        Rule(SQL, e.name, e.version, e.file, query_id, e.finds, e.limits, e.severity, e.points)
        for query_id, e in entries.items()
    ]


def base_points() -> dict[str, int]:
    """What the hit of each SQL rule is worth by itself, by its name, where the catalogue says so. Raises CatalogueError."""
    return {rule.name: rule.points for rule in sql_rules() if rule.points is not None}


def sql_files(which: str = ALL) -> list[Path]:
    """The SQL files of the whole catalogue, or of the two core rules, in the order in which they are deployed.

    Raises CatalogueError.
    """
    names = [_CORE_FILE]
    if which == ALL:
        names += [*(rule.file for rule in sql_rules()), *_WITHOUT_ALERTS]
    return [sql_file(name) for name in dict.fromkeys(names)]


def python_rules() -> list[Rule]:
    """The Python rules, in the order of their registration."""
    return [Rule(PYTHON, r.name, r.version, r.file, None, r.finds, r.limits, r.severity) for r in REGISTRY.values()]


def catalogue() -> list[Rule]:
    """All rules. Raises CatalogueError."""
    return [*sql_rules(), *python_rules()]

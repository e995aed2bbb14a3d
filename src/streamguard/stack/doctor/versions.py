"""Versions: Python, the packages that the program declares, and the servers."""

from __future__ import annotations

import operator
import re
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, requires, version

from sqlalchemy import text

from streamguard.stack.doctor.base import DATABASE, ENGINE, Finding, Surroundings, check

LEAST_POSTGRES = 15
KSQLDB = "0.29"
_COMPARE = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
_REQUIREMENT = re.compile(r"([\w.-]+)\s*(?:\[[^\]]*\])?\s*\(?([^;)]*)\)?\s*(?:;(.*))?")
_REINSTALL = "`pip install --force-reinstall streamguard`, or in the project `rm -r .venv` and `./start.sh`"


@check("Versions of packages")
def packages(around: Surroundings) -> Iterator[Finding]:
    """What is installed against what the distribution asks for (https://packaging.python.org/en/latest/specifications/)."""
    wanted = metadata("streamguard")["Requires-Python"] or ""
    if not _fits(sys.version.split()[0], wanted):
        yield Finding(
            f"this is Python {sys.version.split()[0]}, {wanted} is needed", "install streamguard with a newer one"
        )
    for line in requires("streamguard") or ():
        found = _REQUIREMENT.fullmatch(line.strip())
        if found is None or (found[3] and "extra" in found[3]):
            continue
        name, limits = found[1], found[2].strip()
        try:
            there = version(name)
        except PackageNotFoundError:
            yield Finding(f"the package {name} is not installed ({limits or 'any version'} is needed)", _REINSTALL)
            continue
        if not _fits(there, limits):
            yield Finding(f"the package {name} has version {there}, {limits} is needed", _REINSTALL)


def _fits(there: str, limits: str) -> bool:
    """Whether a version is within limits; only the numbers of a release are compared."""
    for limit in filter(None, (one.strip() for one in limits.split(","))):
        found = re.match(r"(>=|<=|==|!=|>|<)\s*([\d.]+)", limit)
        if found is not None and not _COMPARE[found[1]](*_same_length(_numbers(there), _numbers(found[2]))):
            return False
    return True


def _numbers(text: str) -> list[int]:
    found = re.match(r"\d+(\.\d+)*", text)
    return [int(one) for one in found[0].split(".")] if found else []


def _same_length(one: list[int], other: list[int]) -> tuple[list[int], list[int]]:
    size = max(len(one), len(other))
    return one + [0] * (size - len(one)), other + [0] * (size - len(other))


@check("Version of Postgres", DATABASE)
def postgres(around: Surroundings) -> Iterator[Finding]:
    """The oldest that the schema and its statements are tested with."""
    number = int(around.database.execute(text("SHOW server_version_num")).scalar_one())
    yield from of_postgres(number)


def of_postgres(number: int) -> Iterator[Finding]:
    """`number` as server_version_num has it: 150004 is 15.4."""
    if number // 10_000 < LEAST_POSTGRES:
        yield Finding(
            f"the database (DATABASE_URL) is Postgres {number // 10_000}, {LEAST_POSTGRES} or later is needed",
            "upgrade it, or leave DATABASE_URL out to have the embedded one",
        )


@check("Version of ksqlDB", ENGINE)
def ksqldb(around: Surroundings) -> Iterator[Finding]:
    """The rules are written for, and compared with, one version."""
    found = str(around.engine.info().get("version", "?"))
    if not re.match(rf"v?{re.escape(KSQLDB)}(\.|$)", found):
        yield Finding(
            f"the server at {around.settings.ksqldb_url} (KSQLDB_URL) is ksqlDB {found}; the SQL is for {KSQLDB}",
            f"use ksqlDB {KSQLDB}, or leave KSQLDB_URL out to have the embedded one",
        )

"""Every statement is registered, and a new one takes a module and a rule of the grammar."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import streamguard_ksql
from streamguard_ksql import ast
from streamguard_ksql.statements.registry import (
    Registry,
    applies,
    builds,
    changes_session,
    command_ids,
    executes,
    prints,
)
from streamguard_ksql.statements.sources import AssertSource

PACKAGE = Path(streamguard_ksql.__file__).parent
UNSUPPORTED = {"AlterSystem", "AssertValues"}
"""Parsed and printed; the server answers that they are not supported."""
QUERIES = {"QueryStatement", "PrintTopic"}
"""Served by /query."""

MODULE = '''
"""SHOW MOTTO."""

from __future__ import annotations

from dataclasses import dataclass

from streamguard_ksql import ast
from streamguard_ksql.server import entities
from streamguard_ksql.server.entities import Entity
from streamguard_ksql.server.execution import Context
from streamguard_ksql.statements.registry import builds, executes, prints


@builds("list_motto")
@dataclass(frozen=True)
class ListMotto(ast.Statement):
    """SHOW MOTTO."""


@prints(ListMotto)
def _(statement: ListMotto) -> str:
    return "LIST MOTTO"


@executes(ListMotto)
def _list_motto(statement: ListMotto, context: Context) -> list[Entity]:
    return [entities.entity("motto", statement.text, motto="festina lente")]
'''
USE = """
from streamguard_ksql.formatter import format_statement
from streamguard_ksql.server.session import Session
from streamguard_ksql.server.execution import execute

prepared = Session().prepare("SHOW MOTTO;")
print(format_statement(prepared[0].statement))
print(execute(prepared, None)[0]["motto"])
"""


def statement_types() -> list[type[ast.Statement]]:
    prints.find(ast.Statement)  # loads the modules
    direct = [t for t in ast.Statement.__subclasses__() if t is not ast.Reading]
    return [*direct, *ast.Reading.__subclasses__()]


def test_every_statement_is_printed_and_executed() -> None:
    types = statement_types()
    assert AssertSource in types
    assert [t for t in types if prints.find(t) is None] == []
    idle = {t.__name__ for t in types if not (executes.find(t) or changes_session.find(t))}
    assert idle == UNSUPPORTED | QUERIES


def test_every_command_has_an_id() -> None:
    commands = {t for t in statement_types() if applies.find(t)} | {ast.Pause, ast.Resume}
    assert {t for t in statement_types() if command_ids.find(t)} == commands
    assert commands <= {t for t in statement_types() if executes.find(t)}


def test_two_functions_of_one_kind_are_refused() -> None:
    registry: Registry[str] = Registry("builder")
    registry("a", "b")(len)
    with pytest.raises(ValueError, match="b has two builders"):
        registry("b")(len)
    assert registry.find("a") is len and registry.find("c") is None
    assert builds.find("no_such_rule") is None


def test_a_statement_is_one_module_and_a_rule(tmp_path: Path) -> None:
    package = Path(shutil.copytree(PACKAGE, tmp_path / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__")))
    (package / "statements" / "motto.py").write_text(MODULE, encoding="utf-8")
    grammar = package / "grammar.lark"
    rules = grammar.read_text(encoding="utf-8")
    start = "listing: "
    assert rules.count(f"\n{start}") == 1
    grammar.write_text(rules.replace(f"\n{start}", f'\n{start}_show "MOTTO" -> list_motto\n | '), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", USE], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.stdout, done.stderr) == ("LIST MOTTO;\nfestina lente\n", "")

"""The DAG file of Airflow calls commands that there are; imported by Airflow itself where it is installed."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import shlex
import sys
from types import ModuleType
from typing import Any, ClassVar

import pytest
from typer.main import get_command

from streamguard.analytics.catalogue import JOBS, load_jobs
from streamguard.cli import COMMANDS
from tests.support.project import PROJECT_ROOT

FILE = PROJECT_ROOT / "ops" / "airflow" / "streamguard_dag.py"


def test_airflow_imports_it() -> None:
    models = pytest.importorskip("airflow.models", reason="Apache Airflow is not installed")
    bag = models.DagBag(str(FILE.parent), include_examples=False)
    assert not bag.import_errors
    assert sorted(bag.dags) == ["streamguard_analysis", "streamguard_upkeep"]
    assert all(len(dag.tasks) > 1 for dag in bag.dags.values())


class Task:
    """What the file says of a task; the order in which it makes them."""

    made: ClassVar[list[dict[str, Any]]] = []

    def __init__(self, **said: Any) -> None:
        Task.made.append(said)

    def __rshift__(self, other: Task) -> Task:
        return other


class Variable:
    """Nothing is set."""

    @staticmethod
    def get(name: str, default_var: str) -> str:
        return default_var


class Dag:
    """A context, as Airflow's is."""

    def __init__(self, name: str, **said: Any) -> None:
        pass

    def __enter__(self) -> Dag:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def test_its_commands_are_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run with the three names of Airflow that it uses: every command, option and job is one that there is."""
    ast.parse(FILE.read_text(encoding="utf-8"), feature_version=(3, 10))
    modules: dict[str, dict[str, Any]] = {"airflow": {"DAG": Dag}, "airflow.models": {"Variable": Variable}}
    modules |= {"airflow.operators": {}, "airflow.operators.bash": {"BashOperator": Task}, "airflow.providers": {}}
    for name, members in modules.items():
        module = ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(Task, "made", [])
    spec = importlib.util.spec_from_file_location("streamguard_dag", FILE)
    assert spec is not None and spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    load_jobs()
    assert sorted({task["task_id"] for task in Task.made} - {"quality", "retention"}) == sorted(JOBS)
    for task in Task.made:
        words = shlex.split(re.sub(r"\{\{.*?\}\}", "2026-01-01T00:00", task["bash_command"]))
        assert words[0] == "streamguard"
        module_name, attribute, _ = COMMANDS[words[1]]
        command = get_command(getattr(importlib.import_module(module_name), attribute))
        # Raises for what the command does not know.
        command.make_context(words[1], words[2:])

"""The alarms of ops/prometheus: by Prometheus' own tools, each with a case that fires, one that does not, and its section."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import pages
from tests.support.project import PROJECT_ROOT

RULES = PROJECT_ROOT / "ops" / "prometheus" / "alerts.yml"
CASES = sorted(Path(__file__).parent.glob("*_test.yml"))

promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool: apt-get install prometheus")


def load(file: Path) -> Any:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


ALARMS = [rule["alert"] for group in load(RULES)["groups"] for rule in group["rules"] if "alert" in rule]


def run(*arguments: str | Path) -> None:
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, cwd=PROJECT_ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@promtool
@pytest.mark.parametrize("name", ["prometheus.yml", "prometheus-compose.yml"])
def test_prometheus_takes_rules_and_configuration(name: str) -> None:
    run("check", "config", RULES.with_name(name))


@promtool
@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_the_cases_hold(file: Path) -> None:
    run("test", "rules", file)


def test_each_alarm_has_a_case_that_fires_and_one_that_does_not() -> None:
    tests = [one["alert_rule_test"][0] for file in CASES for one in load(file)["tests"]]
    fires = {test["alertname"] for test in tests if test["exp_alerts"]}
    silent = {test["alertname"] for test in tests if not test["exp_alerts"]}
    assert fires == silent == set(ALARMS)


def test_each_alarm_has_its_section_in_the_runbook() -> None:
    section = pages.read("docs/runbook.md").split("\n## Alarms\n")[1].split("\n## ")[0]
    assert re.findall(r"^### (.+)$", section, re.MULTILINE) == ALARMS

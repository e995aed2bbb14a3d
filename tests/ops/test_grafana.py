"""The dashboards of ops/grafana: what their description makes, of metrics that there are, with expressions that parse."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts import grafana_dashboards as source
from tests.ops.test_alarms import RULES, load
from tests.support import pages
from tests.support.project import PROJECT_ROOT

GRAFANA = PROJECT_ROOT / "ops" / "grafana"
FILES = sorted((GRAFANA / "dashboards").glob("*.json"))
RECORDED = {rule["record"] for group in load(RULES)["groups"] for rule in group["rules"] if "record" in rule}
DOCUMENTED = set(re.findall(r"^\| `((?:streamguard|kafka)_\w+)`", pages.read("docs/metrics.md"), re.MULTILINE))


def expressions(dashboard: Any) -> list[str]:
    """Of all panels, with a window in place of Grafana's own."""
    found = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return [expression.replace("$__rate_interval", "1m") for expression in found]


def test_the_files_are_what_the_description_makes() -> None:
    assert {file.stem for file in FILES} == set(source.DASHBOARDS)
    for file in FILES:
        assert file.read_text() == source.text(file.stem), "run `python scripts/grafana_dashboards.py`"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_panels_ask_for_metrics_that_there_are_and_have_no_text_of_their_own_place(file: Path) -> None:
    dashboard = json.loads(file.read_text())
    titles = [panel["title"] for panel in dashboard["panels"]]
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in dashboard["panels"]]
    assert len(set(titles)) == len(set(places)) == len(titles)
    for expression in expressions(dashboard):
        for name in re.findall(r"\b(?:streamguard|kafka)[\w:]+", expression):
            base = re.sub(r"_(bucket|sum|count)$", "", name)
            assert name in RECORDED | DOCUMENTED | {"streamguard"} or base in DOCUMENTED, name


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool: apt-get install prometheus")
def test_each_expression_is_parsed_by_prometheus(tmp_path: Path) -> None:
    found = [one for file in FILES for one in expressions(json.loads(file.read_text()))]
    rules = [{"record": f"dashboard:{number}", "expr": one} for number, one in enumerate(found)]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(found)} rules found" in done.stdout


def test_the_dashboards_ask_the_provisioned_source() -> None:
    [given] = load(GRAFANA / "provisioning" / "datasources" / "prometheus.yml")["datasources"]
    assert {"type": given["type"], "uid": given["uid"]} == source.DATASOURCE
    compose = load(PROJECT_ROOT / "docker-compose.yaml")["services"]["grafana"]["environment"]
    used = [given["url"], load(GRAFANA / "provisioning/dashboards/streamguard.yml")["providers"][0]["options"]["path"]]
    assert all(one.removeprefix("$") in compose for one in used)

"""`streamguard status` says where the metrics of a process are if they are not at its port, and if there are none."""

from __future__ import annotations

import json
from pathlib import Path

from streamguard.config import load_settings
from streamguard.metrics.targets import targets_folder
from streamguard.stack.health.base import Context
from streamguard.stack.health.processes import metrics
from streamguard.stack.supervisor import Process


def said(folder: Path, port: object, up_s: int = 3_600) -> list[str]:
    settings = load_settings(state_dir=folder, metrics_port=port)
    running = {name: Process(name, "RUNNING", 1, up_s, "") for name in ("broker", "consumer", "postgres")}
    found = list(metrics(Context(settings, processes=running)))
    assert not any(finding.serious for finding in found)
    return [finding.sentence for finding in found]


def test_elsewhere_missing_and_as_planned(tmp_path: Path) -> None:
    folder = targets_folder(load_settings(state_dir=tmp_path))
    folder.mkdir()
    (folder / "broker.json").write_text(json.dumps([{"targets": ["127.0.0.1:43210"], "labels": {"part": "broker"}}]))
    elsewhere = "the metrics of broker are at 127.0.0.1:43210: port 9108 was taken when it started"
    missing = "consumer shows no metrics: `streamguard logs consumer` says why"
    assert said(tmp_path, 9108) == [elsewhere, missing]
    assert said(tmp_path, 43210) == said(tmp_path, 0) == [missing]
    assert said(tmp_path, 9108, up_s=1) == said(tmp_path, "off") == []

"""Where the figures of a process are, and what stands there."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

import pytest
import requests
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from streamguard.config import Settings, load_settings
from streamguard.metrics.consumer import ConsumerMetrics
from streamguard.metrics.page import PORTS, Page, serve, targets_folder
from tests.support import pages
from tests.support.broker import free_port


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(state_dir=tmp_path, metrics_port=0)


def get(page: Page, path: str) -> requests.Response:
    return requests.get(f"http://127.0.0.1:{page.port}{path}", timeout=10)


def test_metrics_health_and_readiness(settings: Settings) -> None:
    reasons: list[str | None] = [None]
    metrics = ConsumerMetrics(["HIGH_AMOUNT"])
    page = serve(settings, "consumer", [metrics], lambda: reasons[0])
    try:
        metrics.stored(3, 1, [0], 1.0)
        shown = {family.name: family for family in text_string_to_metric_families(get(page, "/metrics").text)}
        stored = {s.labels["kind"]: s.value for s in shown["streamguard_consumer_records_stored"].samples}
        assert stored == {"transaction": 3, "alert": 1}
        assert "process_cpu_seconds" in shown
        assert (get(page, "/healthz").status_code, get(page, "/readyz").status_code) == (200, 200)
        reasons[0] = "the database is unavailable"
        answer = get(page, "/readyz")
        assert (answer.status_code, answer.text) == (503, "the database is unavailable\n")
        assert get(page, "/healthz").status_code == 200
        assert get(page, "/other").status_code == 404
    finally:
        page.close()


def test_prometheus_finds_the_page_by_a_file_while_it_is_there(settings: Settings) -> None:
    file = targets_folder(settings) / "desk.json"
    page = serve(settings, "desk", [])
    assert json.loads(file.read_text()) == [{"targets": [f"127.0.0.1:{page.port}"], "labels": {"part": "desk"}}]
    page.close()
    assert not file.exists()


def test_a_process_without_a_state_folder_makes_none(tmp_path: Path) -> None:
    page = serve(load_settings(state_dir=tmp_path / "none", metrics_port=0), "consumer", [])
    page.close()
    assert not list(tmp_path.iterdir())


def test_ports_count_from_the_setting_and_a_taken_one_is_left_to_its_owner(tmp_path: Path) -> None:
    port = free_port()
    first = load_settings(state_dir=tmp_path, metrics_port=port - PORTS.index("consumer"))
    with socket.create_server(("127.0.0.1", port)):
        page = serve(first, "consumer", [])
        assert page.port != port
        page.close()
    page = serve(first, "consumer", [])
    assert page.port == port
    page.close()


def test_the_page_of_metrics_names_each_of_the_consumer_and_no_other() -> None:
    section = pages.read("docs/metrics.md").split("## The consumer\n")[1].split("\n## ")[0]
    found = {name for family in ConsumerMetrics([]).collect() for name in _names(family)}
    assert set(re.findall(r"^\| `(\w+)`", section, re.MULTILINE)) == found


def _names(family: Metric) -> list[str]:
    return [f"{family.name}_total" if family.type == "counter" else family.name]

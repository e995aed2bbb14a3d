"""Where the figures of a process are, and what stands there."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from streamguard.config import Settings, SettingsError, load_settings
from streamguard.metrics.consumer import ConsumerMetrics
from streamguard.metrics.desk import DeskMetrics
from streamguard.metrics.page import Page, serve
from streamguard.metrics.producer import ProducerMetrics, send_seconds
from streamguard.metrics.sink import SinkMetrics
from streamguard.metrics.targets import PORTS, addresses, forget_dead, targets_folder
from tests.support import metricpages
from tests.support.broker import free_port


class NoSink:
    """A sink that has sent nothing."""

    sent = acknowledged = unacknowledged = refused = retries = 0


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


def test_a_second_process_of_a_name_gets_a_file_of_its_own(settings: Settings) -> None:
    first, second = serve(settings, "sink-jsonl", []), serve(settings, "sink-jsonl", [])
    found = addresses(settings)
    assert found == {
        "sink-jsonl": f"127.0.0.1:{first.port}",
        f"sink-jsonl-{second.port}": f"127.0.0.1:{second.port}",
    }
    labels = [json.loads(file.read_text())[0]["labels"] for file in targets_folder(settings).iterdir()]
    assert labels == [{"part": "sink"}] * 2
    first.close()
    assert list(addresses(settings)) == [f"sink-jsonl-{second.port}"]
    second.close()
    assert not addresses(settings)


def test_the_file_of_a_killed_process_is_taken_over_and_otherwise_forgotten(settings: Settings) -> None:
    dead = [{"targets": [f"127.0.0.1:{free_port()}"], "labels": {"part": "desk"}}]
    targets_folder(settings).mkdir()
    for name in ("desk", "generator"):
        (targets_folder(settings) / f"{name}.json").write_text(json.dumps(dead))
    page = serve(settings, "desk", [])
    assert addresses(settings)["desk"] == f"127.0.0.1:{page.port}"
    (targets_folder(settings) / "odd.json").write_text("{}")
    forget_dead(settings)
    assert list(addresses(settings)) == ["desk"]
    page.close()


def test_off_shows_nothing(tmp_path: Path) -> None:
    page = serve(load_settings(state_dir=tmp_path, metrics_port="off"), "consumer", [])
    assert page.port == 0 and not list(tmp_path.iterdir())
    page.close()


@pytest.mark.parametrize("value", ["-1", "70000", "on", "9108.5"])
def test_another_word_than_off_is_an_error(value: str) -> None:
    with pytest.raises(SettingsError, match=r"^STREAMGUARD_METRICS_PORT: a port up to 65530, 0 .* or off is expected"):
        load_settings(metrics_port=value)


def test_an_address_of_another_machine_takes_the_figures_away_and_no_more(tmp_path: Path) -> None:
    page = serve(load_settings(state_dir=tmp_path, metrics_port=0, metrics_host="192.0.2.1"), "consumer", [])
    assert page.port == 0
    page.close()


@pytest.mark.parametrize(
    ("section", "collectors"),
    [
        ("The consumer", [ConsumerMetrics([])]),
        ("The generator", [ProducerMetrics(NoSink(), send_seconds())]),
        ("The desk", [DeskMetrics()]),
        ("The sinks", [SinkMetrics("jsonl")]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_page_of_metrics_names_each_and_no_other(section: str, collectors: list[Any], settings: Settings) -> None:
    page = serve(settings, "any", collectors)
    try:
        assert metricpages.check(get(page, "/metrics").text) == metricpages.documented(section)
    finally:
        page.close()

"""`streamguard alarms`, and the loop in the monitor's process."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from streamguard.alarms import loop, store
from streamguard.alarms.states import Active, States
from streamguard.alarms.store import Kept
from streamguard.cli.alarms import app
from streamguard.config import Settings
from tests.streamguard.alarms.conftest import Process, told
from tests.support.receiver import Receiver


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, receiver: Receiver) -> None:
    monkeypatch.setenv("STREAMGUARD_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("STREAMGUARD_ALARMS_WEBHOOK_URL", receiver.url)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def test_list_says_what_fires_and_whether_anybody_looks(settings: Settings) -> None:
    done = run("list")
    assert (done.exit_code, "no alarm fires" in done.output) == (2, True)
    now_s = time.time()
    labels = {"alertname": "KafkaDown", "severity": "critical"}
    active = Active("KafkaDown", labels, "Kafka does not answer", 0.0, now_s - 60, now_s - 30)
    store.write(settings, Kept(now_s, States([active])))
    done = run("list")
    assert done.exit_code == 1 and done.output.startswith("firing   critical  KafkaDown")
    assert json.loads(run("list", "--json").output)["alarms"][0]["summary"] == "Kafka does not answer"
    store.write(settings, Kept(now_s))
    assert run("list").exit_code == 0


def test_a_test_is_sent_and_one_that_is_not_is_said(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (run("test").exit_code, told(receiver)) == (0, [[("Test", "firing")]])
    receiver.answer = lambda _: 500
    assert run("test").exit_code == 1
    monkeypatch.setenv("STREAMGUARD_ALARMS_WEBHOOK_URL", "")
    from streamguard.config import get_settings

    get_settings.cache_clear()
    assert "STREAMGUARD_ALARMS_COMMAND" in str(run("test").exception)


def test_of_two_monitors_one_looks(
    settings: Settings, process: Process, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stop, looked = threading.Event(), threading.Event()
    monkeypatch.setattr(loop.Loop, "look", lambda _: looked.set())
    first = threading.Thread(target=loop.run, args=(settings, stop))
    first.start()
    assert looked.wait(30)
    loop.run(settings, threading.Event())
    assert "alarms are not evaluated here" in caplog.text
    stop.set()
    first.join(30)
    assert not first.is_alive() and (store.folder_of(settings) / "samples.json").exists()

"""Alarms for tests: a page of a process with figures that a test sets, a clock that it moves, a receiver that listens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Gauge
from pydantic import SecretStr

from streamguard.alarms.loop import Loop
from streamguard.alarms.receivers import receivers_of
from streamguard.alarms.rules import read_rules
from streamguard.config import Settings, load_settings
from streamguard.metrics.page import Page, serve
from tests.support.receiver import Receiver

T0_S = 1_800_000_000.0
RULES = read_rules()


class Process:
    """A process with a page; `lag` is a figure of it, by topic."""

    def __init__(self, settings: Settings) -> None:
        self._registry = CollectorRegistry()
        self._lag = Gauge("kafka_consumergroup_lag_sum", "Lag.", ["consumergroup", "topic"], registry=self._registry)
        self.page: Page = serve(settings, "monitor", [self._registry])

    def lag(self, records: int, topic: str = "transactions") -> None:
        self._lag.labels("g", topic).set(records)


class Alarms:
    """The loop with a clock that the test moves."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.now_s = settings, T0_S
        self.loop = self.start()

    def start(self) -> Loop:
        """A process that is started now."""
        self.loop = Loop(self.settings, RULES, receivers_of(self.settings), lambda: self.now_s)
        return self.loop

    def look(self, seconds: float = 0.0, every_s: float = 15.0) -> None:
        """Look every few seconds for so long."""
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            self.now_s += every_s
            self.loop.look()

    @property
    def states(self) -> list[tuple[str, str]]:
        return [(alarm.name, alarm.state) for alarm in self.loop.kept.states.all]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as found:
        yield found


@pytest.fixture
def settings(tmp_path: Path, receiver: Receiver) -> Settings:
    return load_settings(state_dir=tmp_path, metrics_port=0, alarms_webhook_url=SecretStr(receiver.url))


@pytest.fixture
def process(settings: Settings) -> Iterator[Process]:
    made = Process(settings)
    yield made
    made.page.close()


@pytest.fixture
def alarms(settings: Settings) -> Alarms:
    return Alarms(settings)


def told(receiver: Receiver) -> list[list[tuple[str, str]]]:
    """What a receiver was told: of each message its alarms and their states."""
    return [[(one["labels"]["alertname"], one["status"]) for one in body["alerts"]] for body in bodies(receiver)]


def bodies(receiver: Receiver) -> list[Any]:
    return [json.loads(got.body) for got in receiver.got]

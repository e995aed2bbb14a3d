"""Debian's Prometheus with the configuration and the alarms of ops/prometheus, faster by a stated factor, and a history."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import requests

from tests.support.broker import free_port
from tests.support.processes import eventually
from tests.support.project import PROJECT_ROOT

OPS = PROJECT_ROOT / "ops" / "prometheus"
FACTOR = 12
"""Every duration of the alarms (windows, offsets, `for`) is divided by this: a minute is five seconds."""
SCRAPE_MS, EVALUATE_MS = 2_000, 1_000
"""Instead of the five seconds of prometheus.yml: a window of a scaled minute needs two scrapes."""
_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_DURATION = re.compile(r"(\[|offset |for: )(\d+)([smhdw])")


NO_LABELS: Mapping[str, str] = MappingProxyType({})


def scaled(text: str) -> str:
    """The rules with every duration divided by FACTOR."""
    return _DURATION.sub(lambda found: f"{found[1]}{int(found[2]) * _MS[found[3]] // FACTOR}ms", text)


def is_there() -> bool:
    """Whether the programs are installed."""
    return bool(shutil.which("prometheus") and shutil.which("promtool"))


@dataclass
class Prometheus:
    """One that looks for targets in `folder`/.streamguard/metrics, as one that is started in the project's folder does."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def remember(self, history: str) -> None:
        """Give it samples of before its start, as OpenMetrics."""
        file = self.folder / "history.om"
        file.write_text(history)
        command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(file), str(self._data)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        """Start, and wait until it answers."""
        config = self.folder / "ops" / "prometheus"
        config.mkdir(parents=True, exist_ok=True)
        faster = (OPS / "prometheus.yml").read_text()
        for name, milliseconds in (("scrape", SCRAPE_MS), ("evaluation", EVALUATE_MS)):
            faster, count = re.subn(rf"{name}_interval: 5s", f"{name}_interval: {milliseconds}ms", faster)
            assert count == 1
        (config / "prometheus.yml").write_text(faster)
        (config / "alerts.yml").write_text(scaled((OPS / "alerts.yml").read_text()))
        with (self.folder / "prometheus.log").open("wb") as log:
            self.process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={config / 'prometheus.yml'}",
                    f"--storage.tsdb.path={self._data}",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                ],
                stdout=log,
                stderr=log,
            )
        eventually(self._is_ready, bool, 60, (self.folder / "prometheus.log").read_text)

    def _is_ready(self) -> bool:
        try:
            return requests.get(f"http://127.0.0.1:{self.port}/-/ready", timeout=5).ok
        except requests.ConnectionError:
            return False

    def stop(self) -> None:
        """End it."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(60)

    def _api(self, path: str, **parameters: str) -> Any:
        answer = requests.get(f"http://127.0.0.1:{self.port}/api/v1/{path}", params=parameters, timeout=30).json()
        assert answer["status"] == "success", (parameters, answer)
        return answer["data"]

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of each series of the result."""
        found = self._api("query", query=expression)
        if found["resultType"] == "scalar":
            return [({}, float(found["result"][1]))]
        return [(one["metric"], float(one["value"][1])) for one in found["result"]]

    def firing(self, alarm: str, labels: Mapping[str, str] = NO_LABELS) -> list[dict[str, str]]:
        """The labels of the alarms of this name that fire, and have these among them."""
        found = [
            one["labels"]
            for one in self._api("alerts")["alerts"]
            if one["state"] == "firing" and one["labels"]["alertname"] == alarm
        ]
        return [one for one in found if labels.items() <= one.items()]

    def fires(self, alarm: str, labels: Mapping[str, str] = NO_LABELS, timeout_s: float = 240) -> None:
        """Wait until it does."""
        eventually(lambda: self.firing(alarm, labels), bool, timeout_s, f"{alarm} {labels} does not fire")

    def resolves(self, alarm: str, labels: Mapping[str, str] = NO_LABELS, timeout_s: float = 900) -> None:
        """Wait until it does not fire."""
        eventually(
            lambda: self.firing(alarm, labels), lambda found: not found, timeout_s, f"{alarm} {labels} does not end"
        )

"""The restart of an engine with open windows, as `streamguard bench growth` measures it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streamguard.cli.bench import app

pytestmark = pytest.mark.integration


def test_a_restart_with_open_windows(tmp_path: Path) -> None:
    file = tmp_path / "growth.json"
    done = CliRunner().invoke(app, ["growth", "--open-windows", "2000", "--json", str(file)])
    assert done.exit_code == 0, done.output
    figures = json.loads(file.read_text())
    assert figures["open_windows"] == 2_000 and figures["runs"] == 1
    assert 0 < figures["answers_s"]["median"] < figures["counts_s"]["median"]
    assert "kill -9 to a new payment counted" in done.output

"""Wrong arguments of any command: one sentence with the value and the choices, exit code 2."""

from __future__ import annotations

import subprocess

import pytest

from streamguard.config import PROJECT_ROOT


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("nosuch", "streamguard: no such command 'nosuch': choose deploy, consume, generate"),
        ("alerts", "streamguard alerts: missing command: choose list, show, confirm"),
        ("alerts list --limit abc", "streamguard alerts list: --limit is 'abc': a whole number is needed"),
        ("alerts show", "streamguard alerts show: missing argument"),
        ("alerts list --limits 3", "streamguard alerts list: no such option '--limits': choose --"),
        (
            "bench engine --records 5",
            "streamguard bench engine: --records is '5': it has to be greater than or equal to 1000",
        ),
        (
            "rules set night purple",
            "streamguard rules set: MODE is 'purple': 'purple' is not one of 'active', 'shadow', 'off'",
        ),
        ("retention --keep-days", "streamguard: option '--keep-days' requires an argument"),
    ],
)
def test_wrong_arguments(arguments: str, said: str) -> None:
    command = [PROJECT_ROOT / ".venv" / "bin" / "streamguard", *arguments.split()]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""

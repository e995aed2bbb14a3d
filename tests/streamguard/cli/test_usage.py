"""Wrong arguments of any command: one sentence with the value and the choices, exit code 2."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from streamguard.cli.shared import new_app
from streamguard.cli.usage import run
from streamguard.config import UserError
from tests.support.project import PROJECT_ROOT


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            "nosuch",
            "streamguard: no such command 'nosuch': choose up, down, status, doctor, logs, init, deploy, import, generate",
        ),
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
        ("status 5", "streamguard status: invalid value: SECONDS goes with --watch, from 0.5 to 86,400"),
        ("status --watch nan", "streamguard status: invalid value: SECONDS goes with --watch, from 0.5 to 86,400"),
        ("retention --keep-days", "streamguard: option '--keep-days' requires an argument"),
    ],
)
def test_wrong_arguments(arguments: str, said: str) -> None:
    command = [str(PROJECT_ROOT / ".venv" / "bin" / "streamguard"), *arguments.split()]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def app_that_raises(error: BaseException) -> typer.Typer:
    app = new_app("")

    @app.command()
    def command() -> None:
        raise error

    return app


def test_an_error_for_people_is_its_sentence_and_its_exit_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong(UserError):
        exit_code = 7

    monkeypatch.setattr(sys, "argv", ["x"])
    assert run(app_that_raises(Wrong("no such thing")), name="x") == 7
    assert capsys.readouterr().err == "x: no such thing\n"


def test_an_error_of_our_own_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["x"])
    with pytest.raises(KeyError):
        run(app_that_raises(KeyError("x")), name="x")


def test_ctrl_c_is_exit_code_130(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["x"])
    assert run(app_that_raises(KeyboardInterrupt()), name="x") == 130


def test_ctrl_c_while_modules_are_imported_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n")
    done = subprocess.run(
        [sys.executable, "-m", "streamguard.cli", "status"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")

"""What is left of root after the drop: the user, and the way into folders that only root may enter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from streamguard.stack.privileges import dropper, unprivileged_user

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root has privileges to drop")

_LOOK = """
import os, sys
found = os.access(sys.argv[1], os.X_OK)
may = [os.access(path, os.R_OK) for path in sys.argv[1:]]
print(os.getuid(), found, *may)
try:
    os.setuid(0)
except PermissionError:
    print("no way back")
"""


def test_a_program_behind_a_shut_folder_is_found_and_nothing_else_is_allowed(tmp_path: Path) -> None:
    """access(2) is how initdb finds postgres: a clone below `mktemp -d` (mode 700) did not start as root."""
    shut = tmp_path / "shut"
    shut.mkdir(mode=0o700)
    program = shut / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    looked = subprocess.run(
        [sys.executable, "-c", _LOOK, str(program)],
        preexec_fn=dropper([program, Path(sys.executable)]),
        capture_output=True,
        text=True,
    )
    assert looked.stderr == ""
    assert looked.stdout.split("\n")[:2] == [f"{unprivileged_user()[0]} True True", "no way back"]


def test_without_a_shut_folder_no_capability_is_carried(tmp_path: Path) -> None:
    drop = dropper([Path("/bin/sh")])
    status = subprocess.run(["grep", "CapEff", "/proc/self/status"], preexec_fn=drop, capture_output=True, text=True)
    assert int(status.stdout.split()[1], 16) == 0


def test_a_shut_folder_costs_exactly_one_capability(tmp_path: Path) -> None:
    shut = tmp_path / "shut"
    shut.mkdir(mode=0o700)
    drop = dropper([shut / "x"])
    status = subprocess.run(["grep", "^Cap", "/proc/self/status"], preexec_fn=drop, capture_output=True, text=True)
    held = {line.split(":")[0]: int(line.split()[1], 16) for line in status.stdout.splitlines()}
    assert held["CapEff"] == held["CapPrm"] == held["CapAmb"]
    assert held["CapEff"].bit_count() == 1

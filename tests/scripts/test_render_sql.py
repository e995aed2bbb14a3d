"""The SQL files are what their templates give."""

from __future__ import annotations

import subprocess
import sys

from tests.support.project import PROJECT_ROOT


def test_the_sql_files_are_up_to_date() -> None:
    script = PROJECT_ROOT / "scripts" / "render_sql.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr

"""The logins of the embedded parts, made from the settings before they start."""

from __future__ import annotations

import subprocess
import sys

from streamguard.config import Settings
from streamguard.stack.errors import StackError
from streamguard.stack.parts import engine_folder


def make(settings: Settings) -> None:
    """Let the user of the settings log in to the SQL engine, with the role write; further users stay. Raises StackError."""
    server = settings.ksqldb
    if not server.username:
        return
    command = [sys.executable, "-m", "streamguard_ksql.server.add_user", "--data-dir", str(engine_folder(settings))]
    made = subprocess.run(
        [*command, "--", server.username], input=server.password + "\n", capture_output=True, text=True
    )
    if made.returncode != 0:
        raise StackError(f"the SQL engine's user {server.username} could not be made: {made.stderr.strip()}")

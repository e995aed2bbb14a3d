"""The `ksql` command: the engine's shell, on the server of this stack's settings unless another is named."""

from __future__ import annotations

import os
import sys

from streamguard.config import SettingsError, get_settings
from streamguard_ksql.shell.main import URL_VARIABLE, Default
from streamguard_ksql.shell.main import main as run_shell


def main() -> int:
    """Run the shell; its exit code."""
    try:
        server = get_settings().ksqldb
    except SettingsError as error:
        if URL_VARIABLE in os.environ:
            return run_shell()  # what is wrong may be of the other parts
        print(f"ksql: {error}", file=sys.stderr)
        return 2
    ca_file = None if server.ca_file is None else str(server.ca_file)
    return run_shell(default=Default(server.url, server.username or None, server.password or None, ca_file))

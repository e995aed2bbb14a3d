"""The `ksql` command: the engine's shell, on the server of this stack's settings unless another is named."""

from __future__ import annotations

import os
import sys

from streamguard.config import SettingsError, get_settings
from streamguard_ksql.shell.main import URL_VARIABLE
from streamguard_ksql.shell.main import main as run_shell


def main() -> int:
    """Run the shell; its exit code."""
    if URL_VARIABLE not in os.environ:
        try:
            os.environ[URL_VARIABLE] = get_settings().ksqldb_url
        except SettingsError as error:
            print(f"ksql: {error}", file=sys.stderr)
            return 2
    return run_shell()

"""The logs of the processes, as messages quote them."""

from __future__ import annotations

from pathlib import Path

from streamguard.config.logs import readable


def last_log_line(logs: Path, name: str) -> str:
    """The last line of a part's log, and where to read the rest."""
    file = logs / f"{name}.log"
    try:
        lines = [line for line in file.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    last = readable(lines[-1]).partition("\n")[0] if lines else "no output"
    return f"{last} (log: {file})"

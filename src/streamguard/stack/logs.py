"""The logs of the processes, as messages quote them."""

from __future__ import annotations

from pathlib import Path


def last_log_line(logs: Path, name: str) -> str:
    """The last line of a part's log, and where to read the rest."""
    file = logs / f"{name}.log"
    try:
        lines = [line for line in file.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    return f"{lines[-1] if lines else 'no output'} (log: {file})"

"""The password of the embedded database: made at random by the first start, kept in the state folder."""

from __future__ import annotations

from pathlib import Path

PASSWORD_FILE = "postgres.password"
"""Below the state folder, readable by its owner alone."""

DEFAULT_PASSWORD = "streamguard_2024"
"""Of databases that were made before there was that file, and of `docker-compose.yaml`."""


def stored_password(state: Path) -> str | None:
    """The password in the state folder; None where there is none, or it is somebody else's."""
    try:
        return (state / PASSWORD_FILE).read_text(encoding="utf-8").strip() or None
    except OSError:
        return None

"""What ksqlDB 0.29.0 was recorded to do: our own recordings, and ksqlDB's own cases where they are on this machine."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

PROJECT_ROOT = Path(__file__).parents[2]
RECORDINGS = PROJECT_ROOT / "tests" / "recordings"
"""Recorded by us from a running ksqlDB; its README describes each file."""

KSQLDB_CASES = Path(os.environ.get("STREAMGUARD_SHARED", PROJECT_ROOT.parent / "shared")) / "qtt"
"""ksqlDB's own query-validation cases. Their licence does not allow a copy in this repository."""

needs_ksqldb_cases = pytest.mark.skipif(
    not KSQLDB_CASES.is_dir(),
    reason="ksqlDB's own cases are not in the repository (their licence); STREAMGUARD_SHARED names the folder above qtt/",
)


def recording(name: str) -> Any:
    """The content of a file of tests/recordings."""
    return json.loads((RECORDINGS / name).read_text(encoding="utf-8"))

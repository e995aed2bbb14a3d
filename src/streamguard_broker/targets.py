"""The file that tells Prometheus where the metrics are, in the form of its file_sd.

https://prometheus.io/docs/prometheus/latest/configuration/configuration/#file_sd_config
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

log = logging.getLogger("streamguard_broker")


def write(file: Path, host: str, port: int) -> None:
    """Write the address, for the part `broker`; where that fails, say so: the broker does without."""
    named = f"[{host}]" if ":" in host else host
    targets = [{"targets": [f"{named}:{port}"], "labels": {"part": "broker"}}]
    being_written = file.with_suffix(".tmp")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        being_written.write_text(json.dumps(targets) + "\n", encoding="utf-8")
        being_written.replace(file)
    except OSError as error:
        log.warning("%s cannot be written (%s): Prometheus does not find the metrics", file, error.strerror)


def remove(file: Path, port: int) -> None:
    """Take the file away at the end, unless another process has written it since."""
    try:
        if f':{port}"' in file.read_text(encoding="utf-8"):
            file.unlink()
    except OSError:
        return

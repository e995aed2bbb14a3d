"""The figures of all processes, read from their pages as Prometheus reads them: by the files in `metrics` of the state folder."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator
from pathlib import Path

import requests
from prometheus_client.parser import text_string_to_metric_families

from streamguard.alarms.promql.functions import Labels, Vector
from streamguard.config.http import http_session

JOB = "streamguard"
"""The name of the scrape job in ops/prometheus/prometheus.yml."""
_ANSWER_S = 10.0
_LARGEST_BYTES = 16 * 1024 * 1024


def scraped(folder: Path, names: Collection[str]) -> dict[str, Vector]:
    """The series of these names as they are now; `up` says of each process whether it answers."""
    found: dict[str, Vector] = {name: {} for name in names}
    up = found.setdefault("up", {})
    for address, labels in _targets(folder):
        ours = {**labels, "job": JOB, "instance": address}
        text = _page(address)
        up[_sorted(ours)] = float(text is not None)
        for name, series, value in _series(text or "", names):
            found[name][_sorted({**series, **ours})] = value
    return found


def _targets(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Addresses with their labels. A file that is being changed is read the next time."""
    for file in sorted(folder.glob("*.json")):
        try:
            groups = json.loads(file.read_text(encoding="utf-8"))
            yield from [(str(address), dict(group["labels"])) for group in groups for address in group["targets"]]
        except (OSError, ValueError, KeyError, TypeError):
            continue


def _page(address: str) -> str | None:
    """What a process shows; None where it does not answer."""
    url = f"http://{address}/metrics"
    try:
        with http_session(url) as session:
            answer = session.get(url, timeout=_ANSWER_S, headers={"Accept": "text/plain"}, allow_redirects=False)
    except (requests.RequestException, OSError):
        return None
    return answer.text if answer.ok and len(answer.content) <= _LARGEST_BYTES else None


def _series(text: str, names: Collection[str]) -> Iterator[tuple[str, dict[str, str], float]]:
    """The series of these names. Other lines are left out before they are parsed: most are of no alarm."""
    wanted = [line for line in text.splitlines() if line.partition("{")[0].partition(" ")[0] in names]
    try:
        families = list(text_string_to_metric_families("\n".join([*wanted, ""])))
    except ValueError:
        # Whoever listens there is none of ours.
        return
    for family in families:
        for sample in family.samples:
            if not math.isnan(sample.value):
                yield sample.name, sample.labels, sample.value


def _sorted(labels: dict[str, str]) -> Labels:
    return tuple(sorted(labels.items()))

"""What docs/metrics.md says, and what a process shows: to be compared."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.support import pages

ALLOWED_LABELS = {
    *(
        "api",
        "certificate",
        "consumergroup",
        "field",
        "group",
        "kind",
        "le",
        "limit",
        "outcome",
        "part",
        "partition",
        "query",
    ),
    *("reason", "route", "rule", "sink", "state", "status", "table", "topic"),
}
"""The labels that there are: none of them has an account, a card or the text of a record."""
_OF_LIBRARIES = re.compile(r"process_|python_")
# Other programs' names, which their dashboards ask for; promtool takes _sum for a part of a histogram.
_TOLERATED = "kafka_consumergroup_lag_sum non-histogram and non-summary metrics should not have"


def documented(section: str) -> set[str]:
    """The names in the table of a section of docs/metrics.md."""
    text = pages.read("docs/metrics.md").split(f"\n## {section}\n")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `(\w+)`", text, re.MULTILINE))


def names(families: Iterable[Metric]) -> set[str]:
    """As docs/metrics.md has them, without those that every process of the libraries has."""
    return {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in families
        if not _OF_LIBRARIES.match(family.name) and not family.name.endswith("_created")
    }


def check(text: str) -> set[str]:
    """The names of a page of figures, whose labels are few and whose names are as Prometheus asks (with promtool there)."""
    families = list(text_string_to_metric_families(text))
    for family in families:
        for sample in family.samples:
            if not _OF_LIBRARIES.match(family.name):
                assert set(sample.labels) <= ALLOWED_LABELS, sample
    if shutil.which("promtool"):
        done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
        found = [line for line in (done.stdout + done.stderr).splitlines() if line and not line.startswith(_TOLERATED)]
        assert not found, found
    return names(families)

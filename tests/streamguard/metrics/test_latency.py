"""The histogram that takes batches is the one of prometheus-client that takes values."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram

from streamguard.metrics.latency import SECONDS, Latency


@given(st.lists(st.lists(st.floats(-10, 1_000) | st.sampled_from(SECONDS))))
def test_counts_are_those_of_prometheus_client(batches: list[list[float]]) -> None:
    registry = CollectorRegistry()
    plain = Histogram("t", "T.", buckets=SECONDS, registry=registry)
    ours = Latency("t", "T.")
    for batch in batches:
        ours.add(batch)
        for value in batch:
            plain.observe(max(0.0, value))
    [theirs] = registry.collect()
    wanted = {(s.name, s.labels.get("le")): s.value for s in theirs.samples if not s.name.endswith("_created")}
    found = {(s.name, s.labels.get("le")): s.value for s in ours.family().samples}
    assert found.keys() == wanted.keys()
    assert all(abs(found[key] - wanted[key]) < 1e-6 for key in found)

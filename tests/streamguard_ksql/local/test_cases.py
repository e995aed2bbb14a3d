"""The case files through a local engine: each key gets what the cases' own harness wrote for it, in the same order."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

import pytest

from streamguard_ksql.local import LocalEngine
from streamguard_ksql.operators.record import InputRecord, OutputRecord
from streamguard_ksql.parser import parse_statements
from streamguard_ksql.testing.cases import Case, find_files, load
from streamguard_ksql.testing.harness import Harness
from streamguard_ksql.testing.run import input_record

FOLDER = Path(__file__).parents[1] / "cases"
CASES = [case for path in find_files([FOLDER]) for case in load(path) if not case.is_refusal]

TIES = {"table: aggregate of a table"}
"""Changes of one instant in several partitions: which is first shows in the results between."""

Written = dict[tuple[str, bytes | None], list[tuple[object, ...]]]


def by_key(records: Iterable[InputRecord | OutputRecord]) -> Written:
    """Value, time and headers of the records of each topic and key, in order."""
    found: Written = {}
    for r in records:
        found.setdefault((r.topic, r.key), []).append((r.value, r.time, list(r.headers)))
    return found


def reference(case: Case) -> tuple[Harness, list[OutputRecord]]:
    """What the harness of cases wrote, and the inputs that it was fed."""
    harness = Harness(dict(case.properties))
    harness.run_script("\n".join(case.statements))
    inputs = [input_record(harness, entry) for entry in case.inputs]
    for record in inputs:
        harness.feed(record)
    harness.settle()
    return harness, inputs


def through_local(case: Case, inputs: list[OutputRecord], partitions: int, *, at_once: bool) -> list[InputRecord]:
    engine = LocalEngine(partitions, case.properties, clock=lambda: 0)
    written: list[InputRecord] = []
    engine.run(parse_statements("\n".join(case.statements)))
    for topic in {sink.topic for query in engine.queries.values() for sink in query.query.sinks}:
        engine.listen(topic, written.extend)
    engine.feed()
    records = engine.topics.stored(inputs)
    for batch in [records] if at_once else [[record] for record in records]:
        engine.feed(batch)
    return written


def has_one_order(case: Case) -> bool:
    """Whether the inputs of several topics, merged by time, are in the order in which the case has them."""
    times = [(int(entry.get("timestamp") or 0), entry["topic"]) for entry in case.inputs]
    return all(a[1] == b[1] or a[0] < b[0] for a, b in combinations(times, 2))


def is_partitioned_alike(case: Case) -> bool:
    """Whether it matters to no result in which partitions the other keys are."""
    text = " ".join(case.statements).upper()
    by_stream_time = any(word in text for word in ("GRACE", "EMIT FINAL"))
    by_partition = any(word in text for word in ("ROWPARTITION", "ROWOFFSET"))
    return not by_stream_time and not by_partition and case.name not in TIES


def named(cases: list[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=lambda case: f"{case.path.stem}: {case.name}")


AT_ONCE = [case for case in CASES if has_one_order(case)]
PARTITIONED = [case for case in AT_ONCE if is_partitioned_alike(case)]


@named(CASES)
def test_record_by_record(case: Case) -> None:
    harness, inputs = reference(case)
    assert by_key(through_local(case, inputs, 1, at_once=False)) == by_key(harness.written)


@named(AT_ONCE)
def test_in_one_batch(case: Case) -> None:
    harness, inputs = reference(case)
    assert by_key(through_local(case, inputs, 1, at_once=True)) == by_key(harness.written)


@named(PARTITIONED)
def test_in_three_partitions(case: Case) -> None:
    harness, inputs = reference(case)
    assert by_key(through_local(case, inputs, 3, at_once=True)) == by_key(harness.written)


def test_most_cases_are_partitioned() -> None:
    assert len(PARTITIONED) > 300

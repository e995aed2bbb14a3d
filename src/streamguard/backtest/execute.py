"""From the inputs of a back-test to its result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

from streamguard.backtest import topic as topics
from streamguard.backtest.errors import BacktestError
from streamguard.backtest.plan import Plan, make_plan, needs_all_partitions, new_engine
from streamguard.backtest.processes import Reading, run_on_topic
from streamguard.backtest.records import BATCH
from streamguard.backtest.result import result_of
from streamguard.backtest.run import Job, Judging, Outcome, Run, new_outcome
from streamguard.backtest.sides import A, B, Side
from streamguard.backtest.spec import FileSource, Spec, TopicSource
from streamguard.evaluation.data import DAY_MS, Labelled
from streamguard.evaluation.files import read
from streamguard.evaluation.replay import LABELS, PARTITIONS, TRANSACTIONS, Places
from streamguard.evaluation.scores import with_labels
from streamguard.ingest.columns import Options
from streamguard.kafka.clients import Servers
from streamguard.models.fragments import fields_of
from streamguard.privacy.protection import NO_PROTECTION, Protection
from streamguard_ksql.operators.record import InputRecord

Advance = Callable[[int], None]
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def execute(
    spec: Spec, servers: Servers, advance: Advance = lambda _: None, protection: Protection = NO_PROTECTION
) -> dict[str, Any]:
    """Run a back-test. `protection` is what is done to personal data before it is kept.

    Raises BacktestError, KafkaUnavailable, InputError, DataError.
    """
    a, b = spec.sides()
    plan = make_plan(a, b, {key: b.statements[key] for key in spec.change}, everything=spec.everything)
    labels = _labels(spec.topic, servers) if spec.topic is not None else {}
    outcome = new_outcome()
    if plan.parts:
        job = replace(_job(spec, plan, a, b, labels), protection=protection)
        outcome = _on_topic(job, spec.topic, servers, advance) if spec.topic else _on_files(job, spec.files, advance)
        _check_range(spec, outcome)
    result = result_of(plan, outcome, spec.resolved, spec.shown())
    if plan.parts and spec.topic is not None and _is_whole(spec, spec.topic):
        result["labels"]["unknown"] = sorted(labels.keys() - outcome.labelled)
    return result


def length(spec: Spec) -> int | None:
    """How many records there are to read; None where it is not known."""
    if spec.topic is None:
        return None
    return sum(end - start for start, end in spec.topic.spans.get(TRANSACTIONS, {}).values())


def _job(spec: Spec, plan: Plan, a: Side, b: Side, labels: dict[str, bool]) -> Job:
    return Job(
        parts=plan.parts,
        judging={name: Judging(side.limits, side.modes, side.lists, side.base) for name, side in ((A, a), (B, b))},
        partitions=spec.topic.partitions if spec.topic else {TRANSACTIONS: PARTITIONS, LABELS: PARTITIONS},
        clock_ms=spec.clock_ms,
        from_ms=spec.from_ms,
        to_ms=spec.to_ms,
        warm_from_ms=spec.warm_from_ms,
        max_ahead_ms=spec.topic.max_ahead_ms if spec.topic else None,
        labels=labels,
        values=tuple(spec.files.values) if spec.files else (),
    )


def _is_whole(spec: Spec, source: TopicSource) -> bool:
    """Whether every transaction that a label may name was read."""
    starts = [start for start, _ in source.spans.get(TRANSACTIONS, {}).values()]
    return spec.warm_from_ms is None and not any(starts)


def _labels(source: TopicSource, servers: Servers) -> dict[str, bool]:
    """Which transactions were reported as fraud, and which as honest; the last report counts."""
    found: dict[str, bool] = {}
    spans = source.spans.get(LABELS)
    for record in topics.read_all(servers, LABELS, spans) if spans else ():
        fields = fields_of(record.value)
        transaction_id, is_fraud = fields.get("transaction_id"), fields.get("is_fraud")
        if isinstance(transaction_id, str) and isinstance(is_fraud, bool):
            found[transaction_id] = is_fraud
    return found


def _on_topic(job: Job, source: TopicSource, servers: Servers, advance: Advance) -> Outcome:
    engines = [new_engine(part.statements, job.partitions, lambda: job.clock_ms) for part in job.parts]
    reading = Reading(servers, source.spans, frozenset(source.tables))
    return run_on_topic(job, reading, together=any(map(needs_all_partitions, engines)), advance=advance)


def _on_files(job: Job, source: FileSource | None, advance: Advance) -> Outcome:
    assert source is not None
    run = Run(job)
    records = _records_of(read_files(source), source.label_days)
    while batch := list(islice(records, BATCH)):
        advance(run.feed(batch))
    return run.finish()


def read_files(source: FileSource) -> Labelled:
    """The payments of files. Raises BacktestError where they are not what they were."""
    path = Path(source.path)
    if source.digests != digests_of(path):
        raise BacktestError(f"{path} has other files than the back-test was run on: it cannot be repeated")
    return read(path, source.layout, source.mapping, Options(**source.options), labelled=False)


def digests_of(path: Path) -> dict[str, str]:
    """SHA-256 of a file, or of the files of a folder, by name. Raises BacktestError."""
    files = [path] if not path.is_dir() else sorted(f for f in path.iterdir() if f.is_file() and f.name[0] != ".")
    try:
        return {file.name: sha256(file.read_bytes()).hexdigest() for file in files}
    except OSError as error:
        raise BacktestError(f"{path}: {error.strerror or error}") from None


def _records_of(labelled: Labelled, label_days: int) -> Iterator[InputRecord]:
    """The payments with the places that they would have in a topic, and their labels when their time has come."""
    places = Places()
    payments = labelled.payments
    known = any(payment.is_fraud for payment in payments)
    for number, sent in with_labels(payments, label_days * DAY_MS):
        record = places.place(sent)
        if number is not None and known:
            record = record._replace(headers=(("label", payments[number].label.encode()),))
        yield record


def _check_range(spec: Spec, outcome: Outcome) -> None:
    what = "the topic transactions" if spec.topic is not None else "the data"
    if outcome.first_ms is None or outcome.last_ms is None:
        raise BacktestError(f"{what} has no transaction that the rules could see: there is nothing to back-test")
    if not outcome.transactions:
        raise BacktestError(
            f"{what} has transactions from {instant(outcome.first_ms)} to {instant(outcome.last_ms)}, and none from"
            f" {_or(spec.from_ms, 'the beginning')} to {_or(spec.to_ms, 'the end')}: give --from and --to within them"
        )


def _or(at_ms: int | None, otherwise: str) -> str:
    return otherwise if at_ms is None else instant(at_ms)


def instant(at_ms: int) -> str:
    """An instant as people read it, UTC."""
    return (_EPOCH + timedelta(milliseconds=at_ms)).isoformat(sep=" ", timespec="seconds").removesuffix("+00:00")

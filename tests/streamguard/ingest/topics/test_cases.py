"""Foreign topics as cases: what is found in them, and what their SQL writes into `transactions`, as the consumer reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from streamguard.ingest.topics import Answers, OpenQuestion, Sample, UnusableTopic, connection_of
from streamguard.ingest.topics.fields import RESERVED
from streamguard.ingest.topics.sample import Raw
from streamguard.models import Transaction
from streamguard.sqldeploy.script import read
from streamguard_ksql.operators.record import OutputRecord
from streamguard_ksql.parsing import keywords
from streamguard_ksql.testing.harness import Harness
from tests.support.project import PROJECT_ROOT

TOPIC = "card-payments"
CASES = [
    pytest.param(case, id=case["name"])
    for file in sorted((Path(__file__).parent / "cases").glob("*.json"))
    for case in json.loads(file.read_text(encoding="utf-8"))
]


def _raw(record: dict[str, Any]) -> Raw:
    key = record.get("key")
    if "hex" in record:
        value: bytes | None = bytes.fromhex(record["hex"])
    elif "text" in record:
        value = record["text"].encode()
    else:
        value = None if record["value"] is None else json.dumps(record["value"]).encode()
    return Raw(None if key is None else key.encode(), value)


def _written(sql: str, case: dict[str, Any], folder: Path) -> list[Transaction]:
    """What the SQL of a case writes into `transactions`."""
    file = folder / "source.sql"
    file.write_text(sql, encoding="utf-8")
    harness = Harness({})
    for item in [*read(PROJECT_ROOT / "ksqldb" / "queries.sql"), *read(file)]:
        harness.execute(item.statement)
    for record in case["records"]:
        raw = _raw(record)
        harness.feed(OutputRecord(TOPIC, raw.key, raw.value, record.get("time", 1_762_330_530_000)))
    harness.settle()
    assert not harness.failures
    return [Transaction.from_record(r.value, r.key) for r in harness.written if r.topic == "transactions"]


@pytest.mark.parametrize("case", CASES)
def test_a_topic_is_connected_as_its_case_says(tmp_path: Path, case: dict[str, Any]) -> None:
    sample = Sample(TOPIC, [_raw(record) for record in case["records"]], len(case["records"]))
    answers = Answers(case.get("answers", {}), case.get("zone"), case.get("day_first"))
    for name, error in (("open", OpenQuestion), ("unusable", UnusableTopic)):
        if name in case:
            with pytest.raises(error) as raised:
                connection_of(sample, answers)
            assert case[name] in str(raised.value)
            return
    connection = connection_of(sample, answers)
    assert case.get("found", "") in connection.found
    for name, expression in case.get("columns", {}).items():
        assert connection.columns[name][0] == expression
    for name, guess in case.get("guesses", {}).items():
        assert connection.columns[name][1] == guess
        assert f"-- {guess}\n" in connection.sql
    payments = [payment.model_dump() for payment in _written(connection.sql, case, tmp_path)]
    assert len(payments) == len(case["payments"])
    for payment, expected in zip(payments, case["payments"], strict=True):
        shown = {name: str(payment[name]) if name == "amount" else payment[name] for name in expected}
        assert shown == expected


def test_the_reserved_words_are_those_of_the_engine() -> None:
    assert RESERVED == keywords.RESERVED


def test_a_time_that_cannot_be_read_later_on_is_in_the_processing_log_and_the_others_go_on(tmp_path: Path) -> None:
    good = {"id": "p1", "account": "A", "amount": "5", "currency": "EUR", "time": "2025-11-05 08:15:30"}
    bad = {**good, "id": "p2", "time": "tomorrow"}
    connection = connection_of(Sample(TOPIC, [Raw(None, orjson.dumps(good))], 1), Answers())
    harness = Harness({})
    file = tmp_path / "source.sql"
    file.write_text(connection.sql)
    for item in [*read(PROJECT_ROOT / "ksqldb" / "queries.sql"), *read(file)]:
        harness.execute(item.statement)
    for value in (bad, good):
        harness.feed(OutputRecord(TOPIC, None, orjson.dumps(value), 0))
    harness.settle()
    written = [orjson.loads(r.value or b"") for r in harness.written if r.topic == "transactions"]
    assert [(value["TRANSACTION_ID"], value["EVENT_TIME"]) for value in written] == [("p1", 1762330530000)]
    assert any("tomorrow" in error.message for error in harness.errors)

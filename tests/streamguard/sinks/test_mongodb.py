"""MongoDB: typed documents, every record once, indexes, and how long documents stay."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import pymongo
import pytest
from pymongo.errors import BulkWriteError, OperationFailure

from streamguard.sinks import SINKS, SinkError, SinkRecord, SinkUnavailable
from streamguard.sinks.mongodb import MongoSink
from tests.streamguard.sinks.examples import BEGIN_MS, EXTREME_DECISIONS, POISON, alert, decision, poison, transaction
from tests.support.broker import free_port
from tests.support.mongodb import mongodb
from tests.support.project import PROJECT_ROOT


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mongodb(tmp_path_factory.mktemp("mongodb")) as url:
        yield url


@pytest.fixture
def database(server: str) -> Iterator[Any]:
    client: Any = pymongo.MongoClient(server, tz_aware=True)
    found = client.get_default_database()
    for name in found.list_collection_names():
        found.drop_collection(name)
    yield found
    client.close()


def write(url: str, *records: SinkRecord, **options: Any) -> None:
    with closing(SINKS["mongodb"](url, **options)) as sink:
        sink.next_offsets("transactions")
        sink.write(records)


def test_a_transaction_is_a_typed_document(server: str, database: Any) -> None:
    write(server, transaction(7, partition=2, label=b"card_testing", amount="19.9", shop={"floor": 3}))
    found = database.transactions.find_one({"_id": "transactions-2-7"})
    assert found["amount"].to_decimal() == Decimal("19.90") and found["currency"] == "BRL" and found["is_fraud"] is True
    assert found["event_time"] == datetime.fromtimestamp(BEGIN_MS / 1000 + 7, timezone.utc)
    assert found["other"] == {"shop": {"floor": 3}} and (found["partition"], found["offset"]) == (2, 7)


def test_alerts_and_decisions_are_documents(server: str, database: Any) -> None:
    write(server, alert(0), decision(0))
    assert database.fraud_alerts.find_one({"alert_id": "HIGH_AMOUNT:t-0"})["amount"].to_decimal() == Decimal("1234.5")
    assert database.decisions.find_one({"verdicts.rule": "amount"})["score"] == 90


def test_a_repeated_record_is_no_second_document(server: str, database: Any) -> None:
    write(server, transaction(0), poison(1), transaction(0, partition=1))
    first = database.transactions.find_one({"_id": "transactions-0-0"})
    write(server, transaction(0), poison(1), transaction(2), transaction(0, partition=1))
    assert sorted(row["_id"] for row in database.transactions.find()) == [
        *("transactions-0-0", "transactions-0-2", "transactions-1-0"),
    ]
    assert database.transactions.find_one({"_id": "transactions-0-0"}) == first
    assert [row["_id"] for row in database.rejected.find()] == ["transactions-0-1"]
    with closing(SINKS["mongodb"](server)) as sink:
        assert sink.next_offsets("transactions") == {0: 3, 1: 1} and sink.next_offsets("decisions") == {}
        # An older process that is behind: the offsets do not go back.
        sink.write([transaction(0)])
        assert sink.next_offsets("transactions") == {0: 3, 1: 1}


def test_documents_without_an_offset_are_found_again(server: str, database: Any) -> None:
    """As a crash between the two leaves it."""
    write(server, transaction(0), transaction(1))
    database.sink_offsets.delete_many({})
    with closing(SINKS["mongodb"](server)) as sink:
        assert sink.next_offsets("transactions") == {}
        sink.write([transaction(0), transaction(1), transaction(2)])
    assert database.transactions.count_documents({}) == 3


def test_what_is_no_record_of_its_topic_is_kept_as_bytes(server: str, database: Any) -> None:
    bad = [poison(n, value=value) for n, value in enumerate(POISON)]
    bad += [decision(n, **changes) for n, changes in enumerate(EXTREME_DECISIONS)]
    bad.append(SinkRecord("elsewhere", 0, 0, None, b"{}", 5))
    write(server, *bad)
    found = {(row["topic"], row["offset"]): row for row in database.rejected.find()}
    assert {place: row["value"] for place, row in found.items()} == {(r.topic, r.offset): r.value for r in bad}
    assert all(row["reason"] for row in found.values())


@pytest.mark.parametrize("odd", [2**80, "\ud800", {"a\x00b": 1}, {"$set": 1}])
def test_fields_that_bson_has_no_place_for_are_kept_as_json(server: str, database: Any, odd: object) -> None:
    deep: object = 1
    for _ in range(90):
        deep = [deep]
    record = transaction(0)
    value = {**json.loads(record.value or b""), "odd": odd, "deep": deep}
    write(server, SinkRecord("transactions", 0, 0, record.key, json.dumps(value).encode(), record.timestamp))
    [found] = database.transactions.find()
    assert json.loads(found["other"]) == {"odd": odd, "deep": deep}


def test_what_grows_too_large_as_a_document_is_kept_all_the_same(server: str, database: Any) -> None:
    """A list of small numbers takes six times its bytes in BSON, a letter three times its bytes in JSON."""
    many = [7] * 2_000_000
    write(server, transaction(0, many=many))
    [first] = database.transactions.find({"offset": 0})
    assert json.loads(first["other"]) == {"many": many}
    record = transaction(2, odd={"$a": "é" * 2_500_000})
    write(server, record)
    [rejected] = database.rejected.find()
    assert rejected["value"] == record.value and "too large" in rejected["reason"]


def test_documents_are_removed_after_days(server: str, database: Any) -> None:
    def expires() -> int | None:
        found: int | None = database.transactions.index_information().get("stored_at", {}).get("expireAfterSeconds")
        return found

    write(server, transaction(0))
    assert expires() is None
    for days in (3, 3, 30):
        write(server, transaction(0), days=days)
        assert expires() == days * 86_400
    write(server, transaction(0))
    assert expires() is None
    assert {"account_id_1_event_time_1", "merchant_id_1_event_time_1"} <= set(database.transactions.index_information())


def test_a_server_that_is_away_is_tried_again() -> None:
    url = f"mongodb://u:secret@127.0.0.1:{free_port()}/streamguard?serverSelectionTimeoutMS=200"
    with closing(SINKS["mongodb"](url)) as sink:
        with pytest.raises(SinkUnavailable, match=r"MongoDB at mongodb://127.0.0.1:\d+/streamguard") as error:
            sink.next_offsets("decisions")
        with pytest.raises(SinkUnavailable):
            sink.write([decision(0)])
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (OperationFailure("internal server error", 1, {"ok": 0}), SinkUnavailable, "internal server error"),
        (BulkWriteError({"writeErrors": [{"code": 14031, "errmsg": "disk  full"}]}), SinkUnavailable, "disk full"),
        (
            BulkWriteError({"writeConcernErrors": [{"code": 64, "errmsg": "no majority"}]}),
            SinkUnavailable,
            "no majority",
        ),
        (
            BulkWriteError({"writeErrors": [{"code": 11000, "errmsg": "twice"}, {"code": 121, "errmsg": "too old"}]}),
            SinkError,
            "rejects a document: too old",
        ),
    ],
)
def test_an_answer_of_the_server_is_one_sentence(error: Exception, kind: type[SinkError], said: str) -> None:
    with closing(MongoSink("mongodb://127.0.0.1:1/streamguard")) as sink:
        found = sink._failed(error)
    assert type(found) is kind and str(found).endswith(said)


@pytest.mark.parametrize("url", ["http://127.0.0.1", "mongodb://", "mongodb://h:99999"])
def test_a_url_that_is_none_is_an_error(url: str) -> None:
    with pytest.raises(SinkError, match="MONGODB_URL"):
        MongoSink(url)


def test_the_aggregations_of_the_page_run_as_written(server: str, database: Any) -> None:
    hours = [transaction(n, event_time=BEGIN_MS + n * 1_800_000) for n in range(12)]
    write(server, *hours, transaction(12, currency="USD"))
    page = (PROJECT_ROOT / "docs" / "sinks.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(\w+ = database\..*?)```", page, re.DOTALL)
    found: dict[str, Any] = {"database": database, "account_id": "A0"}
    for block in blocks:
        exec(block, found)
    behaviour, merchants = list(found["behaviour"]), list(found["merchants"])
    assert [(row["_id"], row["payments"]) for row in behaviour] == [("BRL", 4), ("USD", 1)]
    assert behaviour[0]["usual"].to_decimal() == Decimal("14.75") and behaviour[0]["categories"] == ["grocery"]
    assert behaviour[0]["last"] == datetime(2026, 1, 1, 4, 30, tzinfo=timezone.utc)
    assert sum(row["payments"] for row in merchants) == 13
    assert merchants[0]["_id"] == {"merchant": "M0", "hour": 0, "currency": "BRL"}

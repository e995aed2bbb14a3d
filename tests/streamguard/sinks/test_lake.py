"""The lake: typed tables by day, every record once, few files, readable by others."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import date, datetime, timezone
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

import duckdb
import polars
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from streamguard.sinks import SINKS, SinkError, SinkRecord, SinkUnavailable
from streamguard.sinks.lake import LakeSink
from streamguard.sinks.lake_tables import columns
from streamguard.sinks.lake_upkeep import Upkeep, compact, vacuum
from tests.streamguard.sinks.examples import (
    BEGIN_MS,
    DAY_MS,
    EXTREME_DECISIONS,
    POISON,
    alert,
    decision,
    poison,
    transaction,
)


def write(folder: Path, *records: SinkRecord) -> None:
    with closing(SINKS["lake"](str(folder))) as sink:
        sink.write(records)


def rows(folder: Path, table: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pa.table(DeltaTable(str(folder / table)).to_pyarrow_table()).to_pylist()
    return sorted(found, key=lambda row: (row["topic"], row["partition"], row["offset"]))


def offsets(folder: Path, table: str) -> list[int]:
    return [row["offset"] for row in rows(folder, table)]


def test_a_transaction_is_a_row_of_typed_columns(tmp_path: Path) -> None:
    late = transaction(1, event_time=BEGIN_MS + DAY_MS, amount="19.9", latitude=-3.5, label=b"card_testing", shop="X")
    write(tmp_path, transaction(0, label=b""), late, transaction(2))
    first, second, third = rows(tmp_path, "transactions")
    assert second["amount"] == Decimal("19.9000") and second["latitude"] == -3.5 and second["currency"] == "BRL"
    assert second["event_time"] == datetime(2026, 1, 2, tzinfo=timezone.utc) and second["day"] == date(2026, 1, 2)
    assert (second["topic"], second["partition"], second["offset"]) == ("transactions", 0, 1)
    assert [first["is_fraud"], second["is_fraud"], third["is_fraud"]] == [False, True, None]
    assert second["other_fields"] == '{"shop":"X"}' and first["other_fields"] is None
    assert first["city"] is None
    folders = {path.name for path in (tmp_path / "transactions").glob("day=*")}
    assert folders == {"day=2026-01-01", "day=2026-01-02"}
    assert columns("transactions").names[:4] == ["transaction_id", "account_id", "amount", "currency"]


def test_odd_texts_and_numbers_have_their_place(tmp_path: Path) -> None:
    """What the consumer takes, the lake takes: half a pair of surrogates, a number in a text, fields of any size."""
    odd = b'{"transaction_id": "x\\ud800", "account_id": "A", "amount": "7", "currency": "brl", "event_time": %d,'
    odd += b' "city": 5, "big": 1234567890123456789012345678901234567890, "half": "\\ud800"}'
    write(tmp_path, SinkRecord("transactions", 0, 0, b"A", odd % BEGIN_MS, BEGIN_MS))
    [row] = rows(tmp_path, "transactions") or rows(tmp_path, "rejected")
    assert "reason" not in row, row["reason"]
    assert row["city"] == "5" and row["currency"] == "BRL" and "\\ud800" in row["other_fields"]


def test_alerts_and_decisions_have_their_tables(tmp_path: Path) -> None:
    write(tmp_path, alert(0), decision(0))
    [one], [other] = rows(tmp_path, "fraud_alerts"), rows(tmp_path, "decisions")
    assert one["amount"] == Decimal("1234.5000") and one["tx_count"] == 1 and one["alert_id"] == "HIGH_AMOUNT:t-0"
    assert one["window_start"] == datetime(2026, 1, 1, tzinfo=timezone.utc)
    assert other["verdicts"] == '[{"rule":"amount","points":90}]' and other["score"] == 90
    assert other["decided_at"] == datetime(2026, 1, 1, tzinfo=timezone.utc) and other["day"] == date(2026, 1, 1)


def test_what_is_no_record_of_its_topic_is_rejected_with_its_bytes(tmp_path: Path) -> None:
    bad = [poison(n, value=value) for n, value in enumerate(POISON)]
    bad += [decision(n, **changes) for n, changes in enumerate(EXTREME_DECISIONS)]
    bad += [poison(0, "fraud_alerts"), SinkRecord("elsewhere", 0, 0, None, b"{}", 5)]
    write(tmp_path, *bad, transaction(len(POISON)))
    found = rows(tmp_path, "rejected")
    assert {(r.topic, r.offset, r.value) for r in bad} == {(row["topic"], row["offset"], row["value"]) for row in found}
    assert len(found) == len(bad) and all(row["reason"] for row in found)
    assert offsets(tmp_path, "transactions") == [len(POISON)] and offsets(tmp_path, "decisions") == []
    sink = SINKS["lake"](str(tmp_path))
    assert sink.next_offsets("transactions") == {0: len(POISON) + 1}
    assert sink.next_offsets("decisions") == {0: len(EXTREME_DECISIONS)}
    sink.close()


def test_a_repeated_record_is_stored_once(tmp_path: Path) -> None:
    write(tmp_path, transaction(0), poison(1), transaction(0, partition=12), decision(4))
    write(tmp_path, transaction(0), poison(1), transaction(2), poison(3), transaction(0, partition=12), decision(4))
    write(tmp_path, transaction(0), poison(1))
    assert offsets(tmp_path, "transactions") == [0, 2, 0] and offsets(tmp_path, "rejected") == [1, 3]
    sink = SINKS["lake"](str(tmp_path))
    assert sink.next_offsets("transactions") == {0: 4, 12: 1} and sink.next_offsets("decisions") == {0: 5}
    assert sink.next_offsets("fraud_alerts") == {}
    sink.close()


def test_a_crash_between_the_commits_of_a_batch_repeats_nothing(tmp_path: Path) -> None:
    """The commit of what is rejected is there, that of the topic's table is not."""
    batch = [transaction(0), poison(1), transaction(2)]
    write(tmp_path / "whole", *batch)
    write(tmp_path / "cut", batch[1])
    for table in ("transactions",):
        # As if the crash had come before it: the table without its offset.
        for path in sorted((tmp_path / "cut" / table / "_delta_log").glob("*1.json")):
            path.unlink()
    write(tmp_path / "cut", *batch)
    for table in ("transactions", "rejected"):
        assert rows(tmp_path / "cut", table) == rows(tmp_path / "whole", table)


def test_of_two_writers_one_is_told_to_read_again(tmp_path: Path) -> None:
    first, second = (LakeSink(f"file://{tmp_path}") for _ in range(2))
    for sink in (first, second):
        assert sink.next_offsets("decisions") == {}
    first.write([decision(0), decision(1)])
    # It looks before it writes: what the other has written meanwhile is left out.
    second.write([decision(0), decision(1), decision(2)])
    assert offsets(tmp_path, "decisions") == [0, 1, 2]
    assert first.next_offsets("decisions") == {0: 3}
    first.close()
    second.close()


def test_a_second_process_is_rejected_in_a_folder(tmp_path: Path) -> None:
    first = SINKS["lake"](str(tmp_path))
    with pytest.raises(SinkError, match="another process writes to"):
        SINKS["lake"](str(tmp_path))
    first.close()
    SINKS["lake"](str(tmp_path)).close()


def test_a_lake_that_cannot_be_reached_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "lake").write_text("in the way")
    sink = SINKS["lake"](str(tmp_path / "lake"))
    with pytest.raises(SinkUnavailable, match=r"the lake .* cannot be used"):
        sink.next_offsets("decisions")
    (tmp_path / "lake").unlink()
    assert sink.next_offsets("decisions") == {}
    sink.write([decision(0)])
    sink.close()
    assert offsets(tmp_path / "lake", "decisions") == [0]


def test_columns_that_a_table_lacks_are_added(tmp_path: Path) -> None:
    """A table of an earlier version: with fewer columns, and rows without them."""
    new = columns("transactions")
    old = pa.schema([field for field in new if field.name not in ("ip_address", "other_fields")])
    DeltaTable.create(str(tmp_path / "transactions"), old, partition_by=["day"])
    write(tmp_path, transaction(0, ip_address="10.0.0.1"))
    [row] = rows(tmp_path, "transactions")
    assert row["ip_address"] == "10.0.0.1" and row["other_fields"] is None


def test_a_day_has_few_files_after_compaction_and_nothing_is_lost(tmp_path: Path) -> None:
    sink = LakeSink(str(tmp_path), upkeep=False)
    for offset in range(0, 60, 2):
        sink.write([transaction(offset), transaction(offset + 1, event_time=BEGIN_MS + DAY_MS)])
    before = rows(tmp_path, "transactions")
    table = DeltaTable(str(tmp_path / "transactions"))
    assert len(table.file_uris()) == 60
    compact(table)
    # Written with the state before it.
    sink.write([transaction(60)])
    table = DeltaTable(str(tmp_path / "transactions"))
    assert len(table.file_uris()) == 3
    assert len(vacuum(table, 0)) == 60
    assert rows(tmp_path, "transactions")[:-1] == before and offsets(tmp_path, "transactions")[-1] == 60
    assert sink.next_offsets("transactions") == {0: 61}
    sink.close()


def test_the_upkeep_runs_beside_the_writing(tmp_path: Path) -> None:
    sink, upkeep = LakeSink(str(tmp_path), upkeep=False), Upkeep(str(tmp_path), 1, after_commits=10)
    deadline = time.monotonic() + 60
    offset = 0
    while offset < 40 or len(list((tmp_path / "decisions" / "_delta_log").glob("*.checkpoint.parquet"))) == 0:
        assert time.monotonic() < deadline
        sink.write([decision(offset)])
        upkeep.wrote(["decisions"])
        offset += 1
    upkeep.close()
    sink.close()
    assert offsets(tmp_path, "decisions") == list(range(offset))
    assert len(DeltaTable(str(tmp_path / "decisions")).file_uris()) < offset


def test_others_read_it(tmp_path: Path) -> None:
    write(tmp_path, *(transaction(n) for n in range(10)))
    folder = str(tmp_path / "transactions")
    expected = Decimal("147.5000")
    assert polars.read_delta(folder)["amount"].sum() == expected
    arrow = DeltaTable(folder).to_pyarrow_dataset()  # noqa: F841 named by the query
    found = duckdb.execute("SELECT sum(amount), max(day) FROM arrow").fetchall()
    assert found == [(expected, date(2026, 1, 1))]


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning")
def test_spark_reads_it(tmp_path: Path) -> None:
    from pyspark.sql import SparkSession

    write(tmp_path, *(transaction(n) for n in range(10)))
    server = import_module("pysail.spark").SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    try:
        host, port = server.listening_address
        spark = SparkSession.builder.remote(f"sc://{host}:{port}").getOrCreate()
        frame = spark.read.format("delta").load(str(tmp_path / "transactions"))
        [found] = frame.selectExpr("sum(amount) AS amount", "max(day) AS day", "count(*) AS count").collect()
        spark.stop()
    finally:
        server.stop()
    assert (found["amount"], found["day"], found["count"]) == (Decimal("147.5000"), date(2026, 1, 1), 10)

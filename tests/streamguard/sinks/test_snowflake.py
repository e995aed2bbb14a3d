"""Snowflake, as far as fakesnow has it: typed rows, every record once, one transaction for rows and offsets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timezone
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from streamguard.sinks import SINKS, Sink, SinkRecord, SinkUnavailable, snowflake_tables
from tests.streamguard.sinks.examples import BEGIN_MS, EXTREME_DECISIONS, POISON, alert, decision, poison, transaction
from tests.support.broker import free_port
from tests.support.snowflake import SnowflakeProcess

pytestmark = [pytest.mark.soak, pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SnowflakeProcess]:
    process = SnowflakeProcess(tmp_path_factory.mktemp("snowflake")).start()
    yield process
    process.kill()


@pytest.fixture
def database(server: SnowflakeProcess, request: pytest.FixtureRequest) -> str:
    return "T_" + "".join(c if c.isalnum() else "_" for c in request.node.name).upper()[:60]


def opened(server: SnowflakeProcess, database: str) -> Sink:
    return SINKS["snowflake"](server.url, user="u", password="p", database=database)


def write(server: SnowflakeProcess, database: str, *records: SinkRecord) -> None:
    with closing(opened(server, database)) as sink:
        sink.write(records)


def ask(server: SnowflakeProcess, database: str, question: str) -> list[tuple[Any, ...]]:
    return server.ask(database, question)


def test_a_transaction_is_a_typed_row(server: SnowflakeProcess, database: str) -> None:
    write(server, database, transaction(7, partition=2, label=b"x", amount="19.9", latitude=-3.5, shop={"floor": 3}))
    fields = "amount, event_time, latitude, is_fraud, city, other_fields:shop.floor::INT, record_offset"
    time = datetime.fromtimestamp(BEGIN_MS / 1000 + 7, timezone.utc)
    assert ask(server, database, f"SELECT {fields} FROM transactions") == [
        (Decimal("19.9000"), time, -3.5, True, None, 3, 7)
    ]


def test_odd_fields_have_their_place(server: SnowflakeProcess, database: str) -> None:
    odd = {"half": "\ud800", "big": 2**80, "$set": {"a\x00": 1}}
    record = transaction(0)
    value = json.dumps({**json.loads(record.value or b""), **odd}).encode()
    write(server, database, SinkRecord("transactions", 0, 0, record.key, value, record.timestamp), transaction(1))
    [(found,), (none,)] = ask(server, database, "SELECT other_fields FROM transactions ORDER BY record_offset")
    assert json.loads(json.loads(found)) == odd and none is None


def test_alerts_and_decisions_have_their_tables(server: SnowflakeProcess, database: str) -> None:
    write(server, database, alert(0), decision(0))
    assert ask(server, database, "SELECT alert_id, tx_count FROM fraud_alerts") == [("HIGH_AMOUNT:t-0", 1)]
    assert ask(server, database, "SELECT score, verdicts[0]:rule::VARCHAR FROM decisions") == [(90, "amount")]


def test_a_batch_of_many_statements_is_stored_as_a_whole(server: SnowflakeProcess, database: str) -> None:
    records = [transaction(n, note="n" * 1_000) for n in range(3_000)]
    write(server, database, *records, poison(3_000))
    question = "SELECT count(*), max(record_offset), min(transaction_id) FROM transactions"
    assert ask(server, database, question) == [(3_000, 2_999, "t-0-0")]


def test_a_repeated_record_is_stored_once(server: SnowflakeProcess, database: str) -> None:
    write(server, database, transaction(0), poison(1), transaction(0, partition=1))
    write(server, database, transaction(0), poison(1), transaction(2), transaction(0, partition=1))
    question = "SELECT partition_no, record_offset FROM {} ORDER BY 1, 2"
    assert ask(server, database, question.format("transactions")) == [(0, 0), (0, 2), (1, 0)]
    assert ask(server, database, question.format("rejected")) == [(0, 1)]
    with closing(opened(server, database)) as sink:
        assert sink.next_offsets("transactions") == {0: 3, 1: 1} and sink.next_offsets("decisions") == {}
        sink.write([transaction(0)])
        assert sink.next_offsets("transactions") == {0: 3, 1: 1}


def test_what_is_no_record_of_its_topic_is_rejected_with_its_bytes(server: SnowflakeProcess, database: str) -> None:
    bad = [poison(n, value=value) for n, value in enumerate(POISON)]
    bad += [decision(n, **changes) for n, changes in enumerate(EXTREME_DECISIONS)]
    write(server, database, *bad)
    found = ask(server, database, "SELECT topic, record_offset, value FROM rejected")
    assert {(t, n): None if v is None else bytes(v) for t, n, v in found} == {(r.topic, r.offset): r.value for r in bad}


def test_a_transaction_that_is_cut_off_leaves_nothing(server: SnowflakeProcess, database: str) -> None:
    """The last statement fails, for its table is gone: the rows before it are not there either."""
    write(server, database, transaction(0))
    with closing(opened(server, database)) as sink:
        sink.next_offsets("transactions")
        ask(server, database, "DROP TABLE sink_offsets")
        with pytest.raises(SinkUnavailable, match="takes no records"):
            sink.write([transaction(1), poison(2)])
    assert ask(server, database, "SELECT count(*) FROM transactions") == [(1,)]
    assert ask(server, database, "SELECT count(*) FROM rejected") == [(0,)]


def test_a_transaction_that_is_gone_at_its_end_is_noticed(
    server: SnowflakeProcess, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """COMMIT succeeds also where there is nothing to commit."""
    with closing(opened(server, database)) as sink:
        sink.write([transaction(0)])
        monkeypatch.setattr(snowflake_tables, "MERGE_OFFSETS", "ROLLBACK")
        with pytest.raises(SinkUnavailable, match="takes no records: the transaction was rolled back at its end"):
            sink.write([transaction(1)])
        assert sink.next_offsets("transactions") == {0: 1}


def test_columns_that_a_table_lacks_are_added(server: SnowflakeProcess, database: str) -> None:
    write(server, database, transaction(0))
    ask(server, database, "ALTER TABLE transactions DROP COLUMN ip_address")
    write(server, database, transaction(1, ip_address="10.0.0.1"))
    question = "SELECT ip_address FROM transactions ORDER BY record_offset"
    assert ask(server, database, question) == [(None,), ("10.0.0.1",)]


def test_a_server_that_is_away_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = import_module("streamguard.sinks.snowflake")
    monkeypatch.setattr(module, "_LOGIN_S", 1)
    with closing(SINKS["snowflake"](f"http://127.0.0.1:{free_port()}", user="u", password="s3cret")) as sink:
        with pytest.raises(SinkUnavailable, match=r"Snowflake at http://127.0.0.1:\d+ takes no records") as error:
            sink.next_offsets("decisions")
        assert "s3cret" not in str(error.value)

"""From transactions on a broker, through the SQL engine and the sink, into Postgres: what a plain reading gives, once."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest

from streamguard.config import Settings, load_settings
from streamguard.database.retention import FIGURES
from streamguard.database.retention import run as cut
from streamguard.figures.kinds import TOPICS
from streamguard.kafka.topics import ensure_topics
from streamguard.sinks import SINKS, Sink, SinkRecord
from streamguard.sinks.base import Rereading, SinkUnavailable
from streamguard.sinks.runner import run
from streamguard.sqldeploy.run import topics_of
from streamguard.sqldeploy.script import read
from streamguard_ksql.runtime.clients import KafkaTopics
from tests.streamguard.rules_sql.figures_reading import NAMED_BY, Key, Sums, read_plainly
from tests.streamguard.rules_sql.test_analytics import FILES, KSQLDB, generated, shuffled
from tests.support.broker import BrokerProcess
from tests.support.desk import Desk
from tests.support.engine import RunningEngine, produce
from tests.support.postgres import EmbeddedPostgres
from tests.support.processes import eventually

START_MS = 1_780_000_020_000


def window(
    offset: int, count: int, name: str = "card", topic: str = "figures_by_type", partition: int = 0
) -> SinkRecord:
    """A record as the SQL writes it."""
    value = {
        "NAME": name,
        "CURRENCY_CODE": "EUR",
        "TX_COUNT": count,
        "WINDOW_START": START_MS,
        "TOTAL_AMOUNT": count,
        "EARNING": count,
        "FLAT": 1,
        "PROGRESSIVE": 2,
        "TIERED": 3,
        "BY_CATEGORY": 4,
        "WINDOW_END": START_MS + 60_000,
    }
    return SinkRecord(topic, partition, offset, None, json.dumps(value).encode(), START_MS)


@pytest.fixture
def settings(postgres: EmbeddedPostgres, broker: BrokerProcess) -> Settings:
    return load_settings(database_url=postgres.url(), kafka_bootstrap_servers=broker.address)


@pytest.fixture
def sink(settings: Settings) -> Iterator[Sink]:
    made = SINKS["figures"].open(settings)
    yield made
    made.close()


def stored(postgres: EmbeddedPostgres) -> dict[Key, Sums]:
    """The table, in the form of the plain reading."""
    rows = postgres.query(
        "SELECT figure, extract(epoch FROM window_start) * 1000, name, currency, transactions, amount, earning,"
        " commission_flat, commission_progressive, commission_tiered, commission_by_category FROM live_figures"
    )
    ways = ("flat", "progressive", "tiered", "by_category")
    return {
        (figure, int(start), name, currency): Sums(count, amount, earning, dict(zip(ways, earned, strict=True)))
        for figure, start, name, currency, count, amount, earning, *earned in rows
    }


def test_a_generated_day_is_in_the_table_as_a_plain_reading_has_it(
    broker: BrokerProcess, postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    arrivals = shuffled(generated(tmp_path, 700, 11), Random(11), 4 * 60_000)
    settings = load_settings(kafka_bootstrap_servers=broker.address, database_url=postgres.url())
    ensure_topics(settings, extra=topics_of([KSQLDB / file for file in FILES]))
    records: list[tuple[Any, Any]] = [(str(fields["account_id"]), fields) for fields, _ in arrivals]
    produce(broker.address, "transactions", records, [fields["event_time"] for fields, _ in arrivals])
    engine = RunningEngine(broker.address)
    try:
        for item in [item for file in FILES for item in read(KSQLDB / file)]:
            engine.runtime.submit(item.statement, {}, item.text)
            if item.name == "COMMISSIONS":
                engine.settle()  # the tables read a topic that is full: how fast it fills has no part in it
        engine.settle()
    finally:
        engine.close()
    for _ in range(2):  # the second reads on behind the first, and finds nothing
        made = SINKS["figures"].open(settings)
        run(settings, made, list(TOPICS), threading.Event(), to_end=True)
        made.close()
    assert stored(postgres) == read_plainly((fields for fields, is_valid in arrivals if is_valid), NAMED_BY)


def test_a_later_state_replaces_a_window_and_one_read_again_changes_nothing(
    sink: Sink, postgres: EmbeddedPostgres
) -> None:
    assert sink.next_offsets("figures_by_type") == {}
    first, second = [window(0, 1), window(1, 2)], [window(2, 3), window(0, 9, partition=1, name="cash")]
    for records in (first, second, first, second):
        sink.write(records)
    found = postgres.query("SELECT name, transactions, amount FROM live_figures ORDER BY name")
    assert found == [("card", 3, Decimal(3)), ("cash", 9, Decimal(9))]
    assert sink.next_offsets("figures_by_type") == {0: 3, 1: 1}


def test_what_is_no_figure_is_left_out_and_named(
    sink: Sink, postgres: EmbeddedPostgres, caplog: pytest.LogCaptureFixture
) -> None:
    poison = [None, b"", b"{", b"[]", b"{}", b'{"NAME": "x"}', window(0, 1).value and b"\xff"]
    records = [SinkRecord("figures_by_type", 0, n, None, value, START_MS) for n, value in enumerate(poison)]
    with caplog.at_level(logging.ERROR):
        sink.write([*records, window(len(records), 1, name="a\x00\ud800b")])
    assert caplog.text.count("is no live figure and is left out") == len(records)
    assert postgres.query("SELECT name FROM live_figures") == [("a\ufffd\ufffdb",)]
    assert sink.next_offsets("figures_by_type") == {0: len(records) + 1}


def test_accounts_are_stored_as_the_database_stores_them(
    postgres: EmbeddedPostgres, settings: Settings, tmp_path: Path
) -> None:
    kept = {"pii_account": "token", "pii_key": "k" * 40, "state_dir": tmp_path}
    made = SINKS["figures"].open(
        load_settings(database_url=postgres.url(), kafka_bootstrap_servers=settings.kafka_bootstrap_servers, **kept)
    )
    made.next_offsets("figures_by_account")
    made.write([window(0, 1, name="A1", topic="figures_by_account"), window(0, 1, name="A1")])
    made.close()
    [(account,), (kind,)] = postgres.query("SELECT name FROM live_figures ORDER BY figure")
    assert kind == "A1" and account.startswith("acc_") and "A1" not in account


def test_a_second_process_waits_until_the_first_ends(sink: Sink, settings: Settings) -> None:
    sink.next_offsets("figures_by_type")
    other = SINKS["figures"].open(settings)
    with pytest.raises(SinkUnavailable, match="another process stores live figures"):
        other.next_offsets("figures_by_type")
    sink.close()
    assert other.next_offsets("figures_by_type") == {}
    other.close()


def test_a_database_that_was_away_is_written_to_again(sink: Sink, postgres: EmbeddedPostgres) -> None:
    sink.next_offsets("figures_by_type")
    postgres.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'streamguard-figures'"
    )
    with pytest.raises(SinkUnavailable, match="the database is unavailable"):
        sink.write([window(0, 1)])
    assert sink.next_offsets("figures_by_type") == {}
    sink.write([window(0, 1)])
    assert postgres.query("SELECT count(*) FROM live_figures") == [(1,)]


def test_a_topic_that_was_made_anew_is_read_from_its_beginning(
    broker: BrokerProcess, settings: Settings, postgres: EmbeddedPostgres
) -> None:
    """However many records it has by now: those of SQL that was replaced are as many as before."""
    topics = KafkaTopics(broker.address)
    records: list[tuple[Any, Any]] = [("k", window(n, n).value) for n in range(1, 4)]
    topics.create("figures_by_type", 1, {})
    produce(broker.address, "figures_by_type", records)
    made = SINKS["figures"].open(settings)
    run(settings, made, ["figures_by_type"], threading.Event(), to_end=True)
    assert isinstance(made, Rereading) and not made.is_outdated()
    assert made.next_offsets("figures_by_type") == {0: 3}
    topics.delete("figures_by_type")
    eventually(topics.all, lambda names: "figures_by_type" not in names, 20, "it is deleted")
    topics.create("figures_by_type", 1, {})
    produce(broker.address, "figures_by_type", [("k", window(n, 10 * n).value) for n in (2, 1)] + records[:1] * 4)
    assert made.is_outdated()
    assert made.next_offsets("figures_by_type") == {}
    made.close()
    again = SINKS["figures"].open(settings)
    assert run(settings, again, ["figures_by_type"], threading.Event(), to_end=True) == 6
    assert again.next_offsets("figures_by_type") == {0: 6}
    again.close()
    assert postgres.query("SELECT transactions FROM live_figures") == [(1,)]


def test_old_figures_are_cut(sink: Sink, desk: Desk) -> None:
    sink.write([window(0, 1)])
    start = datetime.fromtimestamp(START_MS / 1_000, timezone.utc)
    assert cut(desk.engine, start, FIGURES, who="ana") == 0
    assert cut(desk.engine, start + timedelta(seconds=1), FIGURES, who="ana") == 1

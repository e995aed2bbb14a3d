"""What cannot be back-tested is one sentence, with the nearest name where a name is wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from streamguard.backtest.errors import BacktestError
from streamguard.backtest.execute import execute
from streamguard.backtest.prepare import Files, Request, at, duration_ms, until_offsets
from streamguard.config import UserError
from streamguard.kafka.clients import KafkaUnavailable
from tests.streamguard.backtest.conftest import START_MS, Bench, payments, send

RULE = """INSERT INTO fraud_alerts WITH (QUERY_ID='{query_id}')
SELECT account_id, transaction_id AS alert_id, 'HIGH_AMOUNT' AS rule, {column} AS transaction_id, amount,
    CAST(1 AS BIGINT) AS tx_count, event_time AS window_start, event_time AS window_end, event_time AS detected_at
FROM transactions EMIT CHANGES;
"""


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (Request(), "nothing to compare: give --sql"),
        (Request(define={"velocty_count": "2"}), "--define velocty_count: no file DEFINEs it; velocity_count is the"),
        (Request(limits=["base_scor=1"]), "there is no limit base_scor; base_score is the nearest name"),
        (Request(limits=["base_score=much"]), "--limit base_score=much: Input should be a valid integer"),
        (Request(limits=["base_score"]), "--limit base_score: NAME=VALUE is expected"),
        (Request(modes=["HIGH_VELOCTY=off"]), "there is no rule HIGH_VELOCTY; HIGH_VELOCITY is the nearest name"),
        (Request(modes=["HIGH_VELOCITY=on"]), "--mode HIGH_VELOCITY=on: a mode is active, shadow or off"),
        (Request(define={"velocity_count": "2"}, from_ms=2, to_ms=2), "--from is not before --to"),
        (Request(define={"velocity_count": "2"}, warm_up_ms=2), "--warm-up counts back from --from"),
    ],
)
def test_what_is_asked_for_has_to_make_sense(bench: Bench, request_: Request, sentence: str) -> None:
    with pytest.raises(UserError) as refusal:
        bench.on_files(payments(3), request_)
    assert sentence in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("query_id", "column", "sentence"),
    [
        ("high_amount", "transaction_idd", r"new\.sql:\d+: .*TRANSACTION_IDD"),
        (
            "high_amont",
            "transaction_id",
            r"new\.sql:2: the query high_amont raises alerts and has no line in .* high_amount is",
        ),
    ],
)
def test_sql_that_cannot_run_is_named_with_its_line(bench: Bench, query_id: str, column: str, sentence: str) -> None:
    file = bench.sql("\n" + RULE.format(query_id=query_id, column=column))
    with pytest.raises(BacktestError, match=sentence):
        bench.on_files(payments(3), Request(sql=[file]))


def test_sql_that_is_none_is_named_with_its_line(bench: Bench) -> None:
    with pytest.raises(UserError, match=r"new\.sql: line 2:"):
        bench.on_files(payments(3), Request(sql=[bench.sql("\nINSERT INTO;\n")]))


def test_a_range_outside_the_data_is_a_sentence_with_the_range_of_the_data(bench: Bench) -> None:
    request = Request(define={"velocity_count": "2"}, from_ms=START_MS - 2_000_000, to_ms=START_MS - 1_000_000)
    with pytest.raises(BacktestError) as refusal:
        bench.on_files(payments(3), request)
    assert "the data has transactions from 2026-09-21 14:1" in str(refusal.value)
    assert "none from 2026-09-21 13:40:00 to 2026-09-21 13:56:40" in str(refusal.value)


def test_without_a_broker_there_is_a_sentence(bench: Bench) -> None:
    with pytest.raises(KafkaUnavailable, match=r"Kafka at 127\.0\.0\.1:1 \(KAFKA_BOOTSTRAP_SERVERS\)"):
        bench.run(Request(define={"velocity_count": "2"}))


def test_an_empty_topic_and_offsets_that_are_not_there_are_sentences(topic_bench: Bench) -> None:
    lower = Request(define={"velocity_count": "2"})
    with pytest.raises(BacktestError, match="has no transaction that the rules could see"):
        topic_bench.run(lower)
    send(topic_bench.servers, payments(30))
    for text, sentence in (
        ("transactions:0:1000", "partition 0 of transactions ends at offset"),
        ("transactions:7:1", "partition 7 of transactions is not there"),
    ):
        with pytest.raises(BacktestError, match=sentence):
            topic_bench.run(replace(lower, until=until_offsets([text])))


def test_times_durations_and_offsets_are_read() -> None:
    assert at("--from", "1970-01-02") == 86_400_000
    assert at("--to", "1970-01-02", end=True) == 2 * 86_400_000
    assert at("--from", "1970-01-01T01:00+01:00") == at("--from", "1970-01-01T00:00Z") == 0
    assert duration_ms("--warm-up", "90m") == 5_400_000
    assert until_offsets(["a:0:1,a:1:2", "b:0:3"]) == {"a": {0: 1, 1: 2}, "b": {0: 3}}
    for read, text in ((at, "yesterday"), (at, "2026-13-01"), (duration_ms, "long"), (duration_ms, "5")):
        with pytest.raises(BacktestError, match=text):
            read("--option", text)
    with pytest.raises(BacktestError, match="TOPIC:PARTITION:OFFSET is expected"):
        until_offsets(["transactions:5"])


def test_files_that_were_changed_are_not_repeated(bench: Bench) -> None:
    bench.on_files(payments(30), Request(define={"velocity_count": "2"}))
    file = bench.folder / "payments.jsonl"
    spec = bench.spec(Request(define={"velocity_count": "2"}, files=Files(file)))
    file.write_bytes(file.read_bytes() + b"\n")
    with pytest.raises(BacktestError, match="other files than the back-test was run on"):
        execute(spec, "")

"""Rewinding the limit of the velocity rule gives exactly what a plain reading of the transactions gives."""

from __future__ import annotations

from typing import Any

import pytest

from streamguard.backtest.execute import execute
from streamguard.backtest.prepare import Files, Request
from streamguard.backtest.result import encode
from streamguard.backtest.spec import dump, load
from streamguard.config.resources import sql_file
from streamguard_ksql.hashing import partition_for
from tests.streamguard.backtest.conftest import START_MS, Bench, Payment, payments, send, velocity_alerts

REWOUND = Request(define={"velocity_count": "2"})


def as_read(found: dict[str, Any], side: str) -> dict[str, tuple[int, list[str]]]:
    """The gained alerts of a result, as `velocity_alerts` has them."""
    return {
        alert["alert_id"]: (alert[side]["tx_count"], [t["transaction_id"] for t in alert["transactions"][side]])
        for alert in found["alerts"]["gained"]
    }


def gained_by_hand(by_partition: list[list[Payment]]) -> dict[str, tuple[int, list[str]]]:
    before, after = velocity_alerts(by_partition, 3), velocity_alerts(by_partition, 2)
    return {alert_id: found for alert_id, found in after.items() if alert_id not in before}


def test_a_lower_limit_gains_what_a_plain_reading_of_files_gains(bench: Bench) -> None:
    sent = payments(3_000)
    found = bench.on_files(sent, REWOUND)
    in_order = sorted(sent, key=lambda payment: payment["event_time"])
    by_partition = [[p for p in in_order if partition_for(p["account_id"].encode(), 3) == n] for n in range(3)]
    wanted = gained_by_hand(by_partition)
    assert len(wanted) > 50
    assert as_read(found, "b") == wanted
    assert found["alerts"]["lost"] == found["alerts"]["changed"] == []
    assert list(found["rules"]) == ["HIGH_VELOCITY"]
    assert found["rules"]["HIGH_VELOCITY"]["a"]["alerts"] == len(velocity_alerts(by_partition, 3))


@pytest.mark.parametrize("count", [6_000, pytest.param(100_000, marks=pytest.mark.soak)])
def test_a_lower_limit_gains_what_a_plain_reading_of_the_topic_gains(topic_bench: Bench, count: int) -> None:
    by_partition = send(topic_bench.servers, payments(count))
    found = topic_bench.run(REWOUND)
    wanted = gained_by_hand(by_partition)
    assert len(wanted) > 50
    assert as_read(found, "b") == wanted
    assert found["alerts"]["lost"] == found["alerts"]["changed"] == []
    assert found["read"]["transactions"] == count
    ends = {str(n): [0, len(sent)] for n, sent in enumerate(by_partition)}
    assert found["source"]["offsets"]["transactions"] == ends


def test_only_alerts_of_the_range_are_reported_with_the_state_from_before(topic_bench: Bench) -> None:
    # The third of a minute's transactions is in the range, the first two are not.
    at_ms = START_MS // 60_000 * 60_000
    sent = [
        {"transaction_id": f"t{n}", "account_id": "A", "amount": 10, "currency": "EUR", "event_time": at_ms + n * 1_000}
        for n in range(3)
    ]
    send(topic_bench.servers, sent)
    request = Request(define={"velocity_count": "2"}, from_ms=at_ms + 2_000, to_ms=at_ms + 60_000)
    found = topic_bench.run(request)
    assert [alert["alert_id"] for alert in found["alerts"]["gained"]] == [f"HIGH_VELOCITY:A:{at_ms}"]
    assert len(found["alerts"]["gained"][0]["transactions"]["b"]) == 3
    assert (found["read"]["transactions"], found["read"]["in_range"]) == (3, 1)
    before = topic_bench.run(Request(define={"velocity_count": "2"}, to_ms=at_ms + 2_000))
    assert before["alerts"]["gained"] == []


def test_the_same_inputs_give_the_same_bytes(topic_bench: Bench) -> None:
    send(topic_bench.servers, payments(2_000))
    spec = topic_bench.spec(REWOUND)
    first = encode(topic_bench.run(REWOUND))
    send(topic_bench.servers, payments(100, seed=2))
    assert encode(execute(load(dump(spec)), topic_bench.servers)) == first


def test_unchanged_rules_show_no_difference(topic_bench: Bench) -> None:
    send(topic_bench.servers, payments(3_000), labels={"t5": "takeover"})
    files = [sql_file(name) for name in ("queries.sql", "account-rules.sql", "context-rules.sql")]
    at_once = topic_bench.run(Request(sql=files))
    assert at_once["rules"] == {}
    assert "HIGH_VELOCITY" in at_once["unchanged"]
    found = topic_bench.run(Request(sql=files, everything=True))
    assert found["sides"]["a"] == found["sides"]["b"]
    assert found["sides"]["a"]["versions"] > 500
    assert found["alerts"] == {"gained": [], "lost": [], "changed": []}
    assert found["rules"].keys() >= {"HIGH_AMOUNT", "HIGH_VELOCITY", "LOOKBACK_VELOCITY"}


def test_files_of_a_back_test_are_the_same_files(bench: Bench) -> None:
    file = bench.folder / "payments.jsonl"
    found = bench.on_files(payments(300), REWOUND)
    assert found == bench.run(Request(define={"velocity_count": "2"}, files=Files(file)))

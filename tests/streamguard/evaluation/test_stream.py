"""The scorecard against alerts that a few plain lines compute, as the two core rules would raise them."""

from __future__ import annotations

from collections import defaultdict

import orjson
import pytest
from kafka import KafkaProducer

from streamguard.config import Settings
from streamguard.evaluation.stream import Evaluation, evaluate_topics
from streamguard.kafka.topics import ensure_topics
from streamguard.models import FraudAlert
from streamguard.producer.record import Record
from streamguard.producer.runs import Recipe, Run
from tests.support.broker import BrokerProcess


def core_rules(records: list[Record]) -> list[FraudAlert]:
    """Over 3,000; more than 3 in a tumbling minute, raised at the fourth and again at each further one."""
    alerts, windows = [], defaultdict(list)
    for record in records:
        fields = orjson.loads(record.value or b"")
        account, at_ms = fields["account_id"], fields["event_time"]
        if fields["amount"] > 3000:
            alerts.append(alert("HIGH_AMOUNT", fields["transaction_id"], account, fields, at_ms, at_ms, at_ms))
        start_ms = at_ms // 60_000 * 60_000
        windows[account, start_ms].append(fields)
        if len(windows[account, start_ms]) > 3:
            name = f"{account}:{start_ms}"
            alerts.append(alert("HIGH_VELOCITY", name, account, fields, start_ms, start_ms + 60_000, at_ms))
    return alerts


def alert(
    rule: str, name: str, account: str, fields: dict[str, object], start_ms: int, end_ms: int, at_ms: int
) -> FraudAlert:
    return FraudAlert(
        alert_id=f"{rule}:{name}",
        rule=rule,
        account_id=account,
        transaction_id=str(fields["transaction_id"]),
        amount=None,
        tx_count=None,
        window_start=start_ms,
        window_end=end_ms,
        detected_at=at_ms,
    )


def batch(count: int, **recipe: object) -> list[Record]:
    return list(Run(Recipe(seed=7, **recipe)).batch(count, None, None, 0))  # type: ignore[arg-type]


def scored(records: list[Record], alerts: list[FraudAlert]) -> Evaluation:
    evaluation = Evaluation(alerts)
    for record in records:
        evaluation.add(record)
    return evaluation


def test_the_core_rules_find_what_they_are_for_and_miss_what_is_built_to_be_missed() -> None:
    records = batch(30_000, fraud_share=0.1)
    scores = scored(records, core_rules(records)).scores
    assert scores["high_amount"].recall == 1.0
    assert scores["high_amount"].median_delay_ms == 0
    # A burst whose end was cut off with the batch may be missed.
    assert scores["velocity_burst"].recall > 0.98
    assert 0 < (scores["velocity_burst"].median_delay_ms or 0) < 60_000
    assert scores["border_burst"].recall < 0.05
    assert scores["slow_drip"].recall < 0.05
    assert scores["high_amount"].incidents == sum(record.label == "high_amount" for record in records)


def test_false_alerts_are_those_on_honest_payments() -> None:
    records = batch(10_000)
    evaluation = scored(records, core_rules(records))
    honest = sum(orjson.loads(record.value or b"")["amount"] > 3000 for record in records if not record.label)
    assert evaluation.false_alerts == {"ordinary": honest}


def test_an_alert_on_a_look_alike_is_counted_under_it() -> None:
    value = orjson.dumps({"transaction_id": "t1"})
    record = Record(b"A", value, 5_000, lookalike="family_trip")
    evaluation = scored([record], [alert("X", "1", "A", {"transaction_id": "t1"}, 0, 0, 5_000)])
    assert evaluation.false_alerts == {"family_trip": 1}
    assert evaluation.scores == {}
    assert evaluation.lookalikes == {"family_trip": 1}
    quiet = scored([record], [])
    assert quiet.lines()[-1].split() == ["family_trip", "1", "0"]
    assert quiet.to_json()["lookalikes"] == {"family_trip": 1}


def test_an_alert_on_what_was_not_read_is_unknown() -> None:
    assert scored([], [alert("X", "1", "A", {"transaction_id": "t1"}, 0, 0, 1)]).false_alerts == {"unknown": 1}


def test_one_incident_is_raised_once_however_often_it_is_updated() -> None:
    first = alert("V", "A:0", "A", {"transaction_id": "t1"}, 0, 60_000, 10_000)
    later = first.model_copy(update={"detected_at": 20_000, "transaction_id": "t2"})
    records = [
        Record(b"A", orjson.dumps({"transaction_id": f"t{n}"}), 1000 * n, label="velocity_burst", incident="i-1")
        for n in range(1, 5)
    ]
    evaluation = scored(records, [first, later])
    score = evaluation.scores["velocity_burst"]
    assert (score.incidents, score.caught, score.transactions, score.covered) == (1, 1, 4, 4)
    assert score.delays_ms == [9_000]
    assert evaluation.to_json()["kinds"]["velocity_burst"]["recall"] == 1.0
    assert any(line.startswith("velocity_burst") and "100.0 %" in line for line in evaluation.lines())


@pytest.mark.integration
def test_the_topics_can_be_scored(broker: BrokerProcess) -> None:
    settings = Settings(KAFKA_BOOTSTRAP_SERVERS=broker.address)  # type: ignore[call-arg]
    records = batch(2000, bad={"malformed": 0.01})
    good = [record for record in records if not record.defect]
    ensure_topics(settings)
    producer = KafkaProducer(bootstrap_servers=broker.address)
    for record in records:
        producer.send("transactions", record.value, record.key, record.headers())
    for item in core_rules(good):
        value = {name.upper(): field for name, field in item.model_dump(mode="json").items() if name != "account_id"}
        producer.send("fraud_alerts", orjson.dumps(value), item.account_id.encode())
    producer.close()
    assert evaluate_topics(settings).lines() == scored(good, core_rules(good)).lines()

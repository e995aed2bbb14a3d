"""An alert computed once more by its rule's own SQL: of every rule of the catalogue, as a real engine raised it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from typer.testing import CliRunner

from streamguard.alerts.blacklist_topic import publish
from streamguard.alerts.claim import Claim
from streamguard.cli.alerts import app
from streamguard.config import Settings, load_settings
from streamguard.evaluation.rule_sql import NotRecomputable, sql_of
from streamguard.evaluation.verify import verify
from streamguard.kafka.topics import ensure_topics
from streamguard.models import FraudAlert
from streamguard.privacy.protection import Protection
from streamguard.rules.catalogue import sql_files, sql_rules
from streamguard.rules.replacements import NOW, Change, begin
from streamguard.sqldeploy.run import deploy, topics_of
from streamguard.sqldeploy.state import Server
from tests.support.broker import BrokerProcess, free_port
from tests.support.desk import Desk
from tests.support.ksqldb import KsqlServerProcess, eventually
from tests.support.project import PROJECT_ROOT
from tests.support.records import T0_MS, Record, transaction_value
from tests.support.topics import read_topic

DAY_MS = 86_400_000
SQL_FOLDER = PROJECT_ROOT / "ksqldb"
CASES = PROJECT_ROOT / "tests" / "streamguard" / "rules_sql" / "cases"
STORED_MS = T0_MS + 1_000 * DAY_MS
SAO_PAULO = {"latitude": -23.55, "longitude": -46.63}
RIO = {"latitude": -22.91, "longitude": -43.17}
ALERTS = {
    "high_amount": "HIGH_AMOUNT:big",
    "high_velocity": f"HIGH_VELOCITY:V:{T0_MS}",
    "lookback_velocity": "LOOKBACK_VELOCITY:v3",
    "lookback_burst": "LOOKBACK_BURST:v5",
    "impossible_travel": "IMPOSSIBLE_TRAVEL:t1",
    "window_amount": f"WINDOW_AMOUNT:W:{T0_MS}",
    "amount_anomaly": "AMOUNT_ANOMALY:jump",
    "unusual_amount": "UNUSUAL_AMOUNT:jump",
    "high_for_account": "HIGH_FOR_ACCOUNT:big",
    "repeated_unusual": "REPEATED_UNUSUAL:again",
    "night_amount": "NIGHT_AMOUNT:night",
    "new_device": "NEW_DEVICE:d5",
    "blacklisted_account": "BLACKLISTED:account",
    "blacklisted_merchant": "BLACKLISTED:merchant",
    "blacklisted_device": "BLACKLISTED:device",
    "currency_limit": "CURRENCY_LIMIT:currency",
    "compromised_merchant": "COMPROMISED_MERCHANT:compromised",
}
"""By query id the alert that is verified; those of joins have a number behind it."""
PROBES: dict[str, dict[str, Any]] = {
    "account": {"account": "B"},
    "merchant": {"account": "Z", "merchant_id": "LISTED"},
    "device": {"account": "Z", "device_id": "ROOTED"},
    "currency": {"account": "Z", "amount": 5_000.01, "currency": "USD"},
    "compromised": {"account": "Z", "merchant_id": "M"},
}


def series(account: str, prefix: str, amounts: list[float], step_ms: int, **more: Any) -> list[dict[str, Any]]:
    return [
        transaction_value(f"{prefix}{n}", account, amount, T0_MS + n * step_ms, **more)
        for n, amount in enumerate(amounts)
    ]


def story() -> list[dict[str, Any]]:
    """One alert at least of each rule that reads transactions alone."""
    return [
        transaction_value("big", "H", 3_500, T0_MS, currency="USD"),
        *series("V", "v", [10, 11, 12, 13, 14, 15], 10_000),
        *series("W", "w", [2_500.01] * 5, 59_999),
        transaction_value("t0", "T", 10, T0_MS, **SAO_PAULO),
        transaction_value("t1", "T", 10, T0_MS + 60_000, **RIO),
        *series("A", "a", [9, 10, 11, 9, 10, 11], DAY_MS),
        transaction_value("jump", "A", 150, T0_MS + 6 * DAY_MS),
        transaction_value("again", "A", 100, T0_MS + 7 * DAY_MS),
        transaction_value("night", "N", 1_500, T0_MS, latitude=0.0, longitude=0.0),
        *series("D", "d", [10] * 5, DAY_MS, device_id="usual"),
        transaction_value("d5", "D", 600, T0_MS + 5 * DAY_MS, device_id="new"),
    ]


@dataclass
class Stack:
    """A broker and an engine that runs the whole catalogue."""

    settings: Settings
    producer: Any
    sent: int = 0

    def send(self, *values: dict[str, Any], topic: str = "transactions") -> None:
        for value in values:
            key = value["account_id"].encode()
            self.producer.send(topic, orjson.dumps(value), key, timestamp_ms=value["event_time"])
        self.producer.flush()

    def alerts(self) -> dict[str, FraudAlert]:
        """The newest version of each alert."""
        found = (
            FraudAlert.from_record(r.value, r.key)
            for r in read_topic(self.settings.kafka_bootstrap_servers, "fraud_alerts")
        )
        return {alert.alert_id: alert for alert in found}

    def probe(self) -> bool:
        """Payments that become alerts as soon as the engine has read the tables; whether all have."""
        self.sent += 1
        for name, fields in PROBES.items():
            rest = {"amount": 10, "at_ms": T0_MS + 20 * DAY_MS + self.sent, **fields}
            self.send(transaction_value(f"{name}{self.sent}", **rest))
        raised = self.alerts()
        return all(any(alert_id.startswith(ALERTS[q]) for alert_id in raised) for q in ALERTS)

    def alert(self, query_id: str) -> FraudAlert:
        raised = self.alerts()
        name = ALERTS[query_id]
        return raised.get(name) or next(raised[alert_id] for alert_id in raised if alert_id.startswith(name))

    def claim(self, query_id: str) -> Claim:
        return claim_of(self.alert(query_id))


def claim_of(alert: FraudAlert) -> Claim:
    return Claim(
        alert.alert_id,
        alert.rule,
        alert.account_id,
        alert.transaction_id,
        alert.amount,
        alert.tx_count or 0,
        alert.window_start,
        alert.window_end,
        STORED_MS,
        STORED_MS,
    )


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("verify")
    with BrokerProcess(folder / "log") as broker:
        engine = KsqlServerProcess(folder, broker.address).start()
        try:
            yield filled(load_settings(kafka_bootstrap_servers=broker.address, ksqldb_url=engine.url))
        finally:
            engine.stop()


def filled(settings: Settings) -> Stack:
    files = sql_files()
    ensure_topics(settings, extra=topics_of(files))
    deploy(Server(settings.ksqldb_url), files)
    made = Stack(settings, KafkaProducer(bootstrap_servers=settings.kafka_bootstrap_servers))
    publish(settings, [(f"{kind}:{value}", b'{"REASON": "known"}') for kind, value in LISTED])
    made.producer.send("currency_limits", b'{"LIMIT_AMOUNT": 5000}', b"USD")
    reported = {"reported_at": T0_MS + 15 * DAY_MS, "is_fraud": True, "merchant_id": "M"}
    made.send(
        *({**transaction_value(f"f{n}", f"F{n}", 10, T0_MS + n), **reported} for n in range(3)), topic="fraud_labels"
    )
    made.send(*story())
    eventually(made.probe, 60)
    return made


LISTED = (("account", "B"), ("merchant", "LISTED"), ("device", "ROOTED"))


@pytest.mark.integration
@pytest.mark.parametrize("query_id", ALERTS)
def test_an_alert_of_each_rule_is_confirmed(stack: Stack, query_id: str) -> None:
    claim = stack.claim(query_id)
    result = verify(stack.settings, claim)
    assert (result.differences, result.lost) == ([], [])
    assert claim.transaction_id in {item.transaction.transaction_id for item in result.evidence}
    assert f"as the server at {stack.settings.ksqldb_url} runs it" in result.origin


@pytest.mark.integration
@pytest.mark.parametrize("query_id", ALERTS)
def test_whatever_was_changed_in_an_alert_is_found(stack: Stack, query_id: str) -> None:
    claim = stack.claim(query_id)
    assert claim.amount is not None and claim.start_ms is not None
    other = replace(claim, amount=claim.amount + Decimal("0.01"), start_ms=claim.start_ms - 1, transaction_id="other")
    found = " ".join(verify(stack.settings, other).differences)
    assert "the topic transactions has no valid transaction other of account" in found
    assert "the rule raises it on the transaction" in found
    assert "the amount from the topic is" in found
    assert "the window is from" in found


@pytest.mark.integration
@pytest.mark.parametrize("query_id", ["high_velocity", "compromised_merchant"])
def test_another_count_and_an_alert_that_no_rule_raises_are_found(stack: Stack, query_id: str) -> None:
    claim = stack.claim(query_id)
    [counted] = verify(stack.settings, replace(claim, tx_count=claim.tx_count + 50)).differences
    assert counted == f"the rule counts {claim.tx_count} from the topic, the alert states {claim.tx_count + 50}"
    [missing] = verify(stack.settings, replace(claim, alert_id=f"{claim.rule}:other")).differences
    assert missing == "the rule raises no such alert from the topic"


@pytest.mark.integration
def test_the_transactions_of_a_window_are_listed_with_their_places(stack: Stack) -> None:
    result = verify(stack.settings, stack.claim("lookback_velocity"))
    assert [item.transaction.transaction_id for item in result.evidence] == ["v0", "v1", "v2", "v3"]
    places = {(r.partition, r.offset): r.value for r in read_topic(stack.settings.kafka_bootstrap_servers)}
    for item in result.evidence:
        assert orjson.loads(places[item.partition, item.offset])["transaction_id"] == item.transaction.transaction_id


@pytest.mark.integration
def test_the_command_confirms_with_exit_code_0_and_names_differences_with_1(
    stack: Stack, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (
        ("KAFKA_BOOTSTRAP_SERVERS", stack.settings.kafka_bootstrap_servers),
        ("KSQLDB_URL", stack.settings.ksqldb_url),
        ("DATABASE_URL", desk.postgres.url()),
    ):
        monkeypatch.setenv(name, value)
    for n, r in enumerate(read_topic(stack.settings.kafka_bootstrap_servers, "fraud_alerts")):
        desk.feed(Record("fraud_alerts", 0, n, r.key, r.value))
    done = CliRunner().invoke(app, ["verify", ALERTS["high_velocity"]])
    assert done.exit_code == 0, done.output
    assert "HIGH_VELOCITY is confirmed" in done.output
    assert [line.split()[0] for line in done.output.splitlines()[:6]] == [f"v{n}" for n in range(6)]
    desk.rows("UPDATE fraud_alerts SET amount = 1 WHERE rule = 'HIGH_VELOCITY' RETURNING 1")
    done = CliRunner().invoke(app, ["verify", ALERTS["high_velocity"]])
    assert done.exit_code == 1
    assert "DIFFERENT: the amount from the topic is 75.00, the alert states 1.00" in done.output
    assert "MAY BE LOST" not in done.output
    with desk.engine.begin() as connection:
        begin(connection, {"HIGH_VELOCITY": Change("less", "ana", None, "SELECT 1;")}, NOW, dict)
    done = CliRunner().invoke(app, ["verify", ALERTS["high_velocity"]])
    assert "MAY BE LOST: the SQL of HIGH_VELOCITY was replaced at" in done.output
    assert "there is no alert nobody" in str(CliRunner().invoke(app, ["verify", "nobody"]).exception)


@pytest.mark.integration
def test_an_alert_of_protected_data_is_found_by_its_token(stack: Stack) -> None:
    tokens = Protection({"account": "token"}, "k" * 32)
    claim = claim_of(tokens.alert(stack.alert("high_velocity")))
    assert claim.account_id.startswith("acc_")
    assert verify(stack.settings, claim, tokens).differences == []
    [other] = verify(stack.settings, replace(claim, amount=Decimal(1)), tokens).differences
    assert "the amount" in other


@pytest.mark.integration
def test_a_rule_that_is_not_in_the_catalogue_is_named(stack: Stack) -> None:
    with pytest.raises(NotRecomputable, match=r"the rule MINE has no line in ksqldb/rules\.yaml"):
        verify(stack.settings, replace(stack.claim("high_amount"), rule="MINE"))


@pytest.mark.integration
def test_what_the_server_runs_is_used_where_the_file_differs(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (
        (SQL_FOLDER / "queries.sql").read_text().replace("DEFINE high_amount = '3000'", "DEFINE high_amount = '9000'")
    )
    (tmp_path / "ksqldb").mkdir()
    (tmp_path / "ksqldb" / "queries.sql").write_text(text)
    monkeypatch.chdir(tmp_path)
    result = verify(stack.settings, stack.claim("high_amount"))
    assert result.differences == []
    assert result.origin.endswith("runs it; HIGH_AMOUNT differs from the file")


# --- topics without an engine: the text of the files ------------------------------------------------------------------


@pytest.fixture
def quiet(broker: BrokerProcess) -> Stack:
    settings = load_settings(kafka_bootstrap_servers=broker.address, ksqldb_url=f"http://127.0.0.1:{free_port()}")
    ensure_topics(settings)
    return Stack(settings, KafkaProducer(bootstrap_servers=broker.address))


VELOCITY = Claim(
    f"HIGH_VELOCITY:V:{T0_MS}",
    "HIGH_VELOCITY",
    "V",
    "v5",
    Decimal("75.0000"),
    6,
    T0_MS,
    T0_MS + 60_000,
    STORED_MS,
    STORED_MS,
)


@pytest.mark.integration
def test_without_a_server_the_files_are_used_and_it_is_said(quiet: Stack) -> None:
    quiet.send(*story())
    result = verify(quiet.settings, VELOCITY)
    assert result.differences == []
    assert "version 1 of HIGH_VELOCITY, as its file has it (no ksqlDB server answers at" in result.origin


@pytest.mark.integration
@pytest.mark.parametrize("query_id", [str(rule.query_id) for rule in sql_rules()])
def test_the_alerts_that_the_cases_of_a_rule_expect_are_confirmed(quiet: Stack, query_id: str) -> None:
    found = orjson.loads((CASES / f"{query_id}.json").read_bytes())
    case = next(case for case in found["tests"] if case["outputs"])
    ensure_topics(quiet.settings, extra=topics_of([SQL_FOLDER / file for file in found["files"]]))
    for r in case["inputs"]:
        value = orjson.dumps(r["value"])
        quiet.producer.send(r["topic"], value, r["key"].encode(), timestamp_ms=r["timestamp"])
    quiet.producer.flush()
    for output in case["outputs"]:
        alert = FraudAlert.from_record(orjson.dumps(output["value"]), output["key"].encode())
        assert verify(quiet.settings, claim_of(alert)).differences == []


@pytest.mark.integration
def test_records_that_retention_has_removed_are_said(quiet: Stack) -> None:
    quiet.send(*story())
    [first, *_] = [r for r in read_topic(quiet.settings.kafka_bootstrap_servers) if r.key == b"V"]
    admin = KafkaAdminClient(bootstrap_servers=quiet.settings.kafka_bootstrap_servers)
    admin.delete_records({TopicPartition("transactions", first.partition): first.offset + 1})
    admin.close()
    result = verify(quiet.settings, VELOCITY)
    assert result.differences == [
        "the rule counts 5 from the topic, the alert states 6",
        "the amount from the topic is 65.00, the alert states 75.00",
    ]
    [lost] = result.lost
    assert f"the topic transactions begins at offset {first.offset + 1} in partition {first.partition}" in lost
    [missing, nothing] = verify(quiet.settings, replace(VELOCITY, account_id="gone", transaction_id="g")).differences
    assert missing == "the topic transactions has no valid transaction g of account gone"
    assert nothing == "the rule raises no such alert from the topic"


@pytest.mark.integration
def test_a_transaction_too_late_for_its_window_does_not_count(quiet: Stack) -> None:
    """A transaction that is too late for its window is in the topic, and not in the alert."""
    late = transaction_value("late", "V", 1, T0_MS + 1)
    values = [*series("V", "v", [10] * 4, 1), transaction_value("now", "V", 10, T0_MS + 70_000), late]
    quiet.send(*values)
    claim = replace(VELOCITY, tx_count=4, transaction_id="v3", amount=Decimal(40))
    assert verify(quiet.settings, claim).differences == []
    counted = replace(VELOCITY, tx_count=5, transaction_id="late", amount=Decimal(41))
    assert verify(quiet.settings, counted).differences[0] == "the rule counts 4 from the topic, the alert states 5"


@pytest.mark.integration
def test_a_repeated_transaction_is_noted(quiet: Stack) -> None:
    values = series("V", "v", [10] * 4, 1)
    quiet.send(*values, values[3])
    result = verify(quiet.settings, replace(VELOCITY, tx_count=5, transaction_id="v3", amount=Decimal(50)))
    assert result.differences == []
    assert result.notes == [
        "the transaction v3 is 2 times in the topic transactions, and SQL counts each: it is stored once"
    ]


@pytest.mark.parametrize(("amount", "is_same"), [("4.6041", True), ("4.6049", False)])
@pytest.mark.integration
def test_less_than_the_smallest_coin_is_no_difference(quiet: Stack, amount: str, is_same: bool) -> None:
    quiet.send(*series("V", "v", [1.001, 1.101, 1.201, 1.301], 1, currency="KWD"))
    claim = replace(VELOCITY, tx_count=4, transaction_id="v3", amount=Decimal(amount))
    wanted = [] if is_same else ["the amount from the topic is 4.604, the alert states 4.605"]
    assert verify(quiet.settings, claim).differences == wanted


def test_which_rules_stay_within_the_account() -> None:
    settings = load_settings(ksqldb_url=f"http://127.0.0.1:{free_port()}")
    within = {rule.name: sql_of(rule.name, settings).within_account for rule in sql_rules()}
    assert {name for name, stays in within.items() if not stays} == {"COMPROMISED_MERCHANT"}

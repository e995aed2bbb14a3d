"""The queue and an alert: what is listed, why, and what each action does, by the pages of the desk."""

from __future__ import annotations

import csv
import io
import re

import orjson
import pytest

from tests.streamguard.desk.conftest import Client
from tests.support.desk import Desk
from tests.support.records import T0_MS, Record, high_amount, high_velocity, transaction

EVIL = "<script>alert(1)</script>"


@pytest.fixture
def alerts(desk: Desk) -> list[str]:
    """Two alerts of A, one of B whose names are markup."""
    burst = [
        transaction(n, f"t{n}", "A", 10 + n, T0_MS + n, merchant_id="M1", merchant_name="Padaria", device_id="D1")
        for n in range(4)
    ]
    big = transaction(4, "big", "A", 4_000, T0_MS + 10, merchant_id="M2", merchant_name="Ouro", device_id="D1")
    odd = transaction(
        5, "odd", EVIL, 9_000, T0_MS + 20, merchant_id=EVIL, merchant_name=EVIL, device_id="D1", city=EVIL
    )
    desk.feed(
        *burst,
        big,
        odd,
        high_velocity(0, "A", T0_MS, ["t0", "t1", "t2", "t3"], 46),
        high_amount(1, "big", "A", 4_000, T0_MS + 10),
        high_amount(2, "odd", EVIL, 9_000, T0_MS + 20),
    )
    return [f"HIGH_VELOCITY:A:{T0_MS}", "HIGH_AMOUNT:big", "HIGH_AMOUNT:odd"]


def listed(page: str) -> list[str]:
    return re.findall(r'<tr data-alert="([^"]+)"', page)


def test_filters_limit_what_is_listed(client: Client, alerts: list[str]) -> None:
    viewer = client("viewer")
    velocity, big, odd = alerts
    for query, wanted in {
        "": {velocity, big, odd},
        "?rule=HIGH_AMOUNT": {big, odd},
        "?account=A": {velocity, big},
        "?amount=5000": {odd},
        # Of all transactions of an alert: the big one came in the minute of the burst.
        "?merchant=M2": {velocity, big},
        "?merchant=ouro": {velocity, big},
        "?status=confirmed": set(),
        "?assignee=nobody": {velocity, big, odd},
        "?assignee=analyst": set(),
        "?since=2030-01-01T00:00": set(),
        "?outcome=undecided": set(),
        "?score=101": None,
        "?score=x": None,
        "?status=new": None,
        "?since=tomorrow": None,
        "?order=fate": None,
    }.items():
        answer = viewer.get(f"/queue{query}", headers={"x-requested-with": "desk"})
        if wanted is None:
            assert answer.status_code == 409, query
            assert query.split("=")[1] in answer.json()["error"]
        else:
            assert set(listed(answer.text)) == wanted, query


def test_text_from_records_is_never_markup(client: Client, alerts: list[str]) -> None:
    viewer = client("viewer")
    for path in ("/", "/queue?selected=HIGH_AMOUNT:odd", "/alerts/HIGH_AMOUNT:odd", "/queue?account=" + EVIL):
        page = viewer.get(path)
        assert page.status_code == 200, path
        assert EVIL not in page.text, path


def test_an_export_runs_no_formula(client: Client, desk: Desk) -> None:
    desk.feed(transaction(0, "t", "=cmd()", 4_000, T0_MS), high_amount(0, "t", "=cmd()", 4_000, T0_MS))
    answer = client("viewer").get("/queue.csv")
    assert answer.headers["content-type"].startswith("text/csv")
    [row] = csv.DictReader(io.StringIO(answer.text))
    assert (row["account_id"], row["amount"]) == ("'=cmd()", "4000.0000")


def test_a_score_is_shown_as_its_sum(client: Client, desk: Desk, alerts: list[str]) -> None:
    page = client("viewer").get("/alerts/HIGH_AMOUNT:big").text
    [(score,)] = desk.rows("SELECT score FROM fraud_alerts WHERE alert_id = 'HIGH_AMOUNT:big'")
    points = [int(found) for found in re.findall(r'<td class="n">\+?(-?\d+)</td>\s*<td class="barcell">', page)]
    assert sum(points) == score
    assert "INSERT INTO fraud_alerts WITH (QUERY_ID=&#39;high_amount&#39;)" in page
    assert "0 · 4" in re.sub(r"\s+", " ", page)
    assert "hidden" in page and "D1" not in page
    assert "D1" in client("analyst").get("/alerts/HIGH_AMOUNT:big").text


def test_a_rule_of_several_queries_shows_each(client: Client, desk: Desk) -> None:
    """The alert does not say whether the account, the merchant or the device is listed: all three queries have its name."""
    alert = orjson.loads(high_amount(0, "big", "A", 4_000, T0_MS).value or b"")
    listed_alert = orjson.dumps({**alert, "ALERT_ID": "BLACKLISTED:big", "RULE": "BLACKLISTED"})
    desk.feed(transaction(0, "big", "A", 4_000, T0_MS), Record("fraud_alerts", 0, 0, b"A", listed_alert))
    page = client("viewer").get("/alerts/BLACKLISTED:big").text
    for finds in ("of an account", "at a merchant", "from a device"):
        assert f"a transaction {finds} on the blacklist — SQL of blacklist.sql" in page
    assert len(re.findall(r"INSERT INTO fraud_alerts", page)) == 3


def test_a_decision_is_kept_with_its_reason_and_can_be_taken_back(
    client: Client, desk: Desk, alerts: list[str]
) -> None:
    analyst, fragment = client("analyst"), {"x-requested-with": "desk"}
    fields = {"alert_id": "HIGH_AMOUNT:big", "verdict": "confirm", "reason": "customer denies it"}
    done = analyst.post("/alert/decide", data=fields, headers=fragment)
    assert done.json()["undo"] == "reopen"
    assert desk.rows("SELECT status FROM fraud_alerts WHERE alert_id = 'HIGH_AMOUNT:big'") == [("confirmed",)]
    assert desk.rows("SELECT is_fraud FROM transactions WHERE transaction_id = 'big'") == [(True,)]
    assert "customer denies it" in analyst.get("/alerts/HIGH_AMOUNT:big").text
    analyst.post("/alert/decide", data={**fields, "verdict": "reopen"}, headers=fragment)
    assert desk.rows("SELECT decided_by, outcome FROM decisions WHERE decided_by <> 'rules' ORDER BY action_no") == [
        ("analyst:analyst", "confirmed"),
        ("analyst:analyst", "reopened"),
    ]
    log = "SELECT done_by, action, reason, value_before->>'status', value_after->>'status' FROM audit_log ORDER BY entry_no"
    assert desk.rows(log) == [
        ("analyst", "alerts.decide", "customer denies it", "open", "confirmed"),
        ("analyst", "alerts.decide", "customer denies it", "confirmed", "open"),
    ]


def test_a_duplicate_names_the_alert_that_it_repeats(client: Client, desk: Desk, alerts: list[str]) -> None:
    analyst, fragment = client("analyst"), {"x-requested-with": "desk"}
    velocity, big, odd = alerts
    offered = analyst.get("/alert/originals", params={"alert_id": big, "q": "velo"}, headers=fragment).text
    assert f'value="{velocity}"' in offered and odd not in offered
    fields = {"alert_id": big, "verdict": "duplicate", "reason": "same payments"}
    assert "names the alert" in analyst.post("/alert/decide", data=fields, headers=fragment).json()["error"]
    assert "another account" in analyst.post("/alert/decide", data={**fields, "of": odd}, headers=fragment).text
    done = analyst.post("/alert/decide", data={**fields, "of": velocity}, headers=fragment).json()
    assert done == {"said": f"Marked as a duplicate: {big}", "undo": "reopen", "alert_ids": [big]}
    assert listed(analyst.get("/queue?status=duplicate", headers=fragment).text) == [big]
    assert f"of {velocity}: same payments" in analyst.get(f"/alerts/{big}").text
    assert "duplicate</span> of this" in analyst.get(f"/alerts/{velocity}").text
    log = desk.rows("SELECT subject, reason, value_after FROM audit_log")
    assert log == [(f"alert {big}", "same payments", {"status": "duplicate", "of": velocity})]
    analyst.post("/alert/decide", data={**fields, "verdict": "reopen"}, headers=fragment)
    assert desk.rows("SELECT DISTINCT status FROM fraud_alerts") == [("open",)]


def test_without_a_reason_nothing_is_decided(client: Client, desk: Desk, alerts: list[str]) -> None:
    fields = {"alert_id": alerts, "verdict": "dismiss", "reason": "  "}
    answer = client("analyst").post("/alert/decide", data=fields, headers={"x-requested-with": "desk"})
    assert answer.status_code == 409
    assert "a reason is needed" in answer.json()["error"]
    assert desk.rows("SELECT DISTINCT status FROM fraud_alerts") == [("open",)]


def test_many_are_decided_at_once_or_none(client: Client, desk: Desk, alerts: list[str]) -> None:
    analyst, fragment = client("analyst"), {"x-requested-with": "desk"}
    fields = {"alert_id": [*alerts, "HIGH_AMOUNT:none"], "verdict": "dismiss", "reason": "a test"}
    assert "there is no alert HIGH_AMOUNT:none" in analyst.post("/alert/decide", data=fields, headers=fragment).text
    assert desk.rows("SELECT DISTINCT status FROM fraud_alerts") == [("open",)]
    analyst.post("/alert/decide", data={**fields, "alert_id": alerts}, headers=fragment)
    assert desk.rows("SELECT DISTINCT status FROM fraud_alerts") == [("dismissed",)]


def test_what_changed_meanwhile_is_said_and_not_overwritten(client: Client, desk: Desk, alerts: list[str]) -> None:
    ana, ben, fragment = client("analyst"), client("lead"), {"x-requested-with": "desk"}
    page = ana.get("/alerts/HIGH_AMOUNT:big").text
    seen = re.search(r'data-changed="([^"]+)"', page)
    assert seen is not None
    fields = {"alert_id": "HIGH_AMOUNT:big", "reason": "sure", "seen": seen[1]}
    assert ben.post("/alert/decide", data={**fields, "verdict": "dismiss"}, headers=fragment).status_code == 200
    late = ana.post("/alert/decide", data={**fields, "verdict": "confirm"}, headers=fragment)
    assert late.status_code == 409
    assert "has changed since you opened it: lead dismissed it at" in late.json()["error"]
    assert desk.rows("SELECT status FROM fraud_alerts WHERE alert_id = 'HIGH_AMOUNT:big'") == [("dismissed",)]


def test_alerts_are_shared_out(client: Client, desk: Desk, alerts: list[str]) -> None:
    analyst, fragment = client("analyst"), {"x-requested-with": "desk"}
    velocity, big, odd = alerts

    def post(path: str, **fields: str) -> dict[str, str]:
        found: dict[str, str] = analyst.post(f"/alert/{path}", data=fields, headers=fragment).json()
        return found

    post("assign", alert_id=big, assignee="analyst")
    post("snooze", alert_id=velocity, minutes="60", reason="later")
    post("escalate", alert_id=odd, reason="too much for me")
    post("note", alert_id=odd, note=f"called twice {EVIL}")
    assert "there is no user x" in post("assign", alert_id=big, assignee="x")["error"]
    assert "at most 30 days" in post("snooze", alert_id=big, minutes="999999", reason="x")["error"]
    assert "1 to 4,000" in post("note", alert_id=big, note="x" * 4_001)["error"]

    def ids(query: str) -> set[str]:
        return set(listed(analyst.get(f"/queue?{query}", headers=fragment).text))

    assert ids("") == {big, odd}
    assert ids("snoozed=1") == set(alerts)
    assert ids("assignee=analyst") == {big}
    assert ids("assignee=nobody") == {odd}
    assert ids("escalated=1") == {odd}
    page = analyst.get(f"/alerts/{odd}").text
    assert "called twice &lt;script&gt;" in page and "too much for me" in page
    assert analyst.get("/queue/next", headers=fragment).json() == {"alert_id": odd}


def test_views_are_saved_under_a_name(client: Client, alerts: list[str]) -> None:
    analyst = client("analyst")
    fields = {"name": "morning", "filters": "rule=HIGH_AMOUNT&amount=100&evil=1"}
    assert analyst.post("/queue/views", data=fields).headers["location"] == "/queue?rule=HIGH_AMOUNT&amount=100"
    assert "/queue?rule=HIGH_AMOUNT&amp;amount=100" in analyst.get("/queue").text
    assert "morning" not in client("viewer").get("/queue").text
    analyst.post("/queue/views", data={"name": "morning", "remove": "1"})
    assert "morning" not in analyst.get("/queue").text


def test_an_alert_that_is_not_there(client: Client) -> None:
    answer = client("viewer").get("/alerts/HIGH_AMOUNT:nothing")
    assert answer.status_code == 404
    assert "there is no alert HIGH_AMOUNT:nothing" in answer.text


def test_a_database_that_is_away_is_said(client: Client, desk: Desk) -> None:
    viewer = client("viewer")
    assert viewer.get("/queue").status_code == 200
    desk.postgres.kill()
    try:
        answer = viewer.get("/queue")
        assert answer.status_code == 503
        assert "Postgres is unavailable" in answer.text
    finally:
        desk.postgres.start()

"""Dead letters at the desk: by reason, one with its bytes, and sent again once each, with the reason kept."""

from __future__ import annotations

import html
import re

import pytest

from streamguard.kafka.topics import ensure_topics
from tests.streamguard.desk.conftest import Client, Programs
from tests.streamguard.desk.plumbing import EVIL, FRAGMENT, audit, on_broker
from tests.support.broker import BrokerProcess
from tests.support.desk import Desk
from tests.support.records import T0_MS, Record, transaction
from tests.support.topics import read_topic

BAD = [
    transaction(0, "t0", "A", -5, T0_MS),
    transaction(1, "t1", "A", -7, T0_MS),
    Record("transactions", 0, 2, b"B", EVIL.encode()),
    Record("transactions", 0, 3, b"B\x00\xff", b"\x00\x01Avro"),
    Record("transactions", 0, 4, b"B", None),
]
NEGATIVE = "amount: an amount above 0 is expected"


@pytest.fixture
def desk(desk: Desk, broker: BrokerProcess) -> Desk:
    """Five dead letters; the topics exist, without their records, so that the letters' bytes are sent."""
    made = on_broker(desk, broker)
    ensure_topics(made.settings)
    assert made.feed(*BAD) == len(BAD)
    return made


def listed(page: str) -> set[str]:
    return set(re.findall(r'href="/dead-letters/([^"]+)"', page))


def test_they_are_listed_by_reason(client: Client) -> None:
    analyst = client("analyst")
    page = analyst.get("/dead-letters").text
    assert "5 waiting" in page and len(listed(page)) == 5
    assert EVIL not in page
    assert 'action="/dead-letter/retry"' not in page, "an analyst may not send again"
    for query, found in {
        f"plain={NEGATIVE}": 2,
        "contains=AMOUNT": 2,
        "topic=fraud_alerts": 0,
        "since=1h": 5,
        "state=again": 0,
        "state=all": 5,
        "contains=%25": 0,
    }.items():
        assert len(listed(analyst.get(f"/dead-letters?{query}").text)) == found, query
    assert "No dead letter fits" in analyst.get("/dead-letters?contains=zebra").text
    assert analyst.get("/dead-letters?since=soon").status_code == 409
    assert client("viewer").get("/dead-letters").status_code == 403


def test_one_has_its_reason_and_its_bytes(client: Client, desk: Desk) -> None:
    page = client("analyst").get("/dead-letters/transactions/0/3").text
    assert "00000000  00 01 41 76 72 6f" in page and "no text: control character 0x00 at position 0" in page
    assert "An admin may send it again" in page
    opened = [("analyst", "dead letter transactions/0/3", None, None, {"protected": False})]
    assert audit(desk, "personal_data.opened") == opened
    assert "&lt;script&gt;" in client("analyst").get("/dead-letters/transactions/0/2").text
    for place in ("transactions/0/99", "nothing", "a/b/c"):
        assert client("analyst").get(f"/dead-letters/{place}").status_code == 404


def test_many_of_a_reason_are_sent_again_once(client: Client, desk: Desk) -> None:
    admin = client("admin")
    fields = {"plain": NEGATIVE}
    assert "a reason is needed" in admin.post("/dead-letter/retry", data=fields, headers=FRAGMENT).json()["error"]
    page = admin.post("/dead-letter/retry", data={**fields, "reason": "the source is mended"}).text
    assert "2 sent again" in page
    assert [record.value for record in read_topic(desk.settings.kafka_bootstrap_servers)] == [
        BAD[0].value,
        BAD[1].value,
    ]
    [entry] = audit(desk, "topics.change")
    assert entry[:3] == ("admin", "2 dead letters from transactions/0/0 on", "the source is mended")
    assert isinstance(entry[4], dict) and entry[4]["sent"] == 2 and len(entry[4]["records"]) == 2
    again = admin.post("/dead-letter/retry", data={**fields, "reason": "x"}, headers=FRAGMENT)
    assert "nothing to send" in again.json()["error"]
    assert len(listed(admin.get("/dead-letters").text)) == 3
    assert len(listed(admin.get("/dead-letters?state=again").text)) == 2
    assert "Sent again as" in admin.get("/dead-letters/transactions/0/0").text


def test_one_that_cannot_be_sent_says_why(client: Client, desk: Desk) -> None:
    page = client("admin").post("/dead-letter/retry", data={"place": "transactions/0/4", "reason": "try"}).text
    assert "0 sent again, 1 not" in page and "it has no bytes" in html.unescape(page)
    assert audit(desk, "topics.change")[0][4] == {"sent": 0, "not_sent": 1, "records": []}


def test_who_may_not_sends_nothing(client: Client, desk: Desk) -> None:
    for role in ("viewer", "analyst", "lead"):
        sent = client(role).post("/dead-letter/retry", data={"place": "transactions/0/0", "reason": "x"})
        assert sent.status_code == 403
    assert desk.rows("SELECT count(*) FROM dead_letters WHERE retried_at IS NOT NULL") == [(0,)]


def test_none_is_said_too(client: Client, desk: Desk) -> None:
    desk.postgres.query("DELETE FROM dead_letters RETURNING 1")
    assert "Every record could be used" in client("analyst").get("/dead-letters").text


def test_programs_find_them_and_send_them_again(program: Programs, desk: Desk, broker: BrokerProcess) -> None:
    analyst, boss = program("analyst"), program("admin")
    page = analyst.get("dead-letters").json()
    assert len(page["letters"]) == 5 and page["next_page"] is None
    assert {reason["reason"]: reason["letters"] for reason in page["reasons"]}[NEGATIVE] == 2
    assert len(analyst.get("dead-letters", params={"contains": "AMOUNT"}).json()["letters"]) == 2
    odd = analyst.get("dead-letters/transactions/0/3").json()
    assert odd["letter"]["offset"] == 3 and odd["key_hex"] == b"B\x00\xff".hex() and odd["value"] == "\x00\x01Avro"
    assert [entry[1] for entry in audit(desk, "personal_data.opened")] == ["dead letter transactions/0/3"]
    assert analyst.get("dead-letters/transactions/0/99").status_code == 404
    assert analyst.get("dead-letters", params={"since": "soon"}).status_code == 409
    wanted = {"places": ["transactions/0/0"], "reason": "mended"}
    assert analyst.post("dead-letters/retry", json=wanted).status_code == 403
    sent = boss.post("dead-letters/retry", json=wanted).json()
    assert sent["left"] == 0 and [(one["place"], one["problem"]) for one in sent["sent"]] == [
        ("transactions/0/0", None)
    ]
    assert len(read_topic(broker.address)) == 1
    again = boss.post("dead-letters/retry", json=wanted)
    assert again.status_code == 409 and "nothing to send" in again.json()["error"]
    rest = boss.post("dead-letters/retry", json={"plain": NEGATIVE, "reason": "mended"}).json()["sent"]
    assert [one["place"] for one in rest] == ["transactions/0/1"]
    assert [entry[2] for entry in audit(desk, "topics.change")] == ["mended", "mended"]

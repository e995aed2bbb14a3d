"""Webhooks at the desk and in the API: who may, what is shown once, and what each action does."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from streamguard.desk.app import create_app
from streamguard.desk.site import Desk as Site
from streamguard.users.tokens import make_token
from tests.streamguard.desk.conftest import Client
from tests.streamguard.desk.plumbing import EVIL, FRAGMENT, make_topic, on_broker
from tests.support.broker import BrokerProcess
from tests.support.desk import Desk
from tests.support.receiver import Receiver

PLACE = "/system/webhooks"


@pytest.fixture
def desk(desk: Desk, broker: BrokerProcess) -> Desk:
    make_topic(broker, "decisions", 1)
    return on_broker(desk, broker)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as found:
        yield found


def secret_of(page: str) -> str:
    found = re.search(r'<code class="password">(whsec_[^<]+)</code>', page)
    assert found, page
    return html.unescape(found[1])


def actions(desk: Desk) -> list[object]:
    return [row[0] for row in desk.rows("SELECT action FROM audit_log ORDER BY entry_no")]


def test_a_webhook_from_its_making_to_its_end(client: Client, desk: Desk, receiver: Receiver) -> None:
    admin = client("admin")
    assert "No webhook" in admin.get(PLACE).text
    fields = {
        "url": receiver.url,
        "description": EVIL,
        "rules": "HIGH_AMOUNT, HIGH_VELOCITY",
        "outcomes": ["block", "review"],
    }
    made = admin.post(PLACE, data=fields).text
    secret = secret_of(made)
    page = admin.get(f"{PLACE}/1").text
    assert secret not in page and "Nothing was decided" in page
    assert EVIL not in made + page + admin.get(PLACE).text and html.escape(EVIL) in page
    assert desk.rows("SELECT outcomes, rules FROM webhooks") == [
        (["block", "review"], ["HIGH_AMOUNT", "HIGH_VELOCITY"])
    ]

    assert "The test was delivered" in admin.post(f"{PLACE}/1/test").text
    assert receiver.got[0].is_signed_by(secret)
    receiver.answer = lambda _: 500
    failed = admin.post(f"{PLACE}/1/test").text
    assert "The test failed" in failed and "500 Internal Server Error: status 500 &lt;b&gt;" in failed
    assert "given up" in admin.get(f"{PLACE}/1?status=given_up").text
    assert "No delivery has this status" in admin.get(f"{PLACE}/1?status=waiting").text

    reason = {"reason": "asked for"}
    assert admin.post(f"{PLACE}/1", data={"url": receiver.url, **reason}).status_code == 303
    assert admin.post(f"{PLACE}/1/state", data={"state": "pause", **reason}).status_code == 303
    assert "Off (admin: asked for)" in admin.get(f"{PLACE}/1").text
    assert admin.post(f"{PLACE}/1/state", data={"state": "resume", **reason}).status_code == 303
    assert secret_of(admin.post(f"{PLACE}/1/rotate", data=reason).text) != secret
    [(number,)] = desk.rows("SELECT min(delivery_no) FROM webhook_deliveries")
    assert admin.post(f"{PLACE}/1/again", data={"delivery": str(number)}).status_code == 303
    assert desk.rows("SELECT status FROM webhook_deliveries WHERE delivery_no = %s", number) == [("waiting",)]
    assert admin.post(f"{PLACE}/1/remove", data=reason).status_code == 303
    assert admin.get(f"{PLACE}/1").status_code == 404
    assert desk.rows("SELECT count(*) FROM webhook_deliveries") == [(0,)]
    steps = ("add", "test", "test", "change", "pause", "resume", "rotate", "again", "remove")
    assert actions(desk) == [f"webhooks.{step}" for step in steps]


def test_the_log_has_pages_and_leads_to_the_record(client: Client, desk: Desk, receiver: Receiver) -> None:
    admin = client("admin")
    admin.post(PLACE, data={"url": receiver.url})
    desk.postgres.query(
        "INSERT INTO webhook_deliveries (hook_no, topic, partition_no, record_offset, payload, status, last_error)"
        " SELECT 1, 'decisions', 0, n, '', 'given_up', %s FROM generate_series(1, 130) n",
        EVIL,
    )
    first = admin.get(f"{PLACE}/1").text
    assert "/topics/decisions?partition=0&amp;from=130" in first and EVIL not in first
    older = re.search(r'href="(/system/webhooks/1\?before=\d+)">older', first)
    assert older
    numbers = [re.findall(r'<tr><td class="n">(\d+)</td>', page) for page in (first, admin.get(older[1]).text)]
    assert [len(page) for page in numbers] == [100, 30] and not set(numbers[0]) & set(numbers[1])
    assert admin.post(f"{PLACE}/1/again").status_code == 303
    assert desk.rows("SELECT DISTINCT status FROM webhook_deliveries") == [("waiting",)]


@pytest.mark.parametrize(
    ("path", "fields", "said"),
    [
        ("", {"url": "http://example.org/"}, "example.org needs https"),
        ("", {"url": "https://example.org/", "rules": "NOTHING"}, "no SQL rule"),
        ("", {"url": "https://example.org/", "outcomes": "x"}, "is no outcome"),
        ("/1", {"url": "https://example.org/"}, "a reason is needed"),
        ("/1/state", {"state": "gone", "reason": "r"}, "is neither pause nor resume"),
        ("/1/rotate", {}, "a reason is needed"),
        ("/1/remove", {}, "a reason is needed"),
        ("/1/again", {"delivery": "x"}, "is no number of a delivery"),
        ("/1/again", {"delivery": "77"}, "has no delivery 77"),
    ],
)
def test_what_is_refused_changes_nothing(
    client: Client, desk: Desk, receiver: Receiver, path: str, fields: dict[str, str], said: str
) -> None:
    admin = client("admin")
    admin.post(PLACE, data={"url": receiver.url})
    before = desk.rows("SELECT to_jsonb(w) FROM webhooks w")
    answer = admin.post(PLACE + path, data=fields, headers=FRAGMENT)
    assert answer.status_code == 409 and said in answer.json()["error"]
    assert desk.rows("SELECT to_jsonb(w) FROM webhooks w") == before and actions(desk) == ["webhooks.add"]
    assert admin.get(f"{PLACE}/1?status=x").status_code == admin.get(f"{PLACE}/1?before=x").status_code == 409


@pytest.mark.parametrize("role", ["viewer", "analyst", "lead"])
def test_only_an_admin_sees_them(client: Client, desk: Desk, receiver: Receiver, role: str) -> None:
    client("admin").post(PLACE, data={"url": receiver.url})
    one = client(role)
    assert one.get(PLACE).status_code == one.get(f"{PLACE}/1").status_code == 403
    for path in ("", "/1", "/1/test", "/1/state", "/1/rotate", "/1/remove", "/1/again"):
        assert one.post(PLACE + path, data={"url": receiver.url, "reason": "r"}).status_code == 403
    assert PLACE not in one.get("/system/audit").text and actions(desk) == ["webhooks.add"]


def test_programs_do_the_same(site: Site, desk: Desk, receiver: Receiver) -> None:
    with site.engine.begin() as connection:
        token = make_token(connection, "admin", "a test", "write", 1)
    program = TestClient(create_app(site), base_url="http://127.0.0.1:8501/api/v1")
    program.headers["authorization"] = f"Bearer {token}"
    key = {"idempotency-key": "once"}
    wanted = {"url": receiver.url, "outcomes": ["block"], "rules": ["HIGH_AMOUNT"]}
    made = [program.post("webhooks", json=wanted, headers=key).json() for _ in range(2)]
    assert made[0] == made[1] and desk.rows("SELECT count(*) FROM webhooks") == [(1,)]
    number = made[0]["webhook"]["hook_no"]
    place = f"webhooks/{number}"
    assert program.post(f"{place}/test").json()["status"] == 204
    assert receiver.got[0].is_signed_by(made[0]["secret"])
    why = {"reason": "asked for"}
    changed = program.post(f"{place}/change", json={"url": receiver.url, "description": "all", **why}).json()
    assert (changed["description"], changed["outcomes"], changed["delivered"]) == ("all", [], 1)
    assert program.post(f"{place}/state", json={"state": "paused", **why}).json()["is_on"] is False
    assert program.post(f"{place}/state", json={"state": "on", **why}).json()["is_on"] is True
    assert program.post(f"{place}/secret", json=why).json()["secret"] != made[0]["secret"]
    [delivery] = program.get(f"{place}/deliveries", params={"status": "delivered"}).json()["deliveries"]
    assert receiver.got[0].id == delivery["message_id"] and delivery["topic"] is None
    again = {"delivery_no": delivery["delivery_no"]}
    assert program.post(f"{place}/deliveries/again", json=again).json() == {"deliveries": 1}
    assert program.post(f"{place}/deliveries/again", json={"delivery_no": 99}).status_code == 404
    assert program.post(f"{place}/deliveries/again", json={}).json() == {"deliveries": 0}
    assert [found["waiting"] for found in program.get("webhooks").json()["webhooks"]] == [1]
    assert program.post("webhooks", json={"url": "http://example.org"}).status_code == 409
    assert program.post(f"{place}/removal", json=why).json() == {"hook_no": number}
    assert program.get(place).status_code == program.get("webhooks/x").status_code == 404

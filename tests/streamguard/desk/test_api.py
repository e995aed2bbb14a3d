"""The API: what its document says is what it does; tokens and roles; each request once."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode

from streamguard.desk.api.document import document
from streamguard.desk.api.endpoint import ENDPOINTS
from streamguard.desk.app import create_app
from streamguard.desk.site import Desk as Site
from streamguard.desk.stream import events
from streamguard.users.roles import ROLES, may
from streamguard.users.tokens import revoke_token, tokens_of
from tests.streamguard.desk.conftest import Client, Programs
from tests.streamguard.desk.plumbing import audit, make_topic, on_broker
from tests.support.broker import BrokerProcess
from tests.support.desk import Desk
from tests.support.records import T0_MS, high_amount, transaction

ALERT = "HIGH_AMOUNT:big"
REJECTIONS = ["400", "401", "403", "404", "405", "406", "409", "413", "415", "422", "428", "429", "5xx"]
"""schemathesis' own, and 413: a text that is longer than allowed may make a body that is not read at all."""
CHECKS = schemathesis.Config.from_dict({"checks": {"negative_data_rejection": {"expected-statuses": REJECTIONS}}})


@pytest.fixture
def desk(desk: Desk, broker: BrokerProcess, tmp_path: Path) -> Desk:
    """One alert, and a topic; no SQL server."""
    desk.feed(transaction(0, "big", "A", 4_000, T0_MS), high_amount(0, "big", "A", 4_000, T0_MS))
    make_topic(broker, "decisions", 1)
    return on_broker(desk, broker, ksqldb_url="http://127.0.0.1:1", state_dir=tmp_path)


def test_without_a_token_nothing_is_answered(client: Client, program: Programs) -> None:
    for visitor in (client("nobody"), client("admin")):
        answer = visitor.get("/api/v1/alerts")
        assert answer.status_code == 401 and answer.headers["www-authenticate"].startswith("Bearer")
        assert "a token is needed" in answer.json()["error"].lower()
    caller = program("admin")
    caller.headers["authorization"] = "Bearer sgt_wrong"
    assert caller.get("alerts").status_code == 401
    assert caller.get("nowhere").status_code == 404 and "error" in caller.get("nowhere").json()


@pytest.mark.parametrize("role", ROLES)
def test_each_role_may_what_the_table_says(program: Programs, desk: Desk, role: str) -> None:
    caller, reader = program(role), program(role, "read")
    for endpoint in ENDPOINTS:
        path = re.sub(r"\{\w+(:\w+)?\}", "x", endpoint.path).lstrip("/")
        if endpoint.streams and may(role, endpoint.needs):
            continue  # it would not end
        answer = caller.request(endpoint.method, path)
        assert (answer.status_code == 403) == (not may(role, endpoint.needs)), (endpoint, answer.text)
        if endpoint.method != "GET":
            assert reader.request(endpoint.method, path).status_code == 403
    assert desk.rows("SELECT count(*) FROM audit_log WHERE action NOT LIKE 'tokens.%%'") == [(0,)]


def test_an_alert_is_decided_with_its_reason(program: Programs, desk: Desk) -> None:
    caller = program("analyst")
    [alert] = caller.get("alerts").json()["alerts"]
    assert (alert["alert_id"], alert["amount"], alert["status"]) == (ALERT, "4000.0000", "open")
    whole = caller.get(f"alerts/{ALERT}").json()
    assert sum(r["points"] for r in whole["reasons"] if r["mode"] == "active") == alert["score"]
    assert whole["transactions"][0]["source_offset"] == 0
    said = {"verdict": "confirm", "reason": "customer denies it", "seen": alert["changed_at"]}
    decided = caller.post(f"alerts/{ALERT}/decision", json=said).json()
    assert decided["status"] == "confirmed"
    late = caller.post(f"alerts/{ALERT}/decision", json={**said, "verdict": "dismiss"})
    assert late.status_code == 409 and "analyst confirmed it" in late.json()["error"]
    assert caller.post("alerts/none/decision", json=said).status_code == 404
    for path, body in {
        "assignment": {"assignee": "lead"},
        "snooze": {"minutes": 5, "reason": "later"},
        "escalation": {"reason": "too much"},
        "notes": {"note": "called"},
    }.items():
        assert caller.post(f"alerts/{ALERT}/{path}", json=body).status_code == 200, path
    assert program("lead").get("audit", params={"action": "alerts."}).json()["entries"][-1]["reason"] == said["reason"]
    assert desk.rows("SELECT note, written_by FROM alert_notes") == [("called", "analyst")]


def test_a_duplicate_names_its_original(program: Programs, desk: Desk) -> None:
    desk.feed(transaction(1, "t1", "A", 5_000, T0_MS + 1), high_amount(1, "t1", "A", 5_000, T0_MS + 1))
    caller, original = program("analyst"), "HIGH_AMOUNT:t1"
    said = {"verdict": "duplicate", "reason": "same payments"}
    refused = caller.post(f"alerts/{ALERT}/decision", json=said)
    assert refused.status_code == 409 and "names the alert that it repeats" in refused.json()["error"]
    decided = caller.post(f"alerts/{ALERT}/decision", json={**said, "duplicate_of": original}).json()
    assert (decided["status"], decided["duplicate_of"]) == ("duplicate", original)
    [listed] = caller.get("alerts", params={"status": "duplicate"}).json()["alerts"]
    assert listed["alert_id"] == ALERT
    reopened = caller.post(f"alerts/{ALERT}/decision", json={"verdict": "reopen", "reason": "a slip"}).json()
    assert (reopened["status"], reopened["duplicate_of"]) == ("open", None)


def test_lists_and_rules_are_changed(program: Programs, desk: Desk) -> None:
    caller = program("lead")
    entry = {"kind": "merchant", "value": "M1", "reason": "trusted"}
    assert caller.post("lists/allowlist", json=entry).json()["change"] == "listed"
    assert caller.get("lists/allowlist", params={"contains": "M"}).json()["count"] == 1
    assert caller.post("lists/allowlist/removal", json=entry).json()["change"] == "removed"
    assert caller.post("lists/allowlist/removal", json=entry).status_code == 404
    mode = caller.post("rules/night/mode", json={"mode": "shadow", "reason": "noisy"}).json()
    assert (mode["before"], mode["mode"]) == ("active", "shadow")
    assert {r["name"]: r["mode"] for r in caller.get("rules").json()["rules"]}["night"] == "shadow"


def test_the_same_key_does_it_once(program: Programs, desk: Desk) -> None:
    caller = program("analyst")
    key = {"idempotency-key": "k1"}

    def write(_: int) -> str:
        return str(caller.post(f"alerts/{ALERT}/notes", json={"note": "once"}, headers=key).text)

    with ThreadPoolExecutor(4) as pool:
        answers = set(pool.map(write, range(8)))
    assert len(answers) == 1
    assert desk.rows("SELECT count(*) FROM alert_notes") == [(1,)]
    other = caller.post(f"alerts/{ALERT}/notes", json={"note": "another"}, headers=key)
    assert other.status_code == 422 and "another request" in other.json()["error"]


def test_a_token_that_is_revoked_or_of_a_disabled_user_is_refused(program: Programs, site: Site, desk: Desk) -> None:
    caller = program("analyst")
    with site.engine.begin() as connection:
        revoke_token(connection, "analyst", tokens_of(connection, "analyst")[0].token_no)
    assert caller.get("alerts").status_code == 401
    other = program("lead")
    desk.postgres.query("UPDATE users SET disabled_at = now() WHERE user_name = 'lead'")
    assert other.get("alerts").status_code == 401


def test_tokens_are_made_at_the_desk_and_shown_once(client: Client, desk: Desk) -> None:
    analyst = client("analyst")
    page = analyst.post("/tokens", data={"name": "night job", "scope": "read", "days": "30"}).text
    found = re.search(r"sgt_[\w-]{43}", page)
    assert found is not None
    assert found[0] not in analyst.get("/tokens").text
    assert found[0] not in str(desk.rows("SELECT * FROM api_tokens"))
    for wrong in ({"name": "", "scope": "read", "days": "1"}, {"name": "x", "scope": "all", "days": "1"}):
        assert analyst.post("/tokens", data=wrong).status_code == 409


@pytest.mark.parametrize("path", sorted({e.path for e in ENDPOINTS if not e.streams}))
def test_what_the_document_says_is_what_is_answered(program: Programs, site: Site, path: str) -> None:
    """schemathesis makes requests of the document, right and wrong ones, and checks each answer against it."""
    headers = {"Authorization": program("admin").headers["authorization"], "Host": "127.0.0.1:8501"}
    schema = schemathesis.openapi.from_dict(document("/api/v1"), config=CHECKS)
    schema.app = create_app(site)
    methods = [e.method for e in ENDPOINTS if e.path == path]
    for method, mode in product(methods, GenerationMode):
        operation = schema[re.sub(r"\{(\w+):path\}", r"{\1}", path)][method]

        @settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(mode))
        def check(case: schemathesis.Case[Any]) -> None:
            case.call_and_validate(headers=headers)

        check()


def test_the_document_names_each_model_once() -> None:
    assert not [name for name in document("/api/v1")["components"]["schemas"] if "__" in name]
    assert {"GET /stream", "GET /sql/rows"} == {f"{e.method} {e.path}" for e in ENDPOINTS if e.streams}


def test_a_browser_is_told_so_in_json_too(program: Programs) -> None:
    caller = program("admin")
    for headers, status in (({"host": "evil.example"}, 403), ({}, 400)):
        answer = caller.get("/alerts", params={"rule": "" if status == 403 else "\x00"}, headers=headers)
        assert answer.status_code == status and set(answer.json()) == {"error"}


def test_users_are_listed(program: Programs) -> None:
    users = program("admin").get("users").json()["users"]
    assert [(user["user_name"], user["role"]) for user in users] == [(role, role) for role in sorted(ROLES)]
    assert "password" not in str(users)


def test_devices_and_addresses_on_a_list_are_for_those_who_may(program: Programs) -> None:
    lead, viewer = program("lead"), program("viewer")
    for kind, value in (("device", "dev-77"), ("ip", "10.9.8.7"), ("merchant", "M-7")):
        lead.post("lists/allowlist", json={"kind": kind, "value": value, "reason": "trusted"})
    seen = {
        caller: {entry["kind"]: entry["value"] for entry in who.get("lists/allowlist").json()["entries"]}
        for caller, who in (("lead", lead), ("viewer", viewer))
    }
    assert seen["lead"] == {"device": "dev-77", "ip": "10.9.8.7", "merchant": "M-7"}
    assert seen["viewer"] == {"device": "hidden", "ip": "hidden", "merchant": "M-7"}


async def listen(site: Site, headers: dict[str, str], wanted: list[bytes], then: Callable[[], object]) -> bytes:
    """Read the stream until it has the first of `wanted`, do something, read on to the last, and leave."""
    loop, came, left, said = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event(), bytearray()
    site.feed.start(loop)

    asked = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> dict[str, Any]:
        if asked:
            return asked.pop()
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        assert message.get("status", 200) == 200, message
        said.extend(message.get("body", b""))
        if wanted[0] in said:
            came.set()

    sent = [(name.encode(), value.encode()) for name, value in {"host": "127.0.0.1:8501", **headers}.items()]
    scope = {"type": "http", "method": "GET", "path": "/api/v1/stream", "raw_path": b"/api/v1/stream", "headers": sent}
    visit = asyncio.create_task(create_app(site)({**scope, "query_string": b"", "scheme": "http"}, receive, send))
    try:
        while True:
            await asyncio.wait_for(came.wait(), 30)
            came.clear()
            wanted.pop(0)
            if not wanted:
                return bytes(said)
            await loop.run_in_executor(None, then)
            if wanted[0] in said:
                came.set()
    finally:
        left.set()
        await asyncio.wait_for(visit, 30)
        site.feed.close()


def test_the_stream_goes_on_after_the_last_event(program: Programs, site: Site, desk: Desk) -> None:
    headers = {
        "authorization": program("viewer", "read").headers["authorization"],
        "last-event-id": "2000-01-01T00:00:00+00:00",
    }

    def raise_another() -> None:
        desk.feed(transaction(1, "next", "B", 4_000, T0_MS), high_amount(1, "next", "B", 4_000, T0_MS))

    # On a loop of its own: in this thread a browser of another test may have one.
    with ThreadPoolExecutor(1) as pool:
        wanted = [ALERT.encode(), b"HIGH_AMOUNT:next"]
        said = pool.submit(lambda: asyncio.run(listen(site, headers, wanted, raise_another))).result(90)
    assert said.startswith(b"retry: ") and b"\nevent: alert" in said and b"id: " in said
    assert site.feed.subscribers == 0
    site.feed._thread.join(30)


def test_a_stream_ends_with_its_token(site: Site) -> None:
    async def read(is_valid: bool) -> list[bytes]:
        return [data async for data in events(site.feed, "", lambda: is_valid, check_every_s=0)]

    with ThreadPoolExecutor(1) as pool:
        [first] = pool.submit(lambda: asyncio.run(read(False))).result(30)
    assert first.startswith(b"retry: ")


def test_a_back_test_is_begun_watched_and_read(program: Programs, desk: Desk) -> None:
    lead, path = program("lead"), "rules/usual_amount/backtest"
    for wrong, said in (
        ({}, "nothing differs"),
        ({"limits": {"none_such": "1"}}, "none_such is no limit of usual_amount"),
    ):
        refused = lead.post(path, json=wrong)
        assert refused.status_code == 409 and said in refused.json()["error"]
    assert lead.post("rules/none/backtest", json={"mode": "off"}).status_code == 404
    key = {"idempotency-key": "once"}
    begun = [lead.post(path, json={"limits": {"high_ratio": "9"}}, headers=key).json() for _ in range(2)]
    assert begun[0] == begun[1] and (begun[0]["kind"], begun[0]["by"], begun[0]["rule"]) == (
        "back-test",
        "lead",
        "usual_amount",
    )
    place = f"jobs/{begun[0]['number']}"
    assert program("analyst").post(f"{place}/stop", json={"reason": "r"}).status_code == 403
    stopped = lead.post(f"{place}/stop", json={"reason": "not needed"}).json()
    assert stopped["state"] != "running" and stopped["backtest_no"] is None
    assert lead.get(place).json()["title"] == "usual_amount: high_ratio=9" and lead.get("jobs/99").status_code == 404
    assert [row[2] for row in audit(desk, "jobs.stop")] == ["not needed"] and len(audit(desk, "rules.backtest")) == 1
    kept = "INSERT INTO backtests (command, inputs, result, created_by) VALUES ('backtest --x', '{}', '{\"sides\": {}}', 'ana')"
    desk.postgres.query(kept)
    listed = lead.get("backtests").json()
    assert [found["number"] for found in listed["jobs"]] == [begun[0]["number"]]
    [line] = listed["backtests"]
    assert lead.get(f"backtests/{line['backtest_no']}").json() == {**line, "result": {"sides": {}}}
    assert lead.get("backtests/99").status_code == 404

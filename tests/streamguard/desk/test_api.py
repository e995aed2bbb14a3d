"""The API: what its document says is what it does; tokens and roles; each request once."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from starlette.testclient import TestClient

from streamguard.desk.api.document import document
from streamguard.desk.api.endpoint import ENDPOINTS
from streamguard.desk.app import create_app
from streamguard.desk.site import Desk as Site
from streamguard.users.roles import ROLES, may
from streamguard.users.tokens import make_token, revoke_token, tokens_of
from tests.streamguard.desk.conftest import Client
from tests.support.desk import Desk
from tests.support.records import T0_MS, high_amount, transaction

ALERT = "HIGH_AMOUNT:big"
Programs = Callable[..., TestClient]


@pytest.fixture
def program(site: Site, desk: Desk) -> Programs:
    """Clients with a token of a user; there is one alert."""
    desk.feed(transaction(0, "big", "A", 4_000, T0_MS), high_amount(0, "big", "A", 4_000, T0_MS))

    def of(role: str, scope: str = "write") -> TestClient:
        with site.engine.begin() as connection:
            token = make_token(connection, role, "a test", scope, 1)
        found = TestClient(create_app(site), base_url="http://127.0.0.1:8501/api/v1", follow_redirects=False)
        found.headers["authorization"] = f"Bearer {token}"
        return found

    return of


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


@pytest.mark.parametrize(("method", "path"), [(e.method, e.path) for e in ENDPOINTS])
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_what_the_document_says_is_what_is_answered(
    program: Programs, site: Site, method: str, path: str, mode: GenerationMode
) -> None:
    """schemathesis makes requests of the document, right and wrong ones, and checks each answer against it."""
    headers = {"Authorization": program("admin").headers["authorization"], "Host": "127.0.0.1:8501"}
    schema = schemathesis.openapi.from_dict(document("/api/v1"))
    schema.app = create_app(site)
    operation = schema[re.sub(r"\{(\w+):path\}", r"{\1}", path)][method]

    @settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(mode))
    def check(case: schemathesis.Case[Any]) -> None:
        case.call_and_validate(headers=headers)

    check()


def test_what_is_refused_at_the_door_is_json_too(program: Programs) -> None:
    caller = program("viewer")
    for path, headers in (("alerts?rule=%00", {}), ("alerts", {"host": "evil.example"})):
        answer = caller.get(path, headers=headers)
        assert answer.status_code in (400, 403) and list(answer.json()) == ["error"], path

"""Who gets in: logins, roles, hosts, origins and tokens. Every refusal is one sentence and changes nothing."""

from __future__ import annotations

import re

import pytest

from streamguard.config import load_settings
from streamguard.database import make_engine
from streamguard.desk.site import ROUTES
from streamguard.desk.site import Desk as Site
from streamguard.users.roles import PERMISSIONS, ROLES, may
from tests.streamguard.desk.conftest import PASSWORD, Client
from tests.support.desk import Desk
from tests.support.records import T0_MS, high_amount, transaction

ALERT = "HIGH_AMOUNT:big"


@pytest.fixture
def alert(desk: Desk) -> str:
    desk.feed(transaction(0, "big", "A", 4_000, T0_MS), high_amount(0, "big", "A", 4_000, T0_MS))
    return ALERT


def audit(desk: Desk) -> list[tuple[object, ...]]:
    return desk.rows("SELECT done_by, action, subject FROM audit_log WHERE action <> 'users.login' ORDER BY entry_no")


def test_login_leads_on_and_logout_ends_it(client: Client, site: Site) -> None:
    visitor = client("nobody")
    asked = visitor.get("/queue?status=all")
    assert (asked.status_code, asked.headers["location"]) == (303, "/login?next=/queue%3Fstatus%3Dall")
    answer = visitor.post("/login", data={"user_name": "Analyst", "password": PASSWORD, "next": "/queue?status=all"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/queue?status=all")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Path=/" in cookie
    page = visitor.get("/queue")
    assert page.status_code == 200
    token = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
    assert token is not None
    assert visitor.post("/logout", data={"csrf_token": token[1]}).headers["location"] == "/login"
    assert visitor.get("/queue").status_code == 303


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example/", "/\\evil.example", "evil"])
def test_a_login_leads_nowhere_else(client: Client, target: str) -> None:
    answer = client("nobody").post("/login", data={"user_name": "viewer", "password": PASSWORD, "next": target})
    assert answer.headers["location"] == "/"


def test_wrong_and_unknown_look_alike_and_soon_have_to_wait(client: Client, desk: Desk) -> None:
    visitor = client("nobody")
    said = {
        name: visitor.post("/login", data={"user_name": name, "password": "wrong"}).text.replace(name, "NAME")
        for name in ("analyst", "nobody-at-all")
    }
    assert len(set(said.values())) == 1
    for _ in range(3):
        assert visitor.post("/login", data={"user_name": "analyst", "password": "wrong"}).status_code == 401
    late = visitor.post("/login", data={"user_name": "analyst", "password": PASSWORD})
    assert late.status_code == 429 and "try again in" in late.text
    assert desk.rows("SELECT count(*) FROM desk_sessions") == [(0,)]
    assert ("analyst", "users.login_failed", "user analyst") in audit(desk)


def test_a_first_password_must_be_changed(client: Client, desk: Desk) -> None:
    desk.postgres.query("UPDATE users SET must_change = TRUE WHERE user_name = 'lead'")
    lead = client("lead")
    assert lead.get("/queue").headers["location"] == "/password"
    fields = {"old": PASSWORD, "new": "quite another one", "again": "quite another one"}
    assert "12 to 256" in lead.post("/password", data={**fields, "new": "short", "again": "short"}).text
    assert "differ" in lead.post("/password", data={**fields, "again": "x"}).text
    assert "not right" in lead.post("/password", data={**fields, "old": "x"}).text
    assert lead.post("/password", data=fields).headers["location"] == "/"
    assert lead.get("/queue").status_code == 200


def test_every_route_has_a_permission_of_the_table(client: Client) -> None:
    open_to_all = {("GET", "/login"), ("POST", "/login"), ("GET", "/api/v1/openapi.json")}
    for route in ROUTES:
        method, path, needs = route.name.split(" ")
        assert needs in PERMISSIONS or (method, path) in open_to_all, route.name


@pytest.mark.parametrize("role", ["nobody", *ROLES])
def test_each_role_may_what_the_table_says(client: Client, desk: Desk, alert: str, role: str) -> None:
    """Every route, cell by cell: a role that may not is refused, and nothing is changed by asking without fields."""
    visitor = client(role)
    before = audit(desk)
    for route in ROUTES:
        method, path, needs = route.name.split(" ")
        # A comparison of the shadow starts a command, which needs no field.
        if needs == "None" or path.startswith("/api/") or path in ("/live", "/logout", "/password", "/shadow/compare"):
            continue
        asked = re.sub(r"\{(\w+)(:\w+)?\}", lambda found: "1" if found[2] == ":int" else "x", path)
        answer = visitor.request(method, asked, headers={"x-requested-with": "desk"})
        if role == "nobody":
            assert answer.status_code == 401, route.name
        elif not may(role, needs):
            assert answer.status_code == 403 and needs in answer.json()["error"], route.name
        else:
            assert answer.status_code not in (401, 403, 500), (route.name, answer.text)
    assert audit(desk) == before


FORGED = [
    ({"host": "evil.example"}, "not known as"),
    ({"host": "127.0.0.1:1"}, "not known as"),
    ({"origin": "https://evil.example"}, "may not change"),
    ({"origin": "null"}, "may not change"),
    ({"sec-fetch-site": "cross-site"}, "may not change"),
    ({"x-csrf-token": "x"}, "not from your login"),
    ({"x-csrf-token": ""}, "not from your login"),
]


@pytest.mark.parametrize(("headers", "said"), FORGED)
def test_a_forged_request_changes_nothing(
    client: Client, desk: Desk, alert: str, headers: dict[str, str], said: str
) -> None:
    fields = {"alert_id": alert, "verdict": "confirm", "reason": "x"}
    answer = client("analyst").post("/alert/decide", data=fields, headers={"x-requested-with": "desk", **headers})
    assert answer.status_code == 403
    assert said in answer.text
    assert desk.rows("SELECT status FROM fraud_alerts") == [("open",)]
    assert audit(desk) == []


def test_the_desk_of_a_user_that_is_disabled_or_idle_is_closed(client: Client, desk: Desk) -> None:
    viewer, lead = client("viewer"), client("lead")
    desk.postgres.query("UPDATE users SET disabled_at = now() WHERE user_name = 'viewer'")
    desk.postgres.query("UPDATE desk_sessions SET used_at = now() - INTERVAL '3 hours' WHERE user_name = 'lead'")
    assert viewer.get("/").status_code == lead.get("/").status_code == 303


def test_headers_of_every_answer(client: Client) -> None:
    for path in ("/login", "/queue", "/nowhere", "/static/x/desk.css"):
        headers = client("viewer").get(path).headers
        assert "script-src 'self'" in headers["content-security-policy"], path
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
    assert client("viewer").get("/queue").headers["cache-control"] == "no-store"


def test_no_page_has_a_script_or_a_style_in_it(client: Client, alert: str) -> None:
    lead = client("admin")
    for path in ("/", "/queue", f"/alerts/{alert}", "/login"):
        page = lead.get(path).text
        assert not re.search(r"<script(?![^>]*src=)", page), path
        assert not re.search(r"\sstyle=|\son\w+=|<style", page), path


def test_probes_are_answered_to_everybody_under_any_name(client: Client, site: Site, desk: Desk) -> None:
    visitor = client("nobody")

    def asked(path: str) -> tuple[int, str]:
        answer = visitor.get(path, headers={"host": "10.0.0.7:8501"})
        return answer.status_code, answer.text

    assert asked("/healthz") == (200, "ok\n")
    assert asked("/readyz") == (503, "it is starting\n")
    site.pulse._from_database(False)
    assert asked("/readyz") == (200, "ok\n")
    site.engine.dispose()
    site.pulse._engine = make_engine(load_settings(database_url="postgresql://x:secret@127.0.0.1:1/x"), "test")
    site.pulse._from_database(False)
    assert asked("/readyz") == (503, "Postgres is unavailable\n")
    assert asked("/healthz") == (200, "ok\n")
    assert visitor.post("/readyz").status_code == 404
    assert asked("/login")[0] == 403, "the rest of the desk still asks for its name"

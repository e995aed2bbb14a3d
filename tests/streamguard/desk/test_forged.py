"""A thousand forged requests: whatever they claim, they change nothing, show nothing, and are told so in one sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from itertools import product
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from streamguard.desk.site import ROUTES
from streamguard.desk.site import Desk as Site
from streamguard.users.roles import PERMISSIONS, ROLES, may
from streamguard.users.tokens import make_token
from tests.streamguard.desk.conftest import Client
from tests.support.desk import Desk
from tests.support.records import T0_MS, high_amount, transaction

ALERT = "HIGH_AMOUNT:big"
MARKUP = "<script>alert(1)</script>"
SAID_AT_MOST = 500
HOLDS_OPEN = ("/live", "/api/v1/stream")
"""Streams that do not end by themselves; who may not open one is refused as everywhere."""

FIELDS = {
    "alert_id": ALERT, "verdict": "confirm", "reason": "forged", "note": "forged", "assignee": "analyst", "minutes": "60",
    "list": "block", "kind": "account", "value": "A", "mode": "off", "name": "forged", "role": "admin", "state": "disabled",
    "user_name": "forged", "old": "x", "new": "another password", "again": "another password", "scope": "write", "days": "1",
    "sql": "TERMINATE ALL;", "topic": "transactions", "partition": "0", "key": "A", "place": "transactions/0/0", "group": "g",
}  # fmt: skip
"""Fields as the forms have them, all at once: none is refused for lacking one."""

STRANGERS: list[tuple[dict[str, str], str]] = [
    ({"host": "evil.example"}, "not known as"),
    ({"host": "127.0.0.1:8501.evil.example"}, "not known as"),
    ({"origin": "https://evil.example"}, "may not change"),
    ({"origin": "http://127.0.0.1:8502"}, "may not change"),
    ({"origin": "null"}, "may not change"),
    ({"sec-fetch-site": "cross-site"}, "may not change"),
    ({"x-csrf-token": "A" * 43}, "not from your login"),
    ({"x-csrf-token": ""}, "not from your login"),
]
"""Headers of a browser that another site has sent here, and a part of the sentence that it gets."""

ODD = [
    MARKUP, '"><img src=x onerror=alert(1)>', "' onmouseover=alert(1) '", "{{ 7919 * 7907 }}", "javascript:alert(1)",
    "' OR '1'='1", "'; DROP TABLE fraud_alerts; --", "1) UNION SELECT password_hash FROM users --", "%' ESCAPE '",
    "../../../../etc/passwd", "..%2f..%2fetc%2fpasswd", "/etc/passwd", "....//....//etc/passwd",
    "=cmd|' /C calc'!A0", "+1+1", "@SUM(A1)", "A" * 5_000, "\x7f\x1b[2J", "\u202egnp.exe", "-1", "99999999999999999999",
    "NaN", "%00", "%", "\\",
]  # fmt: skip
"""Texts that mean something to HTML, templates, SQL, files, spreadsheets, terminals or numbers."""

PLACES = [
    "/alerts/{}", "/accounts/{}", "/merchants/{}", "/devices/{}", "/rules/{}", "/lists/{}", "/static/x/{}", "/static/{}",
    "/jobs/{}", "/backtests/{}", "/system/logs/{}", "/{}", "/search?q={}", "/accounts?q={}", "/queue?rule={}",
    "/queue?account={}", "/queue?since={}", "/queue?order={}", "/queue?score={}", "/queue?selected={}", "/queue?status={}",
    "/queue.csv?account={}", "/system/audit?subject={}", "/system/audit?by={}", "/?range={}", "/login?next={}",
    "/lists/block?q={}", "/api/v1/alerts?rule={}", "/api/v1/alerts/{}", "/api/v1/accounts/{}", "/api/v1/lists/{}",
]  # fmt: skip
"""Addresses with a place for such a text, of pages that read the database or files."""


class _Markup(HTMLParser):
    """Collects what only a text that became markup brings onto a page of the desk."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("img", "iframe", "style", "object") or (tag == "script" and not given.get("src")):
            self.found.append(tag)
        self.found += [name for name in given if name.startswith("on") or name == "style"]
        links = [given.get(name) or "" for name in ("href", "src", "action")]
        self.found += [link for link in links if link.lower().startswith(("javascript:", "data:", "//", "http"))]


def markup_in(page: str) -> list[str]:
    """Elements, attributes and links that no page of the desk has."""
    parser = _Markup()
    parser.feed(page)
    return parser.found


@dataclass
class Forger:
    """Sends requests and looks at each answer."""

    sent: int = 0

    def refused(self, visitor: TestClient, method: str, path: str, headers: dict[str, str], says: str = "") -> None:
        """Send a request that has to be refused with one sentence that says this."""
        self.sent += 1
        asked = {"x-requested-with": "desk", **headers}
        answer = visitor.request(method, path, headers=asked, data=FIELDS if method == "POST" else None)
        case = f"{method} {path} {headers}: {answer.status_code} {answer.text[:300]}"
        assert answer.status_code in (401, 403), case
        said = answer.json()["error"] if answer.headers["content-type"] == "application/json" else answer.text.strip()
        assert says in said and 0 < len(said) < SAID_AT_MOST and "\n" not in said and "Traceback" not in said, case


def asked_paths() -> Iterator[tuple[str, str, str]]:
    """Method, an address, and the permission of each route that needs one."""
    for route in ROUTES:
        method, path, needs = route.name.split(" ")
        if needs != "None":
            yield method, re.sub(r"\{(\w+)(:\w+)?\}", lambda found: "1" if found[2] == ":int" else "x", path), needs


@pytest.fixture
def alert(desk: Desk) -> str:
    """An alert and texts of records that would be markup."""
    odd = {"merchant_name": MARKUP, "city": '"><b>x</b>', "device_id": "' onclick=alert(1) '"}
    desk.feed(transaction(0, "big", "A", 4_000, T0_MS, **odd), high_amount(0, "big", "A", 4_000, T0_MS))
    return ALERT


def stored(desk: Desk) -> dict[str, object]:
    """A digest of every table, but for when sessions and tokens were used."""
    names = desk.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    digest = "SELECT count(*), md5(string_agg(t::TEXT, '|' ORDER BY t::TEXT)) FROM {} t"
    return {str(n): desk.rows(digest.format(n)) for (n,) in names if n not in ("desk_sessions", "api_tokens")}


def test_a_thousand_forged_requests_change_and_show_nothing(site: Site, client: Client, desk: Desk, alert: str) -> None:
    forger = Forger()
    clients = {role: client(role) for role in ("nobody", *ROLES)}
    reader = client("nobody")
    with site.engine.begin() as connection:
        reader.headers["authorization"] = f"Bearer {make_token(connection, 'admin', 'a test', 'read', 1)}"
    before = stored(desk)
    for method, path, needs in asked_paths():
        is_api = path.startswith("/api/")
        forger.refused(clients["nobody"], method, path, {"cookie": "streamguard=" + "A" * 43})
        forger.refused(clients["nobody"], method, path, {"authorization": "Bearer sgt_" + "A" * 43})
        forger.refused(clients["nobody"], method, path, {"authorization": "Basic YWRtaW46YWRtaW4="})
        forger.refused(clients["admin"], method, path, {"host": "evil.example"}, "not known as")
        if is_api and method != "GET":
            forger.refused(reader, method, path, {})
        for role in ROLES:
            if not is_api and not may(role, needs):
                forger.refused(clients[role], method, path, {}, needs)
        if method == "POST" and not is_api:
            for headers, says in STRANGERS:
                forger.refused(clients["admin"], method, path, headers, says)
        if is_api:
            # The login of a browser opens no door of the API: another site could send it along.
            forger.refused(clients["admin"], method, path, {})
    assert stored(desk) == before
    assert forger.sent + len(PLACES) * len(ODD) // 2 >= 1_000, "with those of the next test"


def test_odd_texts_in_addresses_are_texts(client: Client, desk: Desk, alert: str) -> None:
    admin, before = client("admin"), stored(desk)
    for place, odd in list(product(PLACES, ODD))[::2]:
        answer = admin.get(place.format(odd if "%2f" in odd else quote(odd, safe="/")))
        case = f"{place} with {odd[:60]!r}: {answer.status_code} {answer.text[:300]}"
        assert answer.status_code < 500, case
        assert "root:x:" not in answer.text and "$argon2" not in answer.text and "Traceback" not in answer.text, case
        if answer.headers.get("content-type", "").startswith("text/html"):
            assert markup_in(answer.text) == [], case
            assert "62615533" not in answer.text, case
        assert not answer.headers.get("location", "/").startswith(("//", "http", "javascript")), case
    assert stored(desk) == before


def test_odd_texts_of_records_are_texts(client: Client, desk: Desk, alert: str) -> None:
    admin = client("admin")
    for path in (
        "/",
        "/queue?status=all",
        f"/alerts/{ALERT}",
        "/accounts",
        "/accounts/A",
        "/queue.csv?status=all",
    ):
        answer = admin.get(path)
        assert answer.status_code == 200, path
        if answer.headers["content-type"].startswith("text/html"):
            assert markup_in(answer.text) == [], path


def test_a_stale_decision_is_refused_with_what_changed(client: Client, desk: Desk, alert: str) -> None:
    analyst, before = client("analyst"), stored(desk)
    seen = {"alert_id": ALERT, "verdict": "confirm", "reason": "x", "seen": "2020-01-01T00:00:00+00:00"}
    answer = analyst.post("/alert/decide", data=seen, headers={"x-requested-with": "desk"})
    assert answer.status_code == 409 and len(answer.json()["error"]) < SAID_AT_MOST
    assert stored(desk) == before


def test_the_table_of_permissions_has_every_permission_that_is_asked(client: Client) -> None:
    assert {needs for _, _, needs in asked_paths()} <= PERMISSIONS.keys()

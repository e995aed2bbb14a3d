"""The system's pages: health, settings without secrets, logs, users, the audit log; and who may see and do what."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from streamguard.desk.site import Desk as Site
from streamguard.users import audit
from streamguard.users.accounts import check_password
from tests.streamguard.desk.conftest import Client
from tests.support.desk import Desk
from tests.support.processes import eventually

EVIL = "<b onclick=alert(1)>"


@pytest.fixture
def folder(site: Site, tmp_path: Path) -> Path:
    """A state folder with a log; nothing runs there."""
    nowhere = {"state_dir": tmp_path, "kafka_bootstrap_servers": "127.0.0.1:1", "ksqldb_url": "http://127.0.0.1:1"}
    site.settings = site.settings.model_copy(update={**nowhere, "postgres_password": "sesame-1"})
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "consumer.log").write_text("".join(f"line {n} {EVIL}\n" for n in range(700)))
    return tmp_path


def test_the_overview_says_what_stands_still_and_hides_secrets(client: Client, folder: Path, site: Site) -> None:
    viewer = client("viewer")
    page = eventually(lambda: viewer.get("/system").text, lambda text: "being checked" not in text, 60)
    assert "ksqlDB" in page and "does not answer" in page
    assert "No supervisor answers here" in page
    assert re.search(r'<ul class="findings">.*127\.0\.0\.1:1', page, re.S)
    assert "fraud_alerts" in page and "STREAMGUARD_RULES_HIGH_RATIO" in page
    for secret in ("sesame-1", "streamguard_2024"):
        assert secret not in page
    assert "streamguard:hidden@" in page
    assert "Audit log" not in page and "Audit log" in client("lead").get("/system").text


def test_what_sets_a_setting(client: Client, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMGUARD_RULES_HIGH_RATIO", "7")
    page = client("viewer").get("/system").text
    row = page[page.index("STREAMGUARD_RULES_HIGH_RATIO") :]
    assert re.findall(r"<td[^>]*>(.*?)</td>", row)[:2] == ["7", "<b>environment</b>"]


def test_the_end_of_a_log(client: Client, folder: Path) -> None:
    page = client("viewer").get("/system/logs/consumer").text
    assert "line 200 &lt;b" in page and "line 699" in page and "line 199 " not in page and EVIL not in page
    for name in ("none", "..%2F..%2Fetc%2Fpasswd", "consumer.log"):
        assert client("viewer").get(f"/system/logs/{name}").status_code == 404


def test_the_audit_log_is_filtered_and_paged(client: Client, folder: Path, site: Site) -> None:
    with site.engine.begin() as connection:
        for number in range(130):
            audit.note(connection, f"ana{number % 2}", "alerts.decide", f"alert {number}", reason=EVIL)
        audit.note(connection, "bob", "rules.mode", "rule X", before={"mode": "off"}, after={"mode": EVIL})
    lead = client("lead")
    first = lead.get("/system/audit").text
    assert "rule X" in first and EVIL not in first
    older = re.search(r'href="(/system/audit\?before=\d+)">older', first)
    assert older
    numbers = [re.findall(r'<tr><td class="n">(\d+)</td>', page) for page in (first, lead.get(older[1]).text)]
    assert [len(page) for page in numbers] == [100, 31]
    assert not set(numbers[0]) & set(numbers[1])
    assert "rule X" not in lead.get("/system/audit", params={"by": "ana1"}).text
    assert "alert 7" not in lead.get("/system/audit", params={"action": "rules."}).text
    assert "No entry" in lead.get("/system/audit", params={"subject": "nobody"}).text
    assert lead.get("/system/audit", params={"before": "x"}).status_code == 409
    assert client("analyst").get("/system/audit").status_code == 403


def test_the_chain_of_the_audit_log_is_checked_on_request(client: Client, folder: Path, site: Site, desk: Desk) -> None:
    with site.engine.begin() as connection:
        audit.note(connection, "ana", "alerts.decide", f"alert {EVIL}")
    lead = client("lead")
    assert "No entry is missing or altered" not in lead.get("/system/audit").text
    assert "No entry is missing or altered" in lead.get("/system/audit", params={"check": "1"}).text
    desk.rows("UPDATE audit_log SET done_by = 'eve' WHERE action = 'alerts.decide'")
    page = lead.get("/system/audit", params={"check": "1"}).text
    assert "The audit log was changed" in page and "was altered" in page and EVIL not in page


def test_a_user_from_the_first_password_to_disabled(client: Client, folder: Path, site: Site, desk: Desk) -> None:
    admin = client("admin")
    page = admin.post("/system/users/add", data={"user_name": "Eva", "role": "analyst"}).text
    shown = re.search(r'<code class="password">([^<]+)</code>', page)
    assert shown
    with site.engine.begin() as connection:
        assert check_password(connection, "eva", shown[1]) is not None
    assert shown[1] not in admin.get("/system/users").text
    assert admin.post("/system/users/eva/role", data={"role": "lead", "reason": "grew"}).status_code == 303
    again = re.search(
        r'<code class="password">([^<]+)</code>', admin.post("/system/users/eva/reset", data={"reason": "lost"}).text
    )
    assert again and again[1] != shown[1]
    assert admin.post("/system/users/eva/state", data={"state": "disable", "reason": "left"}).status_code == 303
    with site.engine.begin() as connection:
        assert check_password(connection, "eva", again[1]) is None
    assert admin.post("/system/users/eva/state", data={"state": "enable", "reason": "back"}).status_code == 303
    actions = "SELECT action, reason FROM audit_log ORDER BY entry_no"
    assert desk.rows(actions) == [
        ("users.add", None),
        ("users.role", "grew"),
        ("users.reset", "lost"),
        ("users.disable", "left"),
        ("users.enable", "back"),
    ]


@pytest.mark.parametrize(
    ("path", "fields", "said"),
    [
        ("add", {"user_name": "a b", "role": "viewer"}, "is no user name"),
        ("add", {"user_name": "viewer", "role": "viewer"}, "there is a user viewer already"),
        ("add", {"user_name": "eva", "role": "king"}, "is no role"),
        ("viewer/role", {"role": "lead"}, "a reason is needed"),
        ("viewer/state", {"state": "gone", "reason": "r"}, "is neither disable nor enable"),
        ("admin/state", {"state": "disable", "reason": "r"}, "no admin would be left"),
        ("admin/role", {"role": "lead", "reason": "r"}, "no admin would be left"),
        ("nobody/reset", {"reason": "r"}, "there is no user nobody"),
    ],
)
def test_refused_changes_of_users(
    client: Client, folder: Path, desk: Desk, path: str, fields: dict[str, str], said: str
) -> None:
    before = desk.rows("SELECT user_name, role, disabled_at FROM users ORDER BY 1")
    answer = client("admin").post(f"/system/users/{path}", data=fields)
    assert answer.status_code == 409 and said in answer.text
    assert desk.rows("SELECT user_name, role, disabled_at FROM users ORDER BY 1") == before


@pytest.mark.parametrize("role", ["viewer", "analyst", "lead"])
def test_only_an_admin_sees_and_changes_users(client: Client, folder: Path, desk: Desk, role: str) -> None:
    one = client(role)
    assert one.get("/system/users").status_code == 403
    for path in ("add", "viewer/role", "viewer/reset", "viewer/state"):
        sent = {"user_name": "eva", "role": "admin", "state": "disable", "reason": "r"}
        assert one.post(f"/system/users/{path}", data=sent).status_code == 403
    assert desk.rows("SELECT count(*) FROM audit_log") == [(0,)]

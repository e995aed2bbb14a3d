"""Webhooks as they are kept: addresses, filters, the audit log, proxies, and the times of the schedule."""

from __future__ import annotations

import base64
import re
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from streamguard.kafka.clients import KafkaUnavailable
from streamguard.webhooks import hooks
from streamguard.webhooks.hooks import MOST_HOOKS, Wanted, WrongHook
from streamguard.webhooks.post import session_for
from streamguard.webhooks.schedule import Schedule
from streamguard.webhooks.sender import Sender
from streamguard.webhooks.signing import headers, new_secret
from tests.streamguard.webhooks.conftest import add
from tests.support import pages
from tests.support.desk import Desk
from tests.support.receiver import Receiver


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "is no address"),
        ("ftp://example.org/", "is no address"),
        ("https://", "is no address"),
        ("https://example.org:0/", "is no address"),
        ("https://example.org:99999/", "is no address"),
        ("https://[::1", "is no address"),
        ("http://example.org/", "example.org needs https"),
        ("http://10.0.0.7/", "10.0.0.7 needs https"),
        ("http://127.0.0.1.example.org/", "needs https"),
        ("https://me:secret@example.org/", "a user name"),
        ("https://example.org/#x", "a fragment"),
        ("https://example.org/a b", "without spaces"),
        ("https://exämple.org/", "of ASCII"),
        ("https://example.org/\n", "without spaces"),
        ("https://example.org/" + "a" * 2_000, "at most 2,000"),
    ],
)
def test_an_address_that_is_refused(url: str, said: str) -> None:
    with pytest.raises(WrongHook, match=said):
        hooks.check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org",
        "https://example.org:8443/a?b=c",
        "http://localhost/x",
        "http://[::1]:8000/",
        "http://127.0.0.9/",
    ],
)
def test_an_address_that_is_taken(url: str) -> None:
    hooks.check_url(url)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Wanted("https://a.example", rules=("HIGH_AMONT",)), "no SQL rule 'HIGH_AMONT'"),
        (Wanted("https://a.example", rules=("night",)), "no SQL rule 'night'"),
        (Wanted("https://a.example", outcomes=("blocked",)), "'blocked' is no outcome: block, review"),
        (Wanted("https://a.example", "x" * 201), "at most 200"),
    ],
)
def test_a_filter_that_would_never_fit_is_refused(desk: Desk, wanted: Wanted, said: str) -> None:
    with desk.engine.begin() as connection, pytest.raises(WrongHook, match=said):
        hooks.add_hook(connection, desk.settings, wanted, by="admin")
    assert desk.rows("SELECT count(*) FROM webhooks") == desk.rows("SELECT count(*) FROM audit_log") == [(0,)]


def test_outcomes_are_those_of_the_database(desk: Desk) -> None:
    [(check,)] = desk.rows(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'decisions_outcome_check'"
    )
    assert all(f"'{outcome}'" in str(check) for outcome in hooks.OUTCOMES)
    assert str(check).count("'::text") == len(hooks.OUTCOMES)


def test_each_change_is_in_the_audit_log_without_the_secret(desk: Desk, receiver: Receiver) -> None:
    number, secret = add(desk, receiver)
    with desk.engine.begin() as connection:
        changed = Wanted("https://b.example", "new", ("block",), ("HIGH_AMOUNT",))
        hooks.change_hook(connection, number, changed, by="admin", reason="moved")
        hooks.switch_hook(connection, number, False, by="admin", reason="they are down")
        hooks.switch_hook(connection, number, True, by="admin", reason="back")
        new = hooks.rotate_secret(connection, number, by="admin", reason="leaked")
        hooks.remove_hook(connection, number, by="admin", reason="done")
    rows = desk.rows("SELECT action, subject, reason, value_before, value_after FROM audit_log ORDER BY entry_no")
    assert [row[0] for row in rows] == [
        f"webhooks.{action}" for action in ("add", "change", "pause", "resume", "rotate", "remove")
    ]
    assert {row[1] for row in rows} == {f"webhook {number}"}
    assert rows[1][3:] == (
        {"url": receiver.url, "description": "", "outcomes": [], "rules": []},
        {"url": "https://b.example", "description": "new", "outcomes": ["block"], "rules": ["HIGH_AMOUNT"]},
    )
    assert secret not in str(rows) and new not in str(rows)


def test_there_are_at_most_so_many(desk: Desk, receiver: Receiver) -> None:
    for _ in range(MOST_HOOKS):
        add(desk, receiver)
    with pytest.raises(WrongHook, match="remove one first"):
        add(desk, receiver)


def test_the_first_needs_kafka_to_say_where_it_begins(desk: Desk, receiver: Receiver) -> None:
    away = desk.settings.model_copy(update={"kafka_bootstrap_servers": "127.0.0.1:1"})
    with desk.engine.begin() as connection, pytest.raises(KafkaUnavailable, match="add it when Kafka is back"):
        hooks.add_hook(connection, away, Wanted(receiver.url), by="admin")
    add(desk, receiver)
    with desk.engine.begin() as connection:
        hooks.add_hook(connection, away, Wanted(receiver.url), by="admin")
    assert desk.rows("SELECT partition_no, next_offset FROM webhook_offsets ORDER BY 1") == [(0, 1), (1, 1), (2, 1)]


def test_a_proxy_is_for_other_machines_only(
    desk: Desk, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password sesame\ndefault login me password sesame\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    number, _ = add(desk, receiver)
    sender = Sender(desk.engine, threading.Event())
    with Receiver() as proxy:
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert sender.send_test(number, "admin").status == 204 and proxy.got == []
        with desk.engine.begin() as connection:
            connection.execute(text("UPDATE webhooks SET url = 'https://receiver.invalid/x'"))
        failed = sender.send_test(number, "admin")
        assert failed.status is None and "403" in failed.error
        assert [got.headers["connect"] for got in proxy.got] == ["receiver.invalid:443"]
    assert len(receiver.got) == 1 and "authorization" not in receiver.got[0].headers
    with session_for("https://receiver.invalid/x") as session:
        assert session.auth is not None, "no password of ~/.netrc"


def test_the_signature_is_that_of_the_specification() -> None:
    """The example of the specification's reference libraries."""
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
    made = headers([secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body)
    assert made["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert made["webhook-timestamp"] == "1614265330"
    assert 24 <= len(base64.b64decode(new_secret().removeprefix("whsec_"))) <= 64


def test_waits_grow_and_stay_bounded() -> None:
    schedule = Schedule(jitter=0.0)
    assert [schedule.wait_s(n) for n in (1, 2, 3, 4, 50)] == [5, 15, 45, 135, 3_600]
    assert [schedule.hold_s(n) for n in (1, 2, 3, 4, 500)] == [None, None, 5, 10, 600]
    waits = {Schedule().wait_s(1) for _ in range(50)}
    assert all(4 <= wait <= 6 for wait in waits) and len(waits) > 1


def test_the_receiver_of_the_page_verifies(desk: Desk, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run as it is written in docs/desk.md."""
    [source] = pages.blocks("docs/desk.md", "python")
    shown: dict[str, Any] = {"__name__": "shown"}
    exec(compile(source, "docs/desk.md", "exec"), shown)
    number, secret = add(desk, receiver)
    server = ThreadingHTTPServer(("127.0.0.1", 0), shown["Receiver"])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    desk.postgres.query("UPDATE webhooks SET url = %s", f"http://127.0.0.1:{server.server_port}/")
    try:
        for known, status in ((secret, 204), (new_secret(), 401)):
            monkeypatch.setenv("SECRET", known)
            assert Sender(desk.engine, threading.Event()).send_test(number, "admin").status == status
    finally:
        server.shutdown()
        server.server_close()
    old = headers([secret], "msg_1", 1_614_265_330, b"{}")
    assert not shown["verified"](secret, old, b"{}"), "an old message that somebody repeats"


def test_a_webhook_can_be_of_every_outcome_that_a_decision_may_have(desk: Desk) -> None:
    [(check,)] = desk.rows(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'decisions_outcome_check'"
    )
    assert set(re.findall(r"'(\w+)'", str(check))) == set(hooks.OUTCOMES)

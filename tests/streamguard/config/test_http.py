"""A proxy of the environment is asked for other hosts unless no_proxy has them, never for a server on this machine."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import requests

from streamguard.config.http import http_session
from streamguard.webhooks.post import session_for
from streamguard_ksql.shell.client import Client

SESSIONS: dict[str, Callable[[str], requests.Session]] = {
    "application": http_session,
    "webhooks": session_for,
    "ksql shell": lambda url: Client(url)._http,
}
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.mark.parametrize("session", SESSIONS.values(), ids=SESSIONS)
@pytest.mark.parametrize("variables", [("http_proxy", "HTTPS_PROXY"), ("ALL_PROXY",), ("all_proxy",)])
@pytest.mark.parametrize(
    ("url", "no_proxy", "proxied"),
    [
        ("http://127.0.0.1:8088", "", False),
        ("http://127.1.2.3", "", False),
        ("http://0.0.0.0:8088", "", False),
        ("http://[::1]:8088", "", False),
        ("http://localhost:8088", "", False),
        ("https://ksqldb.example.com", "", True),
        ("https://ksqldb.example.com", "other.org,.example.com", False),
        ("http://10.0.0.5:8088", "", True),
        ("http://10.0.0.5:8088", "10.0.0.0/8", False),
    ],
)
def test_who_is_reached_through_a_proxy(
    session: Callable[[str], requests.Session],
    variables: tuple[str, ...],
    url: str,
    no_proxy: str,
    proxied: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in variables:
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", no_proxy)
    with session(url) as opened:
        found = opened.merge_environment_settings(url, {}, None, None, None)["proxies"]
    assert bool(found) == proxied

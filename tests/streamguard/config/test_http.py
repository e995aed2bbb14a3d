"""A proxy of the environment is asked for other hosts, never for a server on this machine."""

from __future__ import annotations

import pytest

from streamguard.config.http import http_session


@pytest.mark.parametrize(
    ("url", "by_environment"),
    [
        ("http://127.0.0.1:8088", False),
        ("http://127.1.2.3", False),
        ("http://[::1]:8088", False),
        ("http://localhost:8088", False),
        ("https://ksqldb.example.com", True),
        ("http://10.0.0.5:8088", True),
    ],
)
def test_loopback_is_reached_without_a_proxy(url: str, by_environment: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    session = http_session(url)
    proxies = session.merge_environment_settings(url, {}, None, None, None)["proxies"]
    assert bool(proxies) == by_environment

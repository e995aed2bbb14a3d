"""HTTP without surprises: a company's proxy is for other hosts, never for a server on this machine."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

import requests


def http_session(url: str) -> requests.Session:
    """A session for the server at `url`; `http_proxy` and the like hold for it only where it is not on loopback."""
    session = requests.Session()
    host = urlsplit(url).hostname or ""
    # Who connects to 0.0.0.0 connects to this machine; who listens there does so for others, too.
    session.trust_env = not (is_loopback(host) or host in ("0.0.0.0", "::"))
    return session


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name or address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")

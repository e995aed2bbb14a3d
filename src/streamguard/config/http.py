"""HTTP without surprises: a company's proxy is for other hosts, never for a server on this machine."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

import requests


def http_session(url: str) -> requests.Session:
    """A session for the server at `url`; `http_proxy` and the like hold for it only where it is not on loopback."""
    session = requests.Session()
    session.trust_env = not is_loopback(urlsplit(url).hostname or "")
    return session


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name or address."""
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    # 0.0.0.0 as an address to connect to is this machine too.
    return address.is_loopback or address.is_unspecified

"""What the environment says of proxies and of authorities, and whom that is about."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import requests

from streamguard.config.http import is_loopback
from streamguard.stack.doctor.base import Finding, Surroundings, check

_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


@check("Proxies")
def proxies(around: Surroundings) -> Iterator[Finding]:
    """A proxy that stands between us and the SQL engine; one on this machine is never asked through a proxy."""
    for name, value in around.environment.items():
        if name.lower() in ("http_proxy", "https_proxy", "all_proxy") and value and not _is_proxy(value):
            yield Finding(f"{name}={value} is no address of a proxy", f"set {name} to http://HOST:PORT, or unset it")
    url = around.settings.ksqldb_url
    host = urlsplit(url).hostname or ""
    if is_loopback(host):
        return
    found = requests.utils.get_environ_proxies(url).get(urlsplit(url).scheme)
    if found:
        yield Finding(
            f"requests to the SQL engine at {url} (KSQLDB_URL) go through the proxy {found}",
            f"add {host} to NO_PROXY, unless that is meant",
        )


def _is_proxy(value: str) -> bool:
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


@check("Bundles of authorities")
def bundles(around: Surroundings) -> Iterator[Finding]:
    """A file of authorities that is not there ends every request over TLS."""
    for name in _BUNDLES:
        value = around.environment.get(name)
        if value and not Path(value).exists():
            yield Finding(f"{name}={value}: there is no such file", f"unset {name}, or name the file that there is")

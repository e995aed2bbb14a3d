"""Why a ksqlDB server cannot be asked, as a person can put it right: TLS on one side only, certificates, silence."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import BadStatusLine, RemoteDisconnected
from urllib.parse import urlsplit

_PROBE_S = 3.0
# X509_V_ERR_* of OpenSSL's x509_vfy.h.
_NOT_YET, _EXPIRED, _OTHER_NAME, _OTHER_ADDRESS = 9, 10, 62, 64


@dataclass(frozen=True)
class Problem:
    """The second half of a sentence about a server. `permanent`: it does not pass by waiting."""

    reason: str
    permanent: bool

    def __str__(self) -> str:
        return self.reason


def problem_of(url: str, error: BaseException, trust: str) -> Problem:
    """What an error of a connection to `url` means; `trust` says how an authority is made known to the client."""
    causes = list(_chain(error))
    host = urlsplit(url).hostname or ""
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Problem(_of_certificate(cause, host, trust), permanent=True)
    if any(isinstance(cause, ssl.SSLError) for cause in causes) and url.startswith("https"):
        if _speaks_tls(url):
            return Problem("the TLS handshake failed", permanent=False)
        return Problem("it does not speak TLS: its address begins with http://", permanent=True)
    if any(isinstance(cause, TimeoutError) for cause in causes) or "timed out" in str(error):
        return Problem("it does not answer in time", permanent=False)
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return Problem(f"the name {host} is not known", permanent=False)
    # RemoteDisconnected is a ConnectionResetError too.
    broken = (ConnectionResetError, BrokenPipeError, BadStatusLine, RemoteDisconnected)
    if url.startswith("http:") and any(isinstance(cause, broken) for cause in causes) and _speaks_tls(url):
        return Problem("it speaks TLS: its address begins with https://", permanent=True)
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return Problem("nothing listens there", permanent=False)
    reasons = [cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror]
    return Problem(reasons[-1] if reasons else "the connection was closed", permanent=False)


def _of_certificate(error: ssl.SSLCertVerificationError, host: str, trust: str) -> str:
    if error.verify_code == _EXPIRED:
        return "its certificate has expired: renew it"
    if error.verify_code == _NOT_YET:
        return "its certificate is not valid yet: compare the clocks"
    if error.verify_code in (_OTHER_NAME, _OTHER_ADDRESS):
        return f"its certificate is not for {host}: use a name that it is for"
    return f"its certificate is of no authority that is known here ({error.verify_message}): {trust}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what it came from: requests and urllib3 wrap it in arguments and in `reason`."""
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        inner = [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
        waiting += [found for found in inner if isinstance(found, BaseException)]


def _speaks_tls(url: str) -> bool:
    """Whether a TLS handshake succeeds there, with any certificate."""
    parts = urlsplit(url)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        address = (parts.hostname or "", parts.port or 443)
        with socket.create_connection(address, _PROBE_S) as plain, context.wrap_socket(plain):
            return True
    except OSError:
        return False

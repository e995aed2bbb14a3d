"""One attempt: a POST, and what came of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from importlib.metadata import version
from typing import Any
from uuid import UUID

import requests

from streamguard.config.http import http_session
from streamguard.webhooks.signing import headers

TIMEOUT_S = 10.0
OLD_SECRET_SIGNS = timedelta(days=1)
GONE = 410
_SHOWN = 200
_READ_BYTES = 4_096


@dataclass(frozen=True)
class Message:
    """A delivery that was taken, with all that sending needs. `topic` is None for a test."""

    delivery_no: int
    hook_no: int
    message_id: UUID
    topic: str | None
    payload: Any
    attempts: int
    url: str
    secret: str
    secret_before: str | None
    rotated_at: datetime | None
    failures: int

    def secrets(self) -> list[str]:
        """What it is signed with: for a day after a rotation the old secret as well."""
        changing = self.rotated_at is not None and datetime.now(timezone.utc) - self.rotated_at < OLD_SECRET_SIGNS
        return [self.secret, *([self.secret_before] if changing and self.secret_before else [])]


@dataclass(frozen=True)
class Result:
    """How an attempt ended. `status` is None where there was no answer, `error` empty where it was delivered."""

    status: int | None
    error: str
    took_ms: int


def session_for(url: str) -> requests.Session:
    """A session for one receiver; a proxy of the environment holds where that is not on this machine."""
    session = http_session(url)
    # Else the machine's ~/.netrc would add a password to what leaves it.
    session.auth = _no_password
    return session


def post(session: requests.Session, message: Message, timeout_s: float = TIMEOUT_S) -> Result:
    """Send a message. Whatever the receiver does is a result, never an error."""
    body = bytes(message.payload)
    signed = headers(message.secrets(), f"msg_{message.message_id.hex}", int(time.time()), body)
    sent = {**signed, "content-type": "application/json", "user-agent": f"StreamGuard/{version('streamguard')}"}
    began = time.monotonic()
    try:
        answer = session.post(
            message.url, data=body, headers=sent, timeout=timeout_s, allow_redirects=False, stream=True
        )
        with answer:
            status, error = answer.status_code, _error(answer)
    except requests.Timeout:
        status, error = None, f"no answer within {timeout_s:g} s"
    except (requests.RequestException, OSError, ValueError) as failure:
        status, error = None, _reason(failure)
    return Result(status, error, round((time.monotonic() - began) * 1000))


def _error(answer: requests.Response) -> str:
    """Empty where the receiver has taken it; else a sentence with the beginning of what it says."""
    # Read in any case, a little: then the connection serves the next message too.
    said = answer.raw.read(_READ_BYTES, decode_content=True) or b""
    if 200 <= answer.status_code < 300:
        return ""
    if 300 <= answer.status_code < 400:
        return f"{answer.status_code}: redirects are not followed, enter the new address"
    text = " ".join(said.decode("utf-8", "replace").replace("\x00", "").split())
    return f"{answer.status_code} {answer.reason or ''}".strip() + (f": {text[:_SHOWN]}" if text else "")


def _reason(failure: BaseException) -> str:
    """The innermost cause: requests and urllib3 wrap it several times."""
    cause: BaseException = failure
    while (inner := getattr(cause, "reason", None) or cause.__cause__ or _first(cause)) is not None:
        if not isinstance(inner, BaseException):
            break
        cause = inner
    words = getattr(cause, "strerror", None) or str(cause).split(": ", 1)[-1] or type(cause).__name__
    return f"no connection: {words}"[: 2 * _SHOWN].replace("\x00", "")


def _first(error: BaseException) -> BaseException | None:
    return next((argument for argument in error.args if isinstance(argument, BaseException)), None)


def _no_password(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request

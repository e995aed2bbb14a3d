"""How soon the pages of the running desk answer: each asked again and again, one request after the other."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from sqlalchemy import Connection, text

from streamguard.config import UserError
from streamguard.config.http import http_session

PAGES = (
    *(
        "/",
        "/?range=day",
        "/?range=week",
        "/queue",
        "/queue?order=newest&status=all",
        "/queue?rule=HIGH_AMOUNT&score=50",
    ),
    *("/queue?account={account}", "/queue?merchant={merchant}", "/queue?page=20&status=all", "/alerts/{alert}"),
    *("/accounts", "/accounts?q={prefix}", "/accounts/{account}", "/merchants/{merchant}", "/devices/{device}"),
    *("/search?q={prefix}", "/search?q={transaction}", "/search?q=nothing-of-this-name"),
    *(
        "/lists/blacklist",
        "/lists/allowlist",
        "/rules",
        "/rules/HIGH_AMOUNT",
        "/rules/usual_amount",
        "/backtests",
        "/shadow",
    ),
    *(
        "/topics",
        "/topics/transactions",
        "/groups",
        "/dead-letters",
        "/sql",
        "/system",
        "/system/audit",
        "/system/users",
    ),
    *("/api/v1/openapi.json", "/queue/next"),
)
"""Addresses as people ask for them; what stands in braces is taken from the database."""
_VALUES = {
    "alert": "SELECT alert_id FROM fraud_alerts ORDER BY detected_at DESC LIMIT 1",
    "account": "SELECT account_id FROM fraud_alerts GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1",
    "merchant": "SELECT merchant_id FROM transactions WHERE is_fraud AND merchant_id IS NOT NULL"
    " GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1",
    "device": "SELECT device_id FROM transactions WHERE is_fraud AND device_id IS NOT NULL ORDER BY event_time DESC LIMIT 1",
    "transaction": "SELECT transaction_id FROM transactions ORDER BY event_time DESC LIMIT 1",
}


@dataclass(frozen=True)
class PageFigures:
    """Milliseconds of each answer to one address, in order of size."""

    path: str
    answers_ms: list[float]


def examples(connection: Connection) -> dict[str, str]:
    """What stands in the braces of the addresses. Raises UserError where nothing is stored."""
    found = {name: connection.execute(text(statement)).scalar() for name, statement in _VALUES.items()}
    if found["alert"] is None or found["account"] is None:
        raise UserError("there is no alert yet: `streamguard generate batch --fraud-share 0.1` makes some")
    return {name: str(value or "none") for name, value in found.items()} | {"prefix": str(found["account"])[:4]}


def measure(url: str, token: str, values: Mapping[str, str], asked: int) -> Iterator[PageFigures]:
    """Ask for each page so many times, after one request that is not counted. Raises UserError where one is refused."""
    session = http_session(url)
    session.cookies.set("streamguard", token)
    for template in PAGES:
        path = template.format(**{name: quote(value, safe="") for name, value in values.items()})
        answers: list[float] = []
        for _ in range(asked + 1):
            began = time.perf_counter()
            answer = session.get(url + path, timeout=60, allow_redirects=False)
            answers.append((time.perf_counter() - began) * 1000)
            if answer.headers.get("location", "").endswith("/password"):
                raise UserError("the user has to choose a password first: log in at the desk once")
            # A search that finds one thing leads to it.
            if answer.status_code not in (200, 303):
                raise UserError(f"{path} answers {answer.status_code}: {answer.text[:200]}")
        yield PageFigures(template, sorted(answers[1:]))

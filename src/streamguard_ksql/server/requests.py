"""What clients send: bodies of a bounded size, JSON, with ksqlDB's field names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request

from streamguard_ksql.server.errors import TOO_LARGE, RestError
from streamguard_ksql.server.logins import ANYBODY, Principal

MAX_BODY_BYTES = 10_000_000
MAX_DISCARDED_BYTES = 256_000_000
"""So much of a body that is too large is read and thrown away, so that the client gets to read the refusal."""


@dataclass(frozen=True)
class SqlRequest:
    """The body of /ksql, /query and /query-stream."""

    sql: str
    properties: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    command_sequence_number: int | None = None
    principal: Principal = ANYBODY


async def read_body(request: Request) -> bytes:
    """The body; RestError 413 for one above the limit, which is never read into memory."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= MAX_BODY_BYTES:
            chunks.append(chunk)
        else:
            chunks.clear()
        if size > MAX_DISCARDED_BYTES:
            break
    if size > MAX_BODY_BYTES:
        raise too_large()
    return b"".join(chunks)


def too_large() -> RestError:
    return RestError(f"The request is larger than the {MAX_BODY_BYTES:,} bytes that are accepted.", code=TOO_LARGE)


async def read_object(request: Request) -> dict[str, Any]:
    """The body as a JSON object (an empty body as an empty one); RestError 40000 for anything else."""
    return parse_object(await read_body(request))


def parse_object(body: bytes) -> dict[str, Any]:
    if not body.strip():
        return {}
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RestError(f"The request body is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise RestError("The request body must be a JSON object.")
    return value


async def read_request(request: Request) -> SqlRequest:
    """The body of a request that carries SQL. `/query-stream` says sql and properties, the others ksql and
    streamsProperties; both spellings are taken everywhere."""
    body = await read_object(request)
    sql = body.get("ksql", body.get("sql"))
    if not isinstance(sql, str):
        raise RestError("The request body must have the SQL text in 'ksql' (or 'sql' for /query-stream).")
    properties = _object(body, "streamsProperties") or _object(body, "properties")
    variables = {name: _text(value) for name, value in _object(body, "sessionVariables").items()}
    number = body.get("commandSequenceNumber")
    if number is not None and (isinstance(number, bool) or not isinstance(number, int)):
        raise RestError("'commandSequenceNumber' must be an integer.")
    return SqlRequest(sql, dict(properties), variables, number, request.scope["principal"])


def _object(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise RestError(f"'{name}' must be a JSON object.")
    return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


__all__ = [
    "MAX_BODY_BYTES",
    "ClientDisconnect",
    "SqlRequest",
    "parse_object",
    "read_body",
    "read_object",
    "read_request",
]

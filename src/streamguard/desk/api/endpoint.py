"""What an endpoint is: a function of a `Call`, registered with its method, path, permission and models."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from streamguard.config import UserError
from streamguard.database import error_message, is_outage
from streamguard.desk.site import ROUTES, Desk, NotFound, PatternRoute
from streamguard.users.roles import may
from streamguard.users.tokens import WRITE, Bearer, bearer_of

ROOT = "/api/v1"
LARGEST_BODY_BYTES = 1024 * 1024
KEPT_FOR = "1 day"
LONGEST_WORK = "10min"
READS = ("GET", "HEAD")
M = TypeVar("M", bound=BaseModel)


class Model(BaseModel):
    """What is sent or answered; a field that is not known is an error."""

    # Validators are made when a model is used first: all of them would take a tenth of the desk's memory.
    model_config = ConfigDict(extra="forbid", from_attributes=True, defer_build=True)


class Nothing(Model):
    """No fields."""


@dataclass(frozen=True)
class Endpoint:
    """An endpoint as the document describes it. `takes` are the fields of the address of a GET, else those of the body; `streams`
    is the media type of an answer that comes by and by."""

    method: str
    path: str
    needs: str
    takes: type[Model]
    gives: type[BaseModel] | None
    does: str
    streams: str = ""


ENDPOINTS: list[Endpoint] = []


class Refused(Exception):
    """The answer is this status with one sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass
class Call:
    """A request of a program: whose it is, and what it says."""

    desk: Desk
    bearer: Bearer
    path: dict[str, str]
    token: str
    last_event: str = ""
    """The header `Last-Event-ID`."""

    @property
    def user(self) -> str:
        """Whose token it is."""
        return self.bearer.user_name

    def may(self, action: str) -> bool:
        """Whether the role of whose token it is may do this."""
        return may(self.bearer.role, action)

    def is_valid(self) -> bool:
        """Whether the token is still valid, for answers that take long."""
        with self.database() as connection:
            return bearer_of(connection, self.token) is not None

    def number(self, name: str, what: str) -> int:
        """A number of the path. Raises NotFound for what is none."""
        words = self.path[name]
        if not (words.isascii() and words.isdecimal() and len(words) < 19):
            raise NotFound(f"there is no {what} {words[:80]}")
        return int(words)

    @contextmanager
    def database(self) -> Iterator[Connection]:
        """One database transaction."""
        with self.desk.engine.begin() as connection:
            yield connection


Handler = Callable[[Call, Any], Any]


def endpoint(
    method: str,
    path: str,
    *,
    needs: str,
    takes: type[Model] = Nothing,
    gives: type[BaseModel] | None = None,
    streams: str = "",
) -> Callable[[Handler], Handler]:
    """Register an endpoint below `/api/v1`."""

    def register(handler: Handler) -> Handler:
        does = (handler.__doc__ or "").strip().splitlines()[0]
        described = Endpoint(method, path, needs, takes, gives, does, streams)
        ENDPOINTS.append(described)

        async def answer(request: Request) -> Response:
            return await _answer(request, described, handler)

        ROUTES.append(PatternRoute(ROOT + path, answer, methods=[method], name=f"{method} {ROOT}{path} {needs}"))
        return handler

    return register


def json(value: Any, status: int = 200) -> Response:
    """An answer in JSON."""
    return Response(orjson.dumps(value, default=_plain), status_code=status, media_type="application/json")


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return str(value)


async def _answer(request: Request, described: Endpoint, handler: Handler) -> Response:
    desk: Desk = request.app.state.desk
    try:
        if int(request.headers.get("content-length") or 0) > LARGEST_BODY_BYTES:
            raise Refused(413, "The body is more than 1 MiB: send less at once.")
        body = await request.body()
        return await run_in_threadpool(_work, desk, request, described, handler, body)
    except Refused as refused:
        response = json({"error": str(refused)}, refused.status)
        if refused.status == 401:
            response.headers["www-authenticate"] = 'Bearer realm="streamguard"'
        return response
    except NotFound as error:
        return json({"error": str(error)}, 404)
    except UserError as error:
        return json({"error": str(error)}, 409)
    except DBAPIError as error:
        if not is_outage(error):
            raise
        return json({"error": f"Postgres is unavailable ({error_message(error)}): repeat the request later."}, 503)


def _work(desk: Desk, request: Request, described: Endpoint, handler: Handler, body: bytes) -> Response:
    bearer, token = _bearer(desk, request, described)
    given = _given(request, described, body)
    path = {name: str(value) for name, value in request.path_params.items()}
    call = Call(desk, bearer, path, token, request.headers.get("last-event-id", ""))
    key = request.headers.get("idempotency-key")
    if key is None or described.method in READS:
        done = handler(call, given)
        return done if isinstance(done, Response) else json(done)
    return _once(call, key, request, body, lambda: handler(call, given))


def _bearer(desk: Desk, request: Request, described: Endpoint) -> tuple[Bearer, str]:
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token:
        raise Refused(401, "A token is needed: `Authorization: Bearer sgt_...`; make one at /tokens.")
    with desk.engine.begin() as connection:
        bearer = bearer_of(connection, token.strip())
    if bearer is None:
        raise Refused(401, "The token is not valid (any more): make another at /tokens.")
    if not may(bearer.role, described.needs):
        raise Refused(403, f"The role {bearer.role} may not do this ({described.needs}).")
    if bearer.scope != WRITE and described.method not in READS:
        raise Refused(403, "The token has the scope read: make one with the scope write at /tokens.")
    return bearer, token.strip()


def _given(request: Request, described: Endpoint, body: bytes) -> Model:
    if described.method in READS:
        values: Any = dict(request.query_params)
    else:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if body and kind != "application/json":
            raise Refused(415, "The body is JSON: send it with `Content-Type: application/json`.")
        try:
            values = orjson.loads(body or b"{}")
        except orjson.JSONDecodeError as error:
            raise Refused(400, f"The body is not JSON: {error}.") from None
    try:
        return described.takes.model_validate(values)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}" for e in error.errors(include_url=False)]
        raise Refused(422, "; ".join(problems)) from None


def _once(call: Call, key: str, request: Request, body: bytes, work: Callable[[], Any]) -> Response:
    """Do it once under an idempotency key: the same request again is answered as the first was."""
    if not 1 <= len(key) <= 200:
        raise Refused(422, "Idempotency-Key: 1 to 200 characters.")
    digest = hashlib.sha256(f"{request.method} {request.url.path}\n".encode() + body).digest()
    place = {"token": call.bearer.token_no, "key": key}
    with call.database() as connection:
        # Nothing is asked of this connection while the work is done, which may take longer than a process may be idle.
        connection.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = '{LONGEST_WORK}'"))
        connection.execute(text(f"DELETE FROM api_answers WHERE answered_at < now() - INTERVAL '{KEPT_FOR}'"))
        # Whoever has the same key at the same time waits here, and finds the answer.
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:key, :token))"), place)
        found = connection.execute(
            text("SELECT request_hash, status, body FROM api_answers WHERE token_no = :token AND idempotency = :key"),
            place,
        ).first()
        if found is not None:
            if bytes(found.request_hash) != digest:
                raise Refused(422, "This Idempotency-Key was used for another request.")
            return Response(found.body, status_code=found.status, media_type="application/json")
        response = json(work())
        connection.execute(
            text(
                "INSERT INTO api_answers (token_no, idempotency, request_hash, status, body)"
                " VALUES (:token, :key, :hash, :status, :body)"
            ),
            {**place, "hash": digest, "status": response.status_code, "body": bytes(response.body).decode()},
        )
        return response

"""What a page is: a function of a `Visit`, registered with its method, its path and the permission that it needs."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from streamguard.config import Settings, UserError
from streamguard.database import error_message, is_outage
from streamguard.desk.cached import Cache
from streamguard.desk.doors import SAFE_METHODS, Addresses, Throttle
from streamguard.desk.feed import Feed
from streamguard.desk.presence import Presence
from streamguard.desk.pulse import Pulse
from streamguard.desk.render import Renderer
from streamguard.desk.reveal import Looks
from streamguard.metrics.desk import DeskMetrics, matched
from streamguard.users.roles import may
from streamguard.users.sessions import Lifetimes, Session, find_session

LARGEST_FORM_BYTES = 8 * 1024 * 1024


class NotFound(UserError):
    """There is nothing of this name; answered with 404."""


@dataclass
class Desk:
    """The parts that all pages share."""

    settings: Settings
    engine: Engine
    addresses: Addresses
    lifetimes: Lifetimes
    feed: Feed
    pulse: Pulse
    renderer: Renderer
    throttle: Throttle = field(default_factory=Throttle)
    presence: Presence = field(default_factory=Presence)
    looks: Looks = field(default_factory=Looks)

    def __post_init__(self) -> None:
        self.metrics = DeskMetrics(lambda: self.feed.subscribers, lambda: self.feed.sent)
        self.cache = Cache(self.engine)

    @property
    def cookie(self) -> str:
        """The name of the cookie; with the prefix that browsers bind to https and the host."""
        return "__Host-streamguard" if self.addresses.is_secure else "streamguard"


class Asker(Protocol):
    """Whoever asks for something: the visit of a page, or a call of the API."""

    @property
    def desk(self) -> Desk:
        """The parts of the desk."""
        ...

    @property
    def user(self) -> str:
        """The name of whoever asks."""
        ...

    def database(self) -> AbstractContextManager[Connection]:
        """One database transaction."""
        ...


@dataclass
class Visit:
    """One request: who asks for what."""

    desk: Desk
    request: Request
    session: Session | None
    form: FormData
    is_revealed: bool = False
    """Whether personal data was asked for with a reason, which is in the audit log: for this answer only."""

    @property
    def sees_personal_data(self) -> bool:
        """Whether devices and addresses are shown: by the role, or because they were asked for."""
        return self.is_revealed or self.may("personal_data.read")

    @property
    def user(self) -> str:
        """The name of whoever is logged in."""
        return self.session.user_name if self.session else ""

    @property
    def query(self) -> dict[str, str]:
        """The fields of the address."""
        return dict(self.request.query_params)

    @property
    def path(self) -> dict[str, Any]:
        """The parameters of the path."""
        return self.request.path_params

    @property
    def is_fragment(self) -> bool:
        """Whether the desk's script asks, for a piece of a page."""
        return self.request.headers.get("x-requested-with") == "desk"

    def may(self, action: str) -> bool:
        """Whether whoever asks may do this."""
        return self.session is not None and may(self.session.role, action)

    def text(self, name: str) -> str:
        """A field of the form, trimmed; empty if it was not sent. Raises UserError for what the database cannot store."""
        value = self.form.get(name, "")
        if not isinstance(value, str):
            return ""
        if "\x00" in value:
            raise UserError(f"{name} has a character that cannot be stored (NUL)")
        return value.strip()

    def reason(self) -> str:
        """The field `reason`. Raises UserError where it is empty."""
        if not (reason := self.text("reason")):
            raise UserError("a reason is needed; it is kept")
        return reason[:1_000]

    @contextmanager
    def database(self) -> Iterator[Connection]:
        """One database transaction."""
        with self.desk.engine.begin() as connection:
            yield connection

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        """A template as the answer, whole or as a fragment."""
        return self.desk.renderer.response(self, template, status, values)

    def to(self, path: str) -> Response:
        """Go to a path of the desk."""
        return RedirectResponse(self.desk.renderer.url(path), status_code=303)


class PatternRoute(Route):
    """A route that tells the metrics its pattern."""

    async def handle(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request that has matched."""
        matched(scope, self.path)
        await super().handle(scope, receive, send)


Handler = Callable[[Visit], Response]
ROUTES: list[Route] = []


def route(method: str, path: str, *, needs: str | None) -> Callable[[Handler], Handler]:
    """Register a page. `needs` is an action of the table of permissions; None for what everybody may."""

    def register(handler: Handler) -> Handler:
        async def endpoint(request: Request) -> Response:
            return await _answer(request, handler, needs)

        ROUTES.append(PatternRoute(path, endpoint, methods=[method], name=f"{method} {path} {needs}"))
        return handler

    return register


async def _answer(request: Request, handler: Handler, needs: str | None) -> Response:
    desk: Desk = request.app.state.desk
    visit = Visit(desk, request, None, FormData())
    try:
        visit.session = await run_in_threadpool(_session_of, desk, request)
        if (refusal := _refusal(visit, needs)) is not None:
            return refusal
        if request.method not in SAFE_METHODS:
            if int(request.headers.get("content-length", "0") or 0) > LARGEST_FORM_BYTES:
                return refuse(visit, 413, "That is more than 8 MiB: send less at once.")
            visit.form = await request.form(max_part_size=LARGEST_FORM_BYTES)
            if needs is not None and not _has_token(visit):
                return refuse(visit, 403, "This form is not from your login any more: reload the page and repeat.")
        return await run_in_threadpool(handler, visit)
    except NotFound as error:
        return refuse(visit, 404, str(error))
    except UserError as error:
        return refuse(visit, 409, str(error))
    except DBAPIError as error:
        if not is_outage(error):
            raise
        return refuse(visit, 503, f"Postgres is unavailable ({error_message(error)}); this page comes back with it.")
    finally:
        await visit.form.close()


def _session_of(desk: Desk, request: Request) -> Session | None:
    token = request.cookies.get(desk.cookie)
    if not token:
        return None
    with desk.engine.begin() as connection:
        return find_session(connection, token, desk.lifetimes, used=not request.url.path.endswith("/live"))


def _refusal(visit: Visit, needs: str | None) -> Response | None:
    """Why the visit ends here: not logged in, a password to be changed, or a role that may not."""
    if needs is None:
        return None
    if visit.session is None:
        if visit.is_fragment or visit.request.method not in SAFE_METHODS:
            return refuse(visit, 401, "You are not logged in any more: log in and repeat.")
        wanted = visit.request.url.path + (f"?{visit.request.url.query}" if visit.request.url.query else "")
        return visit.to(f"/login?next={quote(wanted)}")
    if visit.session.must_change and needs != "self.change":
        return visit.to("/password")
    if not may(visit.session.role, needs):
        return refuse(visit, 403, f"The role {visit.session.role} may not do this ({needs}): ask a lead or an admin.")
    return None


def _has_token(visit: Visit) -> bool:
    sent = visit.request.headers.get("x-csrf-token") or visit.text("csrf_token")
    return visit.session is not None and hmac.compare_digest(sent.encode(), visit.session.csrf_token.encode())


def refuse(visit: Visit, status: int, sentence: str) -> Response:
    """An answer of one sentence: JSON to the desk's script, a page to a person."""
    if visit.is_fragment:
        return JSONResponse({"error": sentence}, status_code=status)
    return visit.page("refused.html", status, sentence=sentence)

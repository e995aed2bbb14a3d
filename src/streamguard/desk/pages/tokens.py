"""One's own tokens for the API."""

from __future__ import annotations

from starlette.responses import Response

from streamguard.config import UserError
from streamguard.desk.site import Visit, route
from streamguard.users.tokens import make_token, revoke_token, tokens_of


@route("GET", "/tokens", needs="self.change")
def tokens(visit: Visit) -> Response:
    """All tokens of the user."""
    return _page(visit)


@route("POST", "/tokens", needs="self.change")
def make(visit: Visit) -> Response:
    """A new token, shown once."""
    days = visit.text("days")
    if not days.isdecimal():
        raise UserError("days are a whole number")
    with visit.database() as connection:
        token = make_token(connection, visit.user, visit.text("name"), visit.text("scope"), int(days[:6]))
    return _page(visit, token)


@route("POST", "/tokens/{number:int}/revoke", needs="self.change")
def revoke(visit: Visit) -> Response:
    """End a token."""
    with visit.database() as connection:
        revoke_token(connection, visit.user, visit.path["number"])
    return visit.to("/tokens")


def _page(visit: Visit, made: str = "") -> Response:
    with visit.database() as connection:
        found = tokens_of(connection, visit.user)
    return visit.page("tokens.html", tokens=found, made=made)

"""Logging in and out, and one's own password."""

from __future__ import annotations

from starlette.responses import Response

from streamguard.config import UserError
from streamguard.desk.site import Visit, route
from streamguard.users import audit
from streamguard.users.accounts import change_password, check_password
from streamguard.users.sessions import close_session, open_session


@route("GET", "/login", needs=None)
def login_page(visit: Visit) -> Response:
    """The form."""
    if visit.session is not None:
        return visit.to("/")
    return visit.page("login.html", next=_local(visit.query.get("next", "/")), problem="", name="")


@route("POST", "/login", needs=None)
def login(visit: Visit) -> Response:
    """Log in; the wrong password and the unknown user look alike."""
    name, throttle = visit.text("user_name").lower()[:64], visit.desk.throttle
    keys = (f"user {name}", f"address {visit.request.client.host if visit.request.client else ''}")
    target = _local(visit.text("next") or "/")
    if (wait := throttle.wait_s(*keys)) > 0:
        visit.desk.metrics.login_failed()
        problem = f"Too many failed logins: try again in {wait:.0f} s."
        return visit.page("login.html", 429, next=target, problem=problem, name=name)
    password = visit.form.get("password", "")
    with visit.database() as connection:
        user = check_password(connection, name, password if isinstance(password, str) else "")
        if user is None:
            throttle.failed(*keys)
            audit.note(connection, name or "-", "users.login_failed", f"user {name}")
        else:
            throttle.succeeded(keys[0])
            audit.note(connection, name, "users.login", f"user {name}")
            token = open_session(connection, name, visit.desk.lifetimes)
    if user is None:
        visit.desk.metrics.login_failed()
        return visit.page("login.html", 401, next=target, problem="User or password is not right.", name=name)
    response = visit.to("/password" if user.must_change else target)
    _set_cookie(visit, response, token)
    return response


@route("POST", "/logout", needs="self.change")
def logout(visit: Visit) -> Response:
    """End this login."""
    with visit.database() as connection:
        close_session(connection, visit.request.cookies.get(visit.desk.cookie, ""))
    response = visit.to("/login")
    response.delete_cookie(visit.desk.cookie, path="/", secure=visit.desk.addresses.is_secure, httponly=True)
    return response


@route("GET", "/password", needs="self.change")
def password_page(visit: Visit) -> Response:
    """The form for a new password."""
    return visit.page("password.html", problem="")


@route("POST", "/password", needs="self.change")
def set_password(visit: Visit) -> Response:
    """Change one's own password; other logins of the same user end, this one goes on."""
    old, new, again = (str(visit.form.get(name, "")) for name in ("old", "new", "again"))
    try:
        if new != again:
            raise UserError("the two new passwords differ")
        with visit.database() as connection:
            change_password(connection, visit.user, old, new)
            token = open_session(connection, visit.user, visit.desk.lifetimes)
    except UserError as error:
        return visit.page("password.html", 409, problem=str(error))
    response = visit.to("/")
    _set_cookie(visit, response, token)
    return response


def _set_cookie(visit: Visit, response: Response, token: str) -> None:
    response.set_cookie(
        visit.desk.cookie,
        token,
        max_age=int(visit.desk.lifetimes.absolute.total_seconds()),
        path="/",
        secure=visit.desk.addresses.is_secure,
        httponly=True,
        samesite="strict",
    )


def _local(target: str) -> str:
    """A path of the desk; anything that leads elsewhere becomes the first page."""
    return target if target.startswith("/") and not target.startswith(("//", "/\\")) else "/"

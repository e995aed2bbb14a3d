"""The application: the routes of all pages, the static files, and the doors around them."""

from __future__ import annotations

import logging
import mimetypes
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from streamguard.desk import api, pages
from streamguard.desk.doors import Doors
from streamguard.desk.probes import Probes
from streamguard.desk.render import STATIC, theme_of
from streamguard.desk.site import ROUTES, Desk, PatternRoute
from streamguard.metrics.desk import Counted

__all__ = ["api", "create_app", "pages"]

log = logging.getLogger("streamguard.desk")

_FILES = {file.name: file for file in STATIC.iterdir()}


async def static_file(request: Request) -> Response:
    """A file of the desk. Its address has the version, so browsers keep it for good."""
    file = _FILES.get(request.path_params["name"])
    if file is None:
        return PlainTextResponse("There is no such file.\n", status_code=404)
    media = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    kept = "public, max-age=31536000, immutable"
    return Response(file.read_bytes(), media_type=media, headers={"cache-control": kept})


async def _not_found(request: Request, error: Exception) -> Response:
    status = 405 if getattr(error, "status_code", 404) == 405 else 404
    return _page(request, status, f"There is no page {request.method} {request.url.path}.")


async def _failed(request: Request, error: Exception) -> Response:
    log.error("answering %s %s failed", request.method, request.url.path, exc_info=error)
    return _page(request, 500, "This page failed; `streamguard logs desk` says why.")


def _page(request: Request, status: int, sentence: str) -> Response:
    desk: Desk = request.app.state.desk
    if request.url.path.startswith("/api/"):
        return JSONResponse({"error": sentence}, status_code=status)
    if request.headers.get("x-requested-with") == "desk":
        return PlainTextResponse(sentence, status_code=status)
    html = desk.renderer.html("bare.html", sentence=sentence, theme=theme_of(request))
    return Response(html, status_code=status, media_type="text/html")


def create_app(desk: Desk) -> Any:
    """The ASGI application of a desk."""
    routes = [*ROUTES, PatternRoute("/static/{version}/{name}", static_file)]
    app = Starlette(routes=routes, exception_handlers={404: _not_found, 405: _not_found, Exception: _failed})
    app.state.desk = desk
    return Probes(Counted(Doors(app, desk.addresses), desk.metrics), desk)

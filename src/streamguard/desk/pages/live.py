"""The live stream."""

from __future__ import annotations

from starlette.responses import Response

from streamguard.desk.site import Visit, route
from streamguard.desk.stream import live


@route("GET", "/live", needs="alerts.read")
def live_stream(visit: Visit) -> Response:
    """Server-sent events: `alert`, `pulse`, `reload`. They go on after `Last-Event-ID`, or the field `after`."""
    return live(visit.desk, visit.request.headers.get("last-event-id") or visit.query.get("after", ""))

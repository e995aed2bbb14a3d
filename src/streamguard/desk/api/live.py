"""The live stream: alerts as they change, and the figures of each second."""

from __future__ import annotations

from pydantic import Field
from starlette.responses import Response

from streamguard.desk.api.endpoint import Call, Model, endpoint
from streamguard.desk.stream import live


class StreamFilter(Model):
    """Where to go on; the header `Last-Event-ID` says the same, and wins."""

    after: str = Field("", max_length=64, description="the id of the last event that was received")


@endpoint("GET", "/stream", needs="alerts.read", takes=StreamFilter, streams="text/event-stream")
def stream(call: Call, given: StreamFilter) -> Response:
    """Server-sent events until one of both ends: `alert`, `pulse`, and `reload` where too much was missed to be sent."""
    return live(call.desk, call.last_event or given.after, call.is_valid)

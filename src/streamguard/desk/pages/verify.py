"""Recompute an alert from the topic, on the spot."""

from __future__ import annotations

from starlette.responses import Response

from streamguard.alerts.claim import claim_of
from streamguard.desk.site import Visit, route
from streamguard.kafka.clients import kafka_errors
from streamguard.privacy.mode import protection_of


@route("GET", "/verify/{alert_id:path}", needs="alerts.read")
def verify(visit: Visit) -> Response:
    """What the rule's own SQL says of the alert, read from the topic again; a fragment."""
    # An engine comes with it: the desk has no other use for one.
    from streamguard.evaluation.verify import verify as recompute

    settings = visit.desk.settings
    with visit.database() as connection:
        claim = claim_of(connection, visit.path["alert_id"])
        protection = protection_of(connection, settings)
    with kafka_errors():
        result = recompute(settings, claim, protection)
    return visit.page("verify.html", claim=claim, result=result)

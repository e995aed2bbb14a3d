"""The audit log: what people did, when, and why."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from streamguard.config import UserError
from streamguard.desk.site import Visit, route
from streamguard.users import audit, audit_chain

PAGE = 100


@route("GET", "/system/audit", needs="audit.read")
def audit_log(visit: Visit) -> Response:
    """A page of it, the newest first; `before` is the number of the entry after which it goes on.

    With `check` the chain of hashes is computed anew.
    """
    wanted = {name: visit.query.get(name, "").strip()[:255].replace("\x00", "") for name in ("by", "action", "subject")}
    before = visit.query.get("before", "")
    if before and not (before.isdecimal() and len(before) < 19):
        raise UserError(f"before={before} is no number of an entry")
    with visit.database() as connection:
        found = audit.find(
            connection,
            done_by=wanted["by"] or None,
            action=wanted["action"] or None,
            subject=wanted["subject"] or None,
            before_no=int(before) if before else None,
            limit=PAGE + 1,
        )
        chain = audit_chain.verify(connection) if visit.query.get("check") else None
    shown: dict[str, Any] = {"entries": found[:PAGE], "more": len(found) > PAGE, "wanted": wanted, "before": before}
    return visit.page("audit.html", **shown, chain=chain)

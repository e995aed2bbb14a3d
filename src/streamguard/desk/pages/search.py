"""The search box: what begins with the text, among accounts, transactions, merchants, devices and alerts."""

from __future__ import annotations

from sqlalchemy import Connection
from starlette.responses import JSONResponse, Response

from streamguard.alerts import accounts as known
from streamguard.desk.render import link
from streamguard.desk.site import Visit, route

LONGEST = 255


@route("GET", "/search", needs="accounts.read")
def search(visit: Visit) -> Response:
    """What was found; a single hit, or the only one of exactly this name, opens at once. JSON for the script."""
    wanted = visit.query.get("q", "").strip()[:LONGEST].replace("\x00", "")
    with visit.database() as connection:
        hits = find(connection, wanted, devices=visit.may("personal_data.read")) if wanted else []
    if visit.is_fragment:
        return JSONResponse([{"kind": k, "name": n, "path": visit.desk.renderer.url(p)} for k, n, p in hits])
    exact = [hit for hit in hits if hit[1] == wanted]
    for only in (exact, hits):
        if len(only) == 1:
            return visit.to(only[0][2])
    return visit.page("search.html", wanted=wanted, hits=hits)


def find(connection: Connection, wanted: str, *, devices: bool) -> list[tuple[str, str, str]]:
    """Kind, name and path of what begins with the text; merchants also by a part of their name."""
    hits = [("account", name, link("accounts", name)) for name in known.begin_with(connection, known.ACCOUNT, wanted)]
    if (owner := known.account_of_transaction(connection, wanted)) is not None:
        hits.append(("transaction", wanted, f"{link('accounts', owner)}?transaction={link(wanted)[1:]}"))
    merchants = known.begin_with(connection, known.MERCHANT, wanted)
    if len(wanted) >= 3:
        merchants += known.merchants_named(connection, wanted)
    hits += [("merchant", name, link("merchants", name)) for name in dict.fromkeys(merchants)]
    if devices:
        hits += [("device", name, link("devices", name)) for name in known.begin_with(connection, known.DEVICE, wanted)]
    hits += [("alert", name, link("alerts", name)) for name in known.alerts_begin_with(connection, wanted)]
    return hits

"""From rows to HTML: the templates, and the few formats of numbers, times and amounts that every page uses."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from streamguard.alerts.context import AccountAmount
from streamguard.desk import charts
from streamguard.desk.suggested import TO_SEE_PERSONAL_DATA, suggested
from streamguard.models import show_amount
from streamguard.rules.catalogue import Rule, catalogue
from streamguard.users.roles import may

if TYPE_CHECKING:
    from streamguard.desk.site import Visit

FOLDER = Path(str(files("streamguard"))) / "desk"
STATIC = FOLDER / "static"

RAIL = (
    (("/", "Now", "alerts.read"), ("/queue", "Queue", "alerts.read"), ("/accounts", "Accounts", "accounts.read"),
     ("/lists", "Lists", "lists.read")),
    (("/rules", "Rules", "rules.read"), ("/analytics", "Analytics", "analytics.read")),
    (("/topics", "Topics", "topics.read"), ("/sql", "SQL", "sql.read"), ("/system", "System", "system.read")),
)  # fmt: skip
"""The left rail in its three groups: work, judgement, plumbing. Each entry: path, name, the permission that shows it."""


class Renderer:
    """The templates with what they may call. `root` is the path below which a proxy shows the desk."""

    def __init__(self, root: str = "", sla: timedelta = timedelta(minutes=30)) -> None:
        self.root = root.rstrip("/")
        self.version = _version()
        self._env = Environment(
            loader=FileSystemLoader(FOLDER / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._env.filters.update(
            amount=amount,
            when=when,
            age=age,
            number=number,
            percent=percent,
            ms=ms,
            rule_name=rule_name,
            points=points,
            dot=dot,
            group_name=group_name,
            money=show_amount,
            instant=instant,
            size=size,
            decimal=Decimal,
        )
        self._env.globals.update(
            url=self.url,
            static=self.static,
            charts=charts,
            family=family,
            band=band,
            now=_now,
            sla=sla,
            link=link,
            area=area,
        )

    def url(self, path: str, **fields: Any) -> str:
        """The address of a path of the desk, with fields that are not empty."""
        given = {name: value for name, value in fields.items() if value not in (None, "")}
        return f"{self.root}{path}" + (f"?{urlencode(given)}" if given else "")

    def static(self, name: str) -> str:
        """The address of a file of the desk; it changes with the files, so that browsers keep them for good."""
        return f"{self.root}/static/{self.version}/{name}"

    def html(self, template: str, **values: Any) -> str:
        """A template as text."""
        return self._env.get_template(template).render({"theme": "", **values})

    def response(self, visit: Visit, template: str, status: int, values: dict[str, Any]) -> Response:
        """A template as an answer to a visit."""
        here = visit.request.url.path
        session = visit.session
        groups = [[e for e in group if session and may(session.role, e[2])] for group in RAIL]
        common = {
            "visit": visit,
            "here": here,
            "rail": [group for group in groups if group],
            "figures": visit.desk.pulse.figures,
            "csrf_token": session.csrf_token if session else "",
            "theme": theme_of(visit.request),
            "suggested_reasons": suggested(area(here)),
            "reveal_reasons": TO_SEE_PERSONAL_DATA,
        }
        return HTMLResponse(self.html(template, **common, **values), status_code=status)


def theme_of(request: Request) -> str:
    """The theme that the viewer has chosen, which the script keeps in a cookie; empty for that of their system."""
    chosen = request.cookies.get("streamguard-theme", "")
    return chosen if chosen in ("light", "dark") else ""


_AREAS = {
    "alert": "/queue",
    "alerts": "/queue",
    "account": "/accounts",
    "merchants": "/accounts",
    "devices": "/accounts",
    "backtests": "/rules",
    "jobs": "/rules",
    "shadow": "/rules",
    "groups": "/topics",
    "dead-letters": "/topics",
}


def area(path: str) -> str:
    """The entry of the rail that a path belongs to."""
    return _AREAS.get(path.split("/")[1], path)


def _version() -> str:
    digest = hashlib.sha256()
    for file in sorted(STATIC.iterdir()):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def _now() -> datetime:
    return datetime.now(timezone.utc)


def link(*parts: str) -> str:
    """A path of parts that may hold any character."""
    return "/" + "/".join(quote(part, safe="") for part in parts)


def amount(value: Decimal | None, currency: str | None = None) -> str:
    """`4,598.34 BRL`, with the places of its currency; a dash without an amount."""
    return "–" if value is None else f"{show_amount(value, currency)}{f' {currency}' if currency else ''}"


def when(value: datetime | None, form: str = "time") -> Markup:
    """A time in UTC, which the script shows in the viewer's zone. `form`: time, date or full."""
    if value is None:
        return Markup("–")
    utc = value.astimezone(timezone.utc)
    shown = {"time": f"{utc:%H:%M:%S}", "date": f"{utc:%d %b %H:%M}", "full": f"{utc:%Y-%m-%d %H:%M:%S}"}[form]
    return Markup('<time datetime="{}" data-form="{}" title="{} UTC">{}</time>').format(
        utc.isoformat(timespec="milliseconds"), form, f"{utc:%Y-%m-%d %H:%M:%S.%f}"[:-3], shown
    )


def age(value: datetime | None) -> Markup:
    """How long ago, such as `24 s`, `14 min`, `3 h`, `5 d`; the script keeps it true."""
    if value is None:
        return Markup("–")
    text = seconds_text((_now() - value).total_seconds())
    return Markup('<time datetime="{}" data-form="age" title="{} UTC">{}</time>').format(
        value.astimezone(timezone.utc).isoformat(timespec="milliseconds"), f"{value:%Y-%m-%d %H:%M:%S}", text
    )


def seconds_text(seconds: float) -> str:
    """A duration in its largest unit."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def number(value: float | None, places: int = 0) -> str:
    """`18,402,771`; a dash for nothing."""
    return "–" if value is None else f"{value:,.{places}f}"


def percent(value: float | None, places: int = 1) -> str:
    """A share between 0 and 1 as `0.4 %`."""
    return "–" if value is None else f"{100 * value:.{places}f} %"


def size(value: float | None) -> str:
    """Bytes as `310 MiB`."""
    if value is None:
        return "–"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:,.0f} {unit}" if value >= 10 or unit == "B" else f"{value:,.1f} {unit}"
        value /= 1024
    return f"{value:,.1f} TiB"


def ms(value: float | None) -> str:
    """Milliseconds as `114 ms` or `2.4 s`, `5 min`."""
    if value is None:
        return "–"
    return (
        f"{value:,.0f} ms"
        if value < 1_000
        else f"{value / 1000:.1f} s"
        if value < 60_000
        else seconds_text(value / 1000)
    )


def dot(found: AccountAmount) -> tuple[datetime, Decimal, bool]:
    """A transaction as the chart of amounts takes it."""
    return found.event_time, found.amount, found.flagged


def instant(epoch_ms: int) -> datetime:
    """Epoch milliseconds as a time."""
    return datetime.fromtimestamp(epoch_ms / 1000, timezone.utc)


def points(value: int) -> str:
    """Points with their sign."""
    return f"+{value}" if value > 0 else str(value)


def rule_name(name: str) -> str:
    """`HIGH_AMOUNT` as `High amount`."""
    return name.replace("_", " ").capitalize()


def group_name(name: str) -> str:
    """A consumer group for a list: that of a query of ksqlDB by the query's name."""
    found = _QUERY_GROUP.fullmatch(name)
    return f"query {found[1]}" if found else name


def family(name: str) -> str:
    """The family of a rule, which has one colour on every page."""
    return _FAMILIES.get(name.upper(), "other")


def band(score: int | None, outcome: str | None) -> str:
    """The colour of a score: by what was decided, not by the number."""
    return {"block": "block", "review": "review", "dismiss": "sound"}.get(outcome or "", "none")


def rules_by_name() -> dict[str, Rule]:
    """The catalogue under the names of its rules."""
    return {rule.name: rule for rule in catalogue()}


_QUERY_GROUP = re.compile(r"_confluent-ksql-.*?query_(.+)")
_FAMILIES = {
    rule: name
    for name, rules in {
        "amount": "HIGH_AMOUNT AMOUNT_ANOMALY UNUSUAL_AMOUNT HIGH_FOR_ACCOUNT REPEATED_UNUSUAL CURRENCY_LIMIT USUAL_AMOUNT"
        " REPEATED_ANOMALY NIGHT_AMOUNT WINDOW_AMOUNT",
        "velocity": "HIGH_VELOCITY LOOKBACK_VELOCITY LOOKBACK_BURST CARD_TESTING",
        "place": "IMPOSSIBLE_TRAVEL NEW_PLACE",
        "device": "NEW_DEVICE NEW_CATEGORY NIGHT",
        "list": "BLACKLISTED BLACKLIST ALLOW_LIST ALERT_HISTORY",
        "merchant": "COMPROMISED_MERCHANT KNOWN_MERCHANT MERCHANT_FRAUDS",
    }.items()
    for rule in rules.split()
}

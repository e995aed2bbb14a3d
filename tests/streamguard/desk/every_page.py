"""Every page of the desk with something on it, and what is wrong with how it can be used."""

from __future__ import annotations

from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from streamguard.alerts.list_changes import put
from streamguard.alerts.lists import Entry
from streamguard.desk.jobs import COMPARE, Asked, Jobs
from tests.streamguard.desk.conftest import RunningDesk
from tests.streamguard.desk.figures import keep_figures, keep_result
from tests.streamguard.desk.seed import keep_backtest
from tests.support.records import T0_MS, high_amount, high_velocity, transaction

PAGES = (
    *(
        "/",
        "/?range=week",
        "/queue",
        "/queue?status=dismissed",
        "/alerts/HIGH_AMOUNT:big",
        "/accounts?q=A",
        "/accounts/A",
    ),
    *("/merchants/M1", "/devices/D1", "/search?q=t", "/lists/blacklist", "/lists/allowlist"),
    *(
        "/lists/blacklist/history?kind=merchant&value=M1",
        "/rules",
        "/rules/HIGH_VELOCITY",
        "/rules/usual_amount",
        "/shadow",
    ),
    *("/backtests", "/backtests/1", "/backtests/1/alerts/HIGH_AMOUNT:t1", "/jobs/1"),
    *(
        "/topics",
        "/topics/payments",
        "/topics/payments?partition=0&from=3",
        "/topics/payments/0/3",
        "/topics/payments/about",
    ),
    *(
        "/analytics/commission",
        "/analytics/merchants?range=hour",
        "/analytics/customers?range=hour",
        "/analytics/channels",
        "/analytics/merchants/M0001",
        "/analytics/customers/ACC-000001?range=hour",
        "/analytics/commission?currency=KWD",
    ),
    *("/groups", "/groups/readers", "/dead-letters", "/dead-letters/transactions/0/20", "/sql"),
    *(
        "/system",
        "/system/logs/example",
        "/system/quality?range=hour",
        "/system/audit",
        "/system/users",
        "/system/webhooks",
        "/system/webhooks/1",
        "/tokens",
        "/password",
        "/nowhere",
        "/login",
    ),
)
STANDARD = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
NARROW, WIDE = 360, 2_560


def seed(running: RunningDesk, folder: Path) -> None:
    """Alerts, a dead letter, list entries, a back-test, a job that failed, and a log."""
    desk = running.store
    place = {"merchant_id": "M1", "merchant_name": "Padaria Ipê de um nome bastante comprido", "city": "São Paulo"}
    more = {
        **place,
        "country": "BR",
        "device_id": "D1",
        "ip_address": "187.4.2.9",
        "latitude": -23.5,
        "longitude": -46.6,
    }
    burst = [transaction(n, f"t{n}", "A", 10 + n, T0_MS + n, **more) for n in range(6)]
    desk.feed(
        *burst,
        transaction(6, "big", "A", 4_000, T0_MS + 10, **more),
        high_velocity(0, "A", T0_MS, ["t0", "t1", "t2", "t3"], 46),
        high_amount(1, "big", "A", 4_000, T0_MS + 10),
        transaction(20, "bad", "A", -5, T0_MS),
    )
    with desk.engine.begin() as connection:
        put(connection, desk.settings, "blacklist", Entry("merchant", "M1", "chargebacks", None), who="ana")
    keep_figures(desk, hours=2)
    keep_result(
        desk, "commission", {"table": "by_category", "category": "grocery", "currency": "EUR", "flat": "12.345"}
    )
    keep_backtest(desk, folder)
    columns = "url, secret, is_on, off_reason, created_by"
    hook = f"INSERT INTO webhooks ({columns}) VALUES (%s, 'x', FALSE, 'not used', 'ana') RETURNING 1"
    desk.rows(hook, "https://example.org/" + "a-long-address/" * 8)
    state = running.folder / "state"
    (state / "logs").mkdir(parents=True, exist_ok=True)
    (state / "logs" / "example.log").write_text("a line of a log\n" * 40)
    Jobs(desk.settings.model_copy(update={"state_dir": state})).start(
        Asked(COMPARE, ["rules", "compare"], "lead", "the shadow")
    )


def problems(page: Page) -> list[str]:
    """What axe-core finds against WCAG 2.1 AA, in light and in dark, and what overflows sideways at either width."""
    found = []
    page.evaluate(_AXE)
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        # What is no matter of colour is the same in both.
        only = (
            {"type": "tag", "values": STANDARD} if theme == "light" else {"type": "rule", "values": ["color-contrast"]}
        )
        options = {"runOnly": only, "resultTypes": ["violations"]}
        for one in page.evaluate("options => axe.run(document, options)", options)["violations"]:
            found += [
                f"{theme}: {one['id']}: {node['html'][:160]}: {node['failureSummary'][:300]}" for node in one["nodes"]
            ]
    for width in (NARROW, WIDE):
        page.set_viewport_size({"width": width, "height": 900})
        if (needed := page.evaluate("document.documentElement.scrollWidth")) > width:
            beyond = page.evaluate(_BEYOND, width)
            found.append(f"{needed} pixels wide at {width}: {beyond}")
    page.set_viewport_size({"width": 1440, "height": 900})
    return found


_AXE = Axe().axe_script
_BEYOND = """width => [...document.querySelectorAll('body *')].filter(one => one.getBoundingClientRect().right > width)
    .slice(0, 4).map(one => one.outerHTML.slice(0, 120))"""

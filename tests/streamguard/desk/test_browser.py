"""The desk in a real browser: alerts arrive by themselves, are handled by keyboard, and nothing is missed over a restart."""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta

from playwright.sync_api import Page, expect

from tests.streamguard.desk.conftest import PASSWORD, RunningDesk
from tests.streamguard.desk.every_page import problems
from tests.support.desk import Desk
from tests.support.processes import eventually
from tests.support.records import T0_MS, high_amount, transaction


def raise_alert(desk: Desk, number: int, account: str = "A", amount: float = 4_000) -> str:
    """A transaction and its alert, stored as the consumer does."""
    at_ms = T0_MS + number * 1_000
    desk.feed(
        transaction(number, f"t{number}", account, amount, at_ms),
        high_amount(number, f"t{number}", account, amount, at_ms),
    )
    return f"HIGH_AMOUNT:t{number}"


def row(page: Page, alert_id: str) -> object:
    return page.locator(f'tr[data-alert="{alert_id}"]')


def reason(page: Page, text: str) -> None:
    page.fill("#ask [name=answer]", text)
    page.keyboard.press("Enter")


def test_a_first_login_and_an_alert_that_appears_without_reload(running: RunningDesk) -> None:
    context = running.browser.new_context(base_url=running.url)
    running.contexts.append(context)
    page = context.new_page()
    page.goto("/")
    page.fill("[name=user_name]", "analyst")
    page.fill("[name=password]", PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_text("No alert yet")).to_be_visible()
    expect(page.locator("#live-state")).to_have_text("live")
    alert_id = raise_alert(running.store, 0)
    expect(page.locator(f'#ticker tr[data-alert="{alert_id}"]')).to_contain_text("4,000.00")
    page.click("text=Queue")
    expect(page.locator("#panel")).to_contain_text("High amount")


def test_the_figures_of_the_first_page_follow_without_reload(running: RunningDesk) -> None:
    page = running.page("analyst")
    page.clock.install()
    page.reload()
    accounts = page.locator('[data-live="accounts"]')
    expect(accounts).to_contain_text("No transaction lately")
    now_ms = int(time.time() * 1000)
    running.store.feed(transaction(0, "t0", "ACC-7", 10, now_ms))

    def drawn_again() -> str:
        page.clock.run_for(10_000)
        return accounts.inner_text()

    # The server counts again after some seconds of its own.
    eventually(drawn_again, lambda text: "ACC-7" in text, 30, "the account")
    expect(page.locator('[data-live="tiles"]')).to_contain_text("Transactions / s")


def test_charts_have_the_times_of_the_viewer(running: RunningDesk) -> None:
    running.store.feed(transaction(0, "t0", "A", 10, int(time.time() * 1000)))
    page = running.page("analyst", "/", timezone_id="Asia/Kolkata")
    ticks = page.locator('[data-live="volume"] tspan[data-at]')
    [at, shown] = [ticks.first.get_attribute("data-at"), ticks.first.text_content()]
    local = datetime.fromisoformat(str(at)) + timedelta(hours=5, minutes=30)
    assert shown == f"{local:%H:%M}"
    newest = page.locator('[data-live="volume"] a').last
    assert re.fullmatch(r"\d\d:\d\d · [01] transactions · 0 alerts · .* UTC", str(newest.get_attribute("aria-label")))
    page.goto("/?range=week")
    expect(ticks.first).to_have_text(re.compile(r"^\w{3},? \d\d:30$"))


def test_a_chosen_theme_is_there_before_the_script(running: RunningDesk) -> None:
    page = running.page("analyst", "/queue", color_scheme="light")
    page.click(".me summary")
    page.click("[data-theme-toggle]")
    assert page.locator("html").get_attribute("data-theme") == "dark"
    assert 'data-theme="dark"' in page.request.get("/rules").text()


def test_an_analyst_works_twenty_alerts_by_keyboard_alone(running: RunningDesk) -> None:
    for number in range(20):
        raise_alert(running.store, number, f"A{number}", 4_000 + number)
    page = running.page("analyst", "/queue?order=oldest")
    for number in range(20):
        expect(page.locator("[data-panel]")).to_have_attribute("data-panel", f"HIGH_AMOUNT:t{number}")
        page.keyboard.press("c" if number % 3 == 0 else "d")
        reason(page, f"reason {number}")
        expect(page.locator(f'tr[data-alert="HIGH_AMOUNT:t{number}"]')).to_have_class(re.compile("gone"))
    counts = "SELECT status, count(*) FROM fraud_alerts GROUP BY 1 ORDER BY 1"
    assert running.store.rows(counts) == [("confirmed", 7), ("dismissed", 13)]
    page.keyboard.press("z")
    reason(page, "a slip")
    expect(page.locator("#toasts")).to_contain_text("Reopened")
    assert ("open", 1) in running.store.rows(counts)


def test_a_duplicate_is_found_among_the_alerts_of_the_account(running: RunningDesk) -> None:
    for number in range(3):
        raise_alert(running.store, number, "A", 4_000 + number)
    page = running.page("analyst", "/queue?order=oldest&selected=HIGH_AMOUNT:t0")
    page.keyboard.press("p")
    expect(page.locator("#originals input")).to_have_count(2)
    assert problems(page) == []
    page.get_by_label("Part of its id or rule").fill("t2")
    expect(page.locator("#originals input")).to_have_count(1)
    page.locator("#original [name=answer]").fill("same payments")
    page.keyboard.press("Enter")
    expect(page.locator("#toasts")).to_contain_text("Marked as a duplicate: HIGH_AMOUNT:t0")
    expect(page.locator('tr[data-alert="HIGH_AMOUNT:t0"]')).to_have_class(re.compile("gone"))
    chosen = "SELECT alert_id, duplicate_of FROM fraud_alerts WHERE status = 'duplicate'"
    assert running.store.rows(chosen) == [("HIGH_AMOUNT:t0", "HIGH_AMOUNT:t2")]
    page.keyboard.press("z")
    reason(page, "a slip")
    expect(page.locator("#toasts")).to_contain_text("Reopened HIGH_AMOUNT:t0")
    assert running.store.rows(chosen) == []


def test_a_viewer_sees_devices_after_giving_a_reason(running: RunningDesk) -> None:
    running.store.feed(
        transaction(0, "t0", "A", 4_000, T0_MS, device_id="dev-7", ip_address="187.4.2.9"),
        high_amount(0, "t0", "A", 4_000, T0_MS),
    )
    page = running.page("viewer", "/queue")
    expect(page.locator("#panel")).not_to_contain_text("dev-7")
    page.get_by_role("button", name="Show them, with a reason").click()
    assert page.locator("#ask [name=answer]").get_attribute("list") == "reveal-reasons"
    reason(page, "the customer asks")
    expect(page.locator("#panel")).to_contain_text("dev-7")
    expect(page.locator("#panel")).to_contain_text("187.4.2.9")
    page.goto("/accounts/A")
    expect(page.locator("main")).not_to_contain_text("dev-7")
    page.get_by_role("button", name="Show them, with a reason").click()
    reason(page, "compared with another case")
    expect(page.locator("main")).to_contain_text("dev-7")
    kept = "SELECT subject, reason FROM audit_log WHERE action = 'personal_data.reveal' ORDER BY entry_no"
    assert running.store.rows(kept) == [
        ("alert HIGH_AMOUNT:t0", "the customer asks"),
        ("account A", "compared with another case"),
    ]


def test_new_rows_do_not_move_what_is_being_read(running: RunningDesk) -> None:
    first = raise_alert(running.store, 0)
    page = running.page("analyst", "/queue?order=newest")
    expect(page.locator("#live-state")).to_have_text("live")
    raise_alert(running.store, 1, "B")
    expect(page.locator("#new-rows")).to_have_text("1 new alert · show .")
    assert page.locator("#queue-rows tbody tr").count() == 1
    page.keyboard.press(".")
    expect(page.locator("#queue-rows tbody tr")).to_have_count(2)
    expect(page.locator("[data-panel]")).to_have_attribute("data-panel", first)


def test_a_restarted_desk_misses_nothing(running: RunningDesk) -> None:
    page = running.page("analyst", "/")
    expect(page.locator("#live-state")).to_have_text("live")
    raise_alert(running.store, 0)
    expect(page.locator("#ticker tbody tr")).to_have_count(1)
    running.kill()
    expect(page.locator("#live-state")).to_have_text("connecting…")
    raise_alert(running.store, 1, "B")
    running.start()
    expect(page.locator("#live-state")).to_have_text("live", timeout=30_000)
    expect(page.locator("#ticker tbody tr")).to_have_count(2)


def test_two_analysts_see_each_other(running: RunningDesk) -> None:
    alert_id = raise_alert(running.store, 0)
    ana, ben = running.page("analyst", "/queue"), running.page("lead", f"/alerts/{alert_id}")
    expect(ben.locator(".looking")).to_contain_text("analyst looks at this too")
    ben.keyboard.press("c")
    reason(ben, "stolen card")
    expect(ana.locator(f'tr[data-alert="{alert_id}"]')).to_have_class(re.compile("gone"))
    expect(ana.locator("#panel")).to_contain_text("stolen card")


def test_many_tabs_share_one_stream(running: RunningDesk) -> None:
    """A browser has six connections to a host: with a stream each, a seventh tab would hang."""
    page = running.page("viewer", "/")
    tabs = [page, *(page.context.new_page() for _ in range(8))]
    for tab in tabs[1:]:
        tab.goto("/")
    alert_id = raise_alert(running.store, 0)
    for tab in tabs:
        expect(tab.locator(f'#ticker tr[data-alert="{alert_id}"]')).to_be_visible()


def test_a_telephone_shows_the_list_then_the_alert(running: RunningDesk) -> None:
    raise_alert(running.store, 0)
    page = running.page("analyst", "/queue")
    page.set_viewport_size({"width": 360, "height": 740})
    page.click("#queue-rows tbody tr")
    expect(page.locator("#panel")).to_contain_text("Why")

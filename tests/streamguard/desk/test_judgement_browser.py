"""Rules, back-tests, lists, users and logs in a real browser: what their scripts and forms do."""

from __future__ import annotations

from playwright.sync_api import expect

from streamguard.webhooks.signing import new_secret
from tests.streamguard.desk.conftest import RunningDesk
from tests.support.processes import eventually
from tests.support.receiver import Receiver


def test_a_lead_switches_a_rule_with_a_reason(running: RunningDesk) -> None:
    page = running.page("lead", "/rules")
    page.locator("a[href='/rules/usual_amount']").click()
    page.get_by_role("button", name="To shadow").click()
    page.keyboard.type("too many of them")
    page.keyboard.press("Enter")
    expect(page.locator(".head .mode")).to_have_text("shadow")
    expect(page.locator(".timeline")).to_contain_text("active → shadow — too many of them")
    assert running.store.rows("SELECT rule, mode, changed_by FROM rule_modes") == [("usual_amount", "shadow", "lead")]


def test_the_sql_of_a_rule_is_laid_out_as_text(running: RunningDesk) -> None:
    page = running.page("viewer", "/rules/HIGH_AMOUNT")
    sql = page.locator("pre.sql").first
    assert sql.evaluate("one => getComputedStyle(one).display") == "block"
    assert "INSERT INTO fraud_alerts" in sql.inner_text()


def test_what_is_computed_comes_without_a_reload(running: RunningDesk) -> None:
    page = running.page("viewer", "/system")
    expect(page.locator("#findings h3")).to_contain_text("checked", timeout=60_000)
    expect(page.locator("#findings")).to_contain_text("Kafka")
    expect(page.locator("[data-soon]")).to_have_count(0)


def test_a_switch_without_a_reason_is_none(running: RunningDesk) -> None:
    page = running.page("lead", "/rules/usual_amount")
    page.get_by_role("button", name="Switch off").click()
    page.keyboard.press("Escape")
    expect(page.locator(".head .mode")).to_have_text("active")
    assert running.store.rows("SELECT count(*) FROM rule_modes") == [(0,)]


def test_a_back_test_is_watched_to_its_end(running: RunningDesk) -> None:
    page = running.page("lead", "/rules/usual_amount")
    page.get_by_label("high_ratio").fill("7")
    page.get_by_role("button", name="Back-test").click()
    expect(page.locator("h1")).to_have_text("Back-test: usual_amount: high_ratio=7")
    # Kafka is not there: its own sentence is shown, and no reload was needed.
    expect(page.locator("#job-state")).to_have_attribute("data-state", "failed", timeout=60_000)
    expect(page.locator("#job-state pre")).to_contain_text("127.0.0.1:1")


def test_a_value_is_allowed_ended_and_removed(running: RunningDesk) -> None:
    page = running.page("analyst", "/accounts")
    page.goto("/lists/allowlist?kind=merchant&value=M-7")
    page.get_by_role("textbox", name="Reason", exact=True).fill("ours")
    page.get_by_role("button", name="Allow", exact=True).click()
    row = page.locator("tr", has_text="M-7")
    expect(row).to_contain_text("ours")
    row.get_by_role("button", name="End now").click()
    page.keyboard.type("sold")
    page.keyboard.press("Enter")
    expect(row).to_contain_text("ended")
    row.get_by_role("button", name="Remove").click()
    page.keyboard.type("clean")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Nothing listed")).to_be_visible()
    changes = "SELECT change, reason FROM list_history ORDER BY change_no"
    assert running.store.rows(changes) == [("add", "ours"), ("change", "sold"), ("remove", "clean")]


def test_a_log_is_followed_and_searched(running: RunningDesk) -> None:
    log = running.folder / "state" / "logs" / "judgement.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("first line\n")
    page = running.page("viewer", "/system/logs/judgement")
    with log.open("a") as opened:
        opened.write("<b>second</b> line\n")
    expect(page.locator("#log-lines")).to_have_text("first line\n<b>second</b> line")
    page.locator("#log-part").fill("SECOND")
    expect(page.locator("#log-lines")).to_have_text("<b>second</b> line")
    log.unlink()


def test_an_admin_pauses_a_webhook_and_sends_again(running: RunningDesk) -> None:
    with Receiver() as receiver:
        running.store.postgres.query(
            "INSERT INTO webhooks (url, secret, created_by) VALUES (%s, %s, 'admin')", receiver.url, new_secret()
        )
        running.store.postgres.query(
            "INSERT INTO webhook_deliveries (hook_no, topic, partition_no, record_offset, payload, status)"
            " VALUES (1, 'decisions', 0, 7, '{}', 'given_up')"
        )
        page = running.page("admin", "/system")
        page.get_by_role("link", name="Webhooks").click()
        page.get_by_role("link", name=receiver.url).click()
        page.get_by_role("button", name="Send a test").click()
        expect(page.locator(".once")).to_contain_text("The test was delivered")
        page.goto("/system/webhooks/1")
        page.get_by_role("button", name="Pause").click()
        page.keyboard.type("they move")
        page.keyboard.press("Enter")
        expect(page.get_by_text("Off (admin: they move)")).to_be_visible()
        page.locator("tr", has_text="given up").get_by_role("button", name="Send again").click()
        expect(page.locator("tr", has_text="0 · 7")).to_contain_text("waiting")
        page.get_by_role("button", name="Resume").click()
        page.keyboard.type("moved")
        page.keyboard.press("Enter")
        statement = "SELECT status FROM webhook_deliveries WHERE topic IS NOT NULL"
        eventually(lambda: running.store.rows(statement), lambda rows: rows == [("delivered",)])
        page.reload()
        expect(page.locator("tr", has_text="0 · 7")).to_contain_text("delivered")
        assert [got.body for got in receiver.got][1:] == [b"{}"]


def test_an_admin_makes_a_user_whose_password_is_shown_once(running: RunningDesk) -> None:
    page = running.page("admin", "/system/users")
    page.get_by_label("New user").fill("eva")
    page.get_by_role("button", name="Add").click()
    password = page.locator("code.password").inner_text()
    assert len(password) > 20
    page.goto("/system/users")
    expect(page.locator("code.password")).to_have_count(0)
    expect(page.locator("tr", has_text="eva")).to_contain_text("has to change the password")

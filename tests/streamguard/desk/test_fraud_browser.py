"""Fraud work in a real browser, a test for each thing that an analyst does: find, understand, decide, hand on, list."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from streamguard.config import load_settings
from streamguard.config.resources import sql_file
from streamguard.kafka.topics import ensure_topics
from streamguard.sqldeploy import deploy
from streamguard.sqldeploy.state import Server
from tests.streamguard.desk.conftest import RunningDesk, make_users
from tests.streamguard.desk.plumbing import produce
from tests.support.broker import BrokerProcess
from tests.support.desk import Desk
from tests.support.ksqldb import KsqlServerProcess
from tests.support.postgres import EmbeddedPostgres
from tests.support.records import T0_MS, high_amount, high_velocity, transaction

DAY_MS = 86_400_000
BIG, BURST, OTHER = "HIGH_AMOUNT:big", f"HIGH_VELOCITY:A:{T0_MS}", "HIGH_AMOUNT:other"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KsqlServerProcess]:
    """A broker with the topics, and an engine with the two core rules."""
    folder = tmp_path_factory.mktemp("rules")
    with BrokerProcess(folder / "log") as broker:
        ensure_topics(load_settings(kafka_bootstrap_servers=broker.address))
        process = KsqlServerProcess(folder, broker.address).start()
        deploy(Server(process.url), [sql_file("queries.sql")])
        yield process
        process.stop()


@pytest.fixture(scope="module")
def desk_on_kafka(
    postgres_server: EmbeddedPostgres,
    chromium: Browser,
    tmp_path_factory: pytest.TempPathFactory,
    server: KsqlServerProcess,
) -> Iterator[RunningDesk]:
    addresses = {"KAFKA_BOOTSTRAP_SERVERS": server.bootstrap_servers, "KSQLDB_URL": server.url}
    settings = load_settings(database_url=postgres_server.url())
    made = RunningDesk(settings, chromium, tmp_path_factory.mktemp("desk"), environment=addresses)
    yield made
    made.close()


@pytest.fixture
def running(desk: Desk, desk_on_kafka: RunningDesk) -> Iterator[RunningDesk]:
    make_users(desk)
    desk_on_kafka.show(desk)
    yield desk_on_kafka
    desk_on_kafka.close_browsers()


@pytest.fixture
def work(running: RunningDesk) -> RunningDesk:
    """Account A with some history, a burst and a big payment; account B, which shares its device, with another one."""
    place = {"merchant_id": "M1", "merchant_name": "Padaria Ipê", "city": "Recife", "country": "BR", "device_id": "D1"}
    usual = [transaction(n, f"u{n}", "A", 20 + n, T0_MS - (9 - n) * DAY_MS, **place) for n in range(8)]
    burst = [transaction(10 + n, f"t{n}", "A", 30, T0_MS + n * 1_000, **place) for n in range(4)]
    running.store.feed(
        *usual,
        *burst,
        transaction(20, "big", "A", 4_000, T0_MS + 10_000, **place),
        transaction(21, "other", "B", 9_000, T0_MS + 20_000, **place),
        high_velocity(0, "A", T0_MS, ["t0", "t1", "t2", "t3"], 120),
        high_amount(1, "big", "A", 4_000, T0_MS + 10_000),
        high_amount(2, "other", "B", 9_000, T0_MS + 20_000),
    )
    return running


def rows(page: Page) -> Locator:
    return page.locator("#queue-rows tbody tr")


def cells(page: Page, alert_id: str) -> list[str]:
    return [text.strip() for text in page.locator(f'tr[data-alert="{alert_id}"] td').all_inner_texts()]


def because(page: Page, text: str) -> None:
    page.fill("#ask [name=answer]", text)
    page.keyboard.press("Enter")


def status_of(desk: Desk, alert_id: str) -> object:
    return desk.rows("SELECT status FROM fraud_alerts WHERE alert_id = %s", alert_id)[0][0]


def test_the_queue_shows_score_rule_account_amount_payments_age_assignee(work: RunningDesk) -> None:
    page = work.page("analyst", "/queue?order=oldest")
    expect(rows(page)).to_have_count(3)
    _, score, rule, account, amount, payments, age, who = cells(page, BURST)
    assert score.isdigit() and (rule, account, payments, who) == ("High velocity", "A", "4", "")
    assert "120.00" in amount and re.fullmatch(r"\d+ (s|min)", age)
    page.locator(f'tr[data-alert="{BURST}"]').click()
    page.keyboard.press("a")
    expect(page.locator(f'tr[data-alert="{BURST}"] td').last).to_have_text("analyst")


def test_filters_stay_in_the_address_and_are_saved_by_name(work: RunningDesk) -> None:
    page = work.page("analyst", "/queue")
    page.locator("summary", has_text="Filter").click()
    page.get_by_label("Rule any").select_option("HIGH_AMOUNT")
    page.get_by_label("Amount at least").fill("5000")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(rows(page)).to_have_count(1)
    assert "rule=HIGH_AMOUNT" in page.url and "amount=5000" in page.url
    page.locator("summary", has_text="Saved").click()
    page.get_by_label("Save these filters as").fill("large ones")
    page.get_by_role("button", name="Save", exact=True).click()
    page.goto("/queue")
    expect(rows(page)).to_have_count(3)
    page.locator("summary", has_text="Saved").click()
    page.get_by_role("link", name="large ones").click()
    expect(rows(page)).to_have_count(1)
    page.get_by_label("Without amount 5000").click()
    expect(rows(page)).to_have_count(2)


def test_next_unassigned_passes_by_what_somebody_works_on(work: RunningDesk) -> None:
    page = work.page("analyst", "/queue?order=score")
    taken = []
    for _ in range(3):
        page.keyboard.press("u")
        expect(page.locator("[data-panel]")).to_have_attribute("data-assignee", "")
        page.keyboard.press("a")
        expect(page.locator("[data-panel]")).to_have_attribute("data-assignee", "analyst")
        taken.append(page.locator("[data-panel]").get_attribute("data-panel"))
    assert sorted(map(str, taken)) == sorted([BIG, BURST, OTHER])
    page.keyboard.press("u")
    expect(page.locator("#toasts")).to_contain_text("Every open alert is assigned")


def test_an_alert_says_why_and_what_is_around_it(work: RunningDesk) -> None:
    page = work.page("analyst", f"/alerts/{BIG}")
    panel = page.locator("[data-panel]")
    score = int(panel.locator(".alert-head .score").inner_text())
    points = [int(text) for text in panel.locator(".why tr.active td.n").all_inner_texts()]
    assert sum(points) == score and any(points)
    panel.locator("summary", has_text="SQL of queries.sql").click()
    expect(panel.locator("pre.sql")).to_contain_text("WHERE amount >")
    expect(panel).to_contain_text("usual ")
    expect(panel.get_by_text("1 other account")).to_be_visible()
    expect(panel.locator("section", has_text="Other alerts of this account")).to_contain_text("High velocity")
    panel.locator("a", has_text="Padaria Ipê").first.click()
    expect(page.locator("h1")).to_contain_text("Padaria Ipê")
    page.goto("/accounts/A")
    expect(page.locator("main")).to_contain_text("D1")


def test_what_was_known_then_stays_beside_what_is_known_now(work: RunningDesk) -> None:
    page = work.page("analyst", f"/alerts/{BURST}")
    work.store.feed(
        transaction(30, "t4", "A", 30, T0_MS + 30_000),
        high_velocity(3, "A", T0_MS, ["t0", "t1", "t2", "t3", "t4"], 150),
    )
    expect(page.locator(".alert-head")).to_contain_text("5 transactions")
    expect(page.locator(".timeline")).to_contain_text("at 4 transactions")
    expect(page.locator(".timeline")).to_contain_text("at 5 transactions")


def test_a_verdict_has_a_reason_and_can_be_taken_back(work: RunningDesk) -> None:
    page = work.page("analyst", f"/queue?selected={BIG}")
    expect(page.locator("[data-panel]")).to_have_attribute("data-panel", BIG)
    page.keyboard.press("c")
    because(page, "the customer denies it")
    expect(page.locator("#toasts")).to_contain_text("Confirmed")
    assert status_of(work.store, BIG) == "confirmed"
    page.locator("#toasts button", has_text="Undo").first.click()
    because(page, "a slip")
    expect(page.locator("#toasts")).to_contain_text("Reopened")
    assert status_of(work.store, BIG) == "open"


def test_an_alert_is_the_duplicate_of_another_of_its_account(work: RunningDesk) -> None:
    page = work.page("analyst", f"/queue?selected={BURST}")
    expect(page.locator("[data-panel]")).to_have_attribute("data-panel", BURST)
    page.keyboard.press("p")
    page.locator("dialog[open] [name=of]").first.check()
    page.locator("dialog[open] input[name=reason], dialog[open] input[name=answer]").fill("the same payments")
    page.keyboard.press("Enter")
    expect(page.locator("#toasts")).to_contain_text("duplicate")
    assert work.store.rows("SELECT status, duplicate_of FROM fraud_alerts WHERE alert_id = %s", BURST) == [
        ("duplicate", BIG)
    ]


def test_account_merchant_and_device_are_blocked_or_allowed_in_one_step(work: RunningDesk) -> None:
    page = work.page("analyst", f"/alerts/{BIG}")
    for number, (kind, action) in enumerate([("account", "Block"), ("merchant", "Allow"), ("device", "Block")], 1):
        line = page.locator(".listing > span", has_text=re.compile(f"^{kind} "))
        line.get_by_role("button", name=action, exact=True).click()
        because(page, f"{kind} of a ring")
        expect(page.locator("#toasts .toast")).to_have_count(number)
    page.goto("/lists/blacklist")
    expect(page.locator("tbody tr")).to_have_count(2)
    expect(page.locator("main")).to_contain_text("device of a ring")
    page.goto("/lists/allowlist")
    expect(page.locator("tbody tr")).to_contain_text("M1")


def test_alerts_are_handed_on_and_put_aside(work: RunningDesk) -> None:
    page = work.page("analyst", f"/queue?selected={BIG}&order=oldest")
    panel = page.locator("[data-panel]")
    expect(panel).to_have_attribute("data-panel", BIG)
    page.keyboard.press("n")
    because(page, "called, no answer")
    expect(page.locator(".timeline .note")).to_contain_text("called, no answer")
    page.keyboard.press("e")
    because(page, "too large for me")
    expect(panel).to_contain_text("escalated by analyst")
    page.keyboard.press("s")
    because(page, "they call back")
    expect(page.locator("#toasts")).to_contain_text(re.compile("aside|Snoozed"))
    page.goto("/queue")
    expect(rows(page)).to_have_count(2)
    lead = work.page("lead", "/queue?escalated=1&snoozed=1")
    expect(rows(lead)).to_have_count(1)
    expect(lead.locator("[data-panel]")).to_contain_text("too large for me")


def test_many_are_decided_at_once(work: RunningDesk) -> None:
    page = work.page("analyst", "/queue")
    for box in page.locator("#queue-rows input[type=checkbox]").all():
        box.check()
    expect(page.locator("#bulk b")).to_have_text("3")
    page.locator('[data-bulk="dismiss"]').click()
    because(page, "a test of ours")
    expect(rows(page)).to_have_count(0)
    assert work.store.rows("SELECT DISTINCT status FROM fraud_alerts") == [("dismissed",)]


def test_lists_go_up_and_down_as_csv(work: RunningDesk, tmp_path: Path) -> None:
    page = work.page("analyst", "/lists/blacklist")
    file = tmp_path / "up.csv"
    file.write_text("kind,value,reason,expires_at\nmerchant,M-9,chargebacks,2031-01-01T00:00:00Z\ndevice,D-9,,\n")
    page.locator("summary", has_text="Add from a file").click()
    page.set_input_files("input[type=file]", file)
    page.get_by_label("Reason, for lines without their own").fill("from the bank")
    page.get_by_role("button", name="Add all").click()
    expect(page.locator("tbody tr")).to_have_count(2)
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV", exact=True).click()
    listed = {row["value"]: row for row in csv.DictReader(download.value.path().read_text().splitlines())}
    assert listed["M-9"]["expires_at"].startswith("2031-01-01") and listed["D-9"]["reason"] == "from the bank"


def test_evidence_leads_to_partition_offset_and_recompute(work: RunningDesk, server: KsqlServerProcess) -> None:
    others = [transaction(n, f"x{n}", "X", 1, T0_MS) for n in range(20)]
    sent = [*others, transaction(20, "big", "A", 4_000, T0_MS + 10_000, merchant_id="M1")]
    broker = BrokerProcess(Path(), port=int(server.bootstrap_servers.rpartition(":")[2]))
    produce(broker, "transactions", *({"key": record.key, "value": record.value} for record in sent))
    page = work.page("analyst", f"/alerts/{BIG}")
    place = page.locator("section", has_text="Evidence").locator("tbody td.n a").last
    expect(place).to_have_text(re.compile(r"0 · 20"))
    page.keyboard.press("v")
    equal = "Equal: from the topic the rule raises the alert as it is stored"
    expect(page.locator("#verify")).to_contain_text(equal, timeout=30_000)
    place.click()
    expect(page.locator("h1, h2").first).to_contain_text("transactions")
    expect(page.locator("main")).to_contain_text("big")

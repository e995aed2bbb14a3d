"""Topics and SQL in a real browser: a data engineer streams a query and browses a topic, an operator sees where lag grows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, TopicPartition
from kafka.structs import OffsetAndMetadata
from playwright.sync_api import Browser, expect

from streamguard.config import load_settings
from tests.streamguard.desk.conftest import RunningDesk, make_users
from tests.streamguard.desk.every_page import PAGES, problems, seed
from tests.streamguard.desk.plumbing import EVIL, make_topic, produce
from tests.support.broker import BrokerProcess
from tests.support.desk import Desk
from tests.support.ksqldb import KsqlServerProcess, eventually
from tests.support.postgres import EmbeddedPostgres

STREAM = "CREATE STREAM payments (id STRING, amount DECIMAL(10, 2)) WITH (kafka_topic='payments', value_format='JSON');"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KsqlServerProcess]:
    folder = tmp_path_factory.mktemp("sql")
    with BrokerProcess(folder / "log") as broker:
        make_topic(broker, "payments", 1)
        values = [{"id": f"p{n}", "amount": n} for n in range(60)]
        produce(
            broker,
            "payments",
            *({"value": json.dumps(value).encode(), "headers": [("n", EVIL.encode())]} for value in values),
        )
        admin = KafkaAdminClient(bootstrap_servers=broker.address)
        admin.alter_group_offsets("readers", {TopicPartition("payments", 0): OffsetAndMetadata(10, "", -1)})
        admin.close()
        process = KsqlServerProcess(folder, broker.address).start()
        process.ksql(STREAM)
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


def write(server: KsqlServerProcess, *values: object) -> None:
    broker = BrokerProcess(Path(), port=int(server.bootstrap_servers.rpartition(":")[2]))
    produce(broker, "payments", *({"value": json.dumps(value).encode()} for value in values))


def test_a_data_engineer_streams_a_query_and_stops_it(running: RunningDesk, server: KsqlServerProcess) -> None:
    page = running.page("lead", "/sql")
    expect(page.locator("#tree")).to_contain_text("PAYMENTS")
    page.click("#text")
    page.keyboard.type("select id from pay")
    expect(page.locator("#completion")).to_contain_text("payments")
    page.keyboard.press("Tab")
    page.keyboard.type(" where am")
    expect(page.locator("#completion")).to_contain_text("DECIMAL(10, 2)")
    page.keyboard.press("Escape")
    expect(page.locator("#completion")).to_be_hidden()
    expect(page.locator("#text")).to_have_value("select id from payments where am")
    page.fill("#text", "-- the newest\nSELECT id, amount FROM payments EMIT CHANGES;")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#output thead")).to_contain_text("AMOUNT")
    write(server, {"id": EVIL, "amount": 7})
    expect(page.locator("#output tbody tr")).to_contain_text(f"{EVIL}7.00")
    page.keyboard.press("Escape")
    expect(page.locator("#state")).to_have_text("stopped after 1 rows")
    expect(page.locator("[data-stop]")).to_be_hidden()
    page.click("text=History")
    expect(page.locator("#history")).to_contain_text("-- the newest")


def test_a_refusal_is_underlined_at_its_place(running: RunningDesk) -> None:
    page = running.page("lead", "/sql")
    page.fill("#text", "SHOW STREAMS;\nSELECT id, nothing FROM payments EMIT CHANGES;")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#layer .wrong")).to_have_text("nothing")
    expect(page.locator("#problem")).to_contain_text("Line: 2, Col: 12")
    page.keyboard.type("x")
    expect(page.locator("#problem")).to_be_hidden()
    page.fill("#text", "CREATE STREAM seen AS SELECT id FROM payments;")
    page.keyboard.press("Control+Enter")
    page.fill("#ask [name=answer]", "to look at ids")
    page.keyboard.press("Enter")
    expect(page.locator("#output")).to_contain_text("Created query")
    expect(page.locator("#tree")).to_contain_text("SEEN")
    assert running.store.rows("SELECT done_by, reason FROM audit_log WHERE action = 'sql.change'") == [
        ("lead", "to look at ids")
    ]


def test_a_topic_is_searched_read_and_watched(running: RunningDesk, server: KsqlServerProcess) -> None:
    page = running.page("analyst", "/topics")
    page.click("text=payments")
    expect(page.locator("tr[data-record]")).to_have_count(50)
    page.click("text=Older")
    expect(page.locator("#progress")).to_contain_text("back to the first")
    page.keyboard.press("j")
    expect(page.locator("#record [data-shown]")).to_contain_text("Headers")
    page.fill("[name=value]", '"p7"')
    page.click("text=Look")
    expect(page.locator("tr[data-record]")).to_have_count(1)
    page.click("tr[data-record]")
    expect(page.locator("#record pre").last).to_contain_text('"id": "p7"')
    expect(page.locator("#record")).to_contain_text(EVIL)
    page.goto("/topics/payments?key=&value=later")
    page.click("[data-live]")
    write(server, {"id": "later"}, {"id": "other"})
    expect(page.locator("tr[data-record]")).to_have_count(1)
    expect(page.locator("#live-said")).to_have_text("Live: 1 arrived.")
    page.click("[data-live]")
    expect(page.locator("[data-live]")).to_have_text("Live")


def test_a_topic_that_is_followed_asks_for_its_new_records_alone(running: RunningDesk) -> None:
    page = running.page("analyst", "/topics/payments")
    page.clock.install()
    page.reload()
    page.click("[data-live]")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.clock.run_for(10_000)
    expect(page.locator("[data-live]")).to_have_text("Live: stop")
    assert [url for url in asked if "live" not in url] == []


def test_an_operator_finds_where_lag_grows(running: RunningDesk, server: KsqlServerProcess) -> None:
    page = running.page("admin", "/topics")
    write(server, *({"id": f"l{n}"} for n in range(200)))
    page.reload()
    page.click("text=readers")
    expect(page.locator("main")).to_contain_text("Nobody is a member now")
    page.select_option("[name=way]", "latest")
    page.click("text=Show before and after")
    expect(page.locator(".plan")).to_contain_text("messages are left out")
    page.click(".plan button.danger")
    page.fill("#ask [name=answer]", "they start anew")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_contain_text("readers")
    expect(page.locator(".plan")).to_have_count(0)
    assert running.store.rows("SELECT subject FROM audit_log WHERE action = 'topics.change'") == [
        ("group readers in payments",)
    ]


def test_every_page_can_be_used_by_everybody_at_every_width(running: RunningDesk, tmp_path: Path) -> None:
    """One browser and one desk for all: a page is loaded once, and looked at in both themes and at both widths."""
    seed(running, tmp_path)
    page = running.page("admin", "/")
    said = []
    for path in PAGES:
        if path == "/login":
            page.context.clear_cookies()
        answer = page.goto(path)
        assert answer is not None and answer.status == (404 if path == "/nowhere" else 200), path
        expect(page.locator("main")).to_be_visible()
        said += [f"{path}: {problem}" for problem in problems(page)]
    assert not said, "\n".join(said)


def test_a_desk_that_ends_ends_its_queries(running: RunningDesk, server: KsqlServerProcess) -> None:
    page = running.page("analyst", "/sql")
    page.fill("#text", "SELECT id FROM payments EMIT CHANGES;")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#output thead")).to_contain_text("ID")
    assert running.process is not None
    before = (running.folder / "desk.log").read_text()
    running.process.terminate()
    assert running.process.wait(timeout=60) == 0
    assert "Traceback" not in (running.folder / "desk.log").read_text().removeprefix(before)
    eventually(lambda: all(query["queryType"] != "PUSH" for query in server.ksql("SHOW QUERIES;")[0]["queries"]))

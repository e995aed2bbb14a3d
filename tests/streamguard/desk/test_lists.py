"""The lists at the desk: what each action stores, its history and its audit row; CSV down and up; who may."""

from __future__ import annotations

import csv
import io

import orjson
import pytest
from kafka import KafkaConsumer, TopicPartition

from streamguard.alerts import list_csv
from streamguard.alerts.list_entries import matches
from streamguard.config import UserError
from streamguard.desk.site import Desk as Site
from tests.streamguard.desk.conftest import Client
from tests.support.broker import BrokerProcess
from tests.support.desk import Desk
from tests.support.records import T0_MS, high_amount, transaction

EVIL = "<img src=x onerror=alert(1)>"
ALLOW = "/lists/allowlist"


def entries(desk: Desk, name: str) -> list[tuple[object, ...]]:
    return desk.rows("SELECT kind, value, reason FROM lists WHERE list = %s ORDER BY 1, 2", name)


def test_add_end_and_remove_with_history_and_audit(client: Client, desk: Desk) -> None:
    analyst = client("analyst")
    entry = {"kind": "merchant", "value": "M-1"}
    assert analyst.post(f"{ALLOW}/add", data={**entry, "reason": "ours"}).headers["location"] == ALLOW
    assert entries(desk, "allowlist") == [("merchant", "M-1", "ours")]
    analyst.post(f"{ALLOW}/expire", data={**entry, "reason": "over"})
    assert desk.rows("SELECT expires_at <= now() FROM lists") == [(True,)]
    assert "<b>ended</b>" in analyst.get(ALLOW).text
    analyst.post(f"{ALLOW}/remove", data={**entry, "reason": "gone"})
    assert entries(desk, "allowlist") == []
    history = "SELECT change, changed_by FROM list_history ORDER BY change_no"
    assert desk.rows(history) == [("add", "analyst"), ("change", "analyst"), ("remove", "analyst")]
    audited = "SELECT done_by, action, subject, reason FROM audit_log ORDER BY entry_no"
    assert desk.rows(audited) == [("analyst", "lists.change", "merchant M-1", why) for why in ("ours", "over", "gone")]
    page = analyst.get(f"{ALLOW}/history", params=entry).text
    assert "removed it" in page and "ours" in page


@pytest.mark.parametrize(
    ("path", "fields", "said"),
    [
        ("add", {"kind": "merchant", "value": "M"}, "a reason is needed"),
        ("add", {"kind": "planet", "value": "M", "reason": "r"}, "planet is no kind"),
        ("add", {"kind": "merchant", "value": "", "reason": "r"}, "which merchant is missing"),
        ("add", {"kind": "merchant", "value": "M", "reason": "r", "expires_at": "soon"}, "soon is no time"),
        ("remove", {"kind": "merchant", "value": "M", "reason": "r"}, "is not on the allowlist any more"),
        ("csv", {"reason": "r"}, "choose a file"),
    ],
)
def test_refusals_are_a_sentence_and_change_nothing(
    client: Client, desk: Desk, path: str, fields: dict[str, str], said: str
) -> None:
    answer = client("analyst").post(f"{ALLOW}/{path}", data=fields)
    assert answer.status_code == 409 and said in answer.text
    assert desk.rows("SELECT count(*) FROM list_history") == desk.rows("SELECT count(*) FROM audit_log") == [(0,)]


def test_viewers_see_lists_and_change_none(client: Client, desk: Desk) -> None:
    viewer = client("viewer")
    assert viewer.get(ALLOW).status_code == 200 and "/add" not in viewer.get(ALLOW).text
    for path in ("add", "expire", "remove", "csv"):
        answer = viewer.post(f"{ALLOW}/{path}", data={"kind": "merchant", "value": "M", "reason": "r"})
        assert answer.status_code == 403
    assert viewer.get("/lists/no").status_code == 404
    assert entries(desk, "allowlist") == []


def test_addresses_and_devices_are_hidden_from_viewers(client: Client, desk: Desk) -> None:
    analyst, viewer = client("analyst"), client("viewer")
    for kind, value in (("device", "dev-77"), ("ip", "10.9.8.7"), ("merchant", "M-1")):
        analyst.post(f"{ALLOW}/add", data={"kind": kind, "value": value, "reason": "r"})
    for path in (ALLOW, f"{ALLOW}/csv"):
        seen, hidden = analyst.get(path).text, viewer.get(path).text
        assert "dev-77" in seen and "10.9.8.7" in seen
        assert "dev-77" not in hidden and "10.9.8.7" not in hidden and "M-1" in hidden


def test_markup_stays_text_and_filters_find(client: Client, desk: Desk) -> None:
    analyst = client("analyst")
    analyst.post(f"{ALLOW}/add", data={"kind": "account", "value": EVIL, "reason": EVIL})
    analyst.post(f"{ALLOW}/add", data={"kind": "merchant", "value": "M-1", "reason": "ours"})
    page = analyst.get(ALLOW).text
    assert EVIL not in page and "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "M-1" not in analyst.get(ALLOW, params={"kind": "account"}).text
    assert "M-1" in analyst.get(ALLOW, params={"q": "OURS"}).text
    assert "No entry fits" in analyst.get(ALLOW, params={"q": "nothing"}).text


def test_a_file_is_taken_whole_or_not_at_all(client: Client, desk: Desk) -> None:
    analyst = client("analyst")

    def send(content: str) -> tuple[int, str]:
        sent = {"file": ("list.csv", content.encode(), "text/csv")}
        answer = analyst.post(f"{ALLOW}/csv", data={"reason": "the usual"}, files=sent)
        return answer.status_code, answer.text

    status, page = send("kind,value,reason\nmerchant,M-1,ours\nplanet,X,r\nmerchant,,r\n")
    assert status == 409 and "line 3: planet is no kind" in page and "line 4: which merchant is missing" in page
    assert entries(desk, "allowlist") == []
    assert send("kind,value,reason,expires_at\nmerchant,M-1,,\nip,10.0.0.1,office,2099-01-01\n")[0] == 303
    assert entries(desk, "allowlist") == [("ip", "10.0.0.1", "office"), ("merchant", "M-1", "the usual")]
    assert desk.rows("SELECT action, value_after ->> 'entries' FROM audit_log") == [("lists.upload", "2")]


def test_what_is_downloaded_can_be_uploaded_and_is_no_formula(client: Client, desk: Desk) -> None:
    analyst = client("analyst")
    analyst.post(f"{ALLOW}/add", data={"kind": "merchant", "value": "=cmd()", "reason": "+1"})
    content = analyst.get(f"{ALLOW}/csv").text
    [row] = csv.DictReader(io.StringIO(content))
    assert (row["value"], row["reason"]) == ("'=cmd()", "'+1")
    [entry] = list_csv.read(content.encode(), "")
    assert (entry.kind, entry.value, entry.reason) == ("merchant", "=cmd()", "+1")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"value,reason\nM,r\n", "kind is not among them"),
        (b"kind,value\n", "no entry below its first line"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"", "is not among them"),
        (b"kind,value\nmerchant,M\nmerchant,M\n", "is in the file twice"),
        (b"kind,value\nmerchant,M,r,s,t\n", "more fields than columns"),
        (b'kind,value\nmerchant,"M\n', "is no CSV"),
        (b"kind,value,expires_at\nmerchant,M,31.12.2026\n", "is no time"),
    ],
)
def test_files_that_are_none(content: bytes, said: str) -> None:
    with pytest.raises(UserError, match=said):
        list_csv.read(content, "r")


def test_matched_counts_the_alerts_whose_decision_names_the_entry(client: Client, desk: Desk) -> None:
    client("analyst").post(f"{ALLOW}/add", data={"kind": "merchant", "value": "M-1", "reason": "ours; is allowed: x"})
    bought = [transaction(n, f"t{n}", "A", 4_000, T0_MS + n, merchant_id=f"M-{n % 2}") for n in range(4)]
    desk.feed(*bought, *(high_amount(n, f"t{n}", "A", 4_000, T0_MS + n) for n in range(4)))
    with desk.engine.begin() as connection:
        assert dict(matches(connection))["allowlist", "merchant", "M-1"] == 2


def test_the_blocklist_reaches_its_topic(client: Client, site: Site, broker: BrokerProcess) -> None:
    site.settings = site.settings.model_copy(update={"kafka_bootstrap_servers": broker.address})
    entry = {"kind": "account", "value": "A-1", "reason": "stolen"}
    analyst = client("analyst")
    assert analyst.post("/lists/blacklist/add", data=entry).status_code == 303
    assert analyst.post("/lists/blacklist/remove", data=entry).status_code == 303
    consumer = KafkaConsumer(bootstrap_servers=broker.address, auto_offset_reset="earliest", consumer_timeout_ms=20_000)
    consumer.assign([TopicPartition("blacklist", n) for n in sorted(consumer.partitions_for_topic("blacklist"))])
    first, second = next(consumer), next(consumer)
    consumer.close()
    assert (first.key, orjson.loads(first.value)["REASON"]) == (b"account:A-1", "stolen")
    assert (second.key, second.value) == (b"account:A-1", None)


def test_without_kafka_the_list_has_it_and_the_way_to_repair_is_said(client: Client, site: Site, desk: Desk) -> None:
    site.settings = site.settings.model_copy(update={"kafka_bootstrap_servers": "127.0.0.1:1"})
    answer = client("analyst").post("/lists/blacklist/add", data={"kind": "account", "value": "A", "reason": "r"})
    assert answer.status_code == 409 and "streamguard blacklist sync" in answer.text
    assert entries(desk, "blacklist") == [("account", "A", "r")]

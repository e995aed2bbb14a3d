"""Topics at the desk: the list, the records of one with search, live and save, one record whole, and writing it again."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator

import pytest

from streamguard.desk.site import Desk as Site
from tests.streamguard.desk.conftest import Client, Programs
from tests.streamguard.desk.plumbing import EVIL, FRAGMENT, audit, make_topic, on_broker, produce
from tests.support.broker import BrokerProcess, free_port
from tests.support.desk import Desk


@pytest.fixture
def desk(desk: Desk, broker: BrokerProcess) -> Iterator[Desk]:
    """A store, and the topic `payments` with ten records in partition 0, an odd one last."""
    make_topic(broker, "payments")
    make_topic(broker, "_internal", 1)
    records = [
        {"key": f"k{n}".encode(), "value": f'{{"n": {n}, "a": 1.10}}'.encode(), "timestamp_ms": 1_000 * n}
        for n in range(9)
    ]
    odd = {"key": EVIL.encode(), "value": b"\x00\x00\x00\x00\x07\xff" + EVIL.encode(), "headers": [(EVIL, b"h1")]}
    produce(broker, "payments", *records, odd)
    yield on_broker(desk, broker)


def places(page: str) -> list[str]:
    return re.findall(r'data-record="([^"]+)"', page)


def goes_on(page: str) -> str:
    found = re.search(r'data-on href="([^"]+)"', page)
    return html.unescape(found[1]) if found else ""


def test_the_list_has_each_topic_with_its_figures(client: Client) -> None:
    page = client("analyst").get("/topics").text
    assert "payments" in page and "_internal" not in page and "1 internal not shown" in page
    assert re.search(r'payments</a></th>\s*<td class="n">10</td>', page)
    assert "_internal" in client("analyst").get("/topics?internal=1&order=size").text
    assert "No topic fits this name" in client("analyst").get("/topics?q=nothing").text
    about = client("analyst").get("/topics/payments/about").text
    assert "cleanup.policy" in about and "No group has committed an offset" in about
    assert client("analyst").get("/topics/nothing/about").status_code == 404


def test_a_search_goes_on_where_its_address_says(client: Client) -> None:
    analyst = client("analyst")
    first = analyst.get("/topics/payments?partition=0&from=3&limit=20").text
    assert places(first) == [f"0/{n}" for n in range(3, 10)]
    assert 'data-shown="0/3"' in first, "the record that the address leads to is open"
    newest = analyst.get("/topics/payments?limit=20").text
    assert places(newest)[0] == "0/9" and "back to the first" in newest and not goes_on(newest)
    for query, found in {"value=%22n%22: 4": ["0/4"], "key=K7": ["0/7"], "header=H1": ["0/9"], "key=none": []}.items():
        assert places(analyst.get(f"/topics/payments?{query}").text) == found
    assert places(analyst.get("/topics/payments?from=@6000").text)[:2] == ["0/6", "0/7"]
    page = analyst.get("/topics/payments?at=0:5,1:0&limit=20", headers=FRAGMENT).text
    assert places(page) == [f"0/{n}" for n in range(4, -1, -1)] and 'data-examined="5"' in page


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("from=whenever", "is no place to begin"),
        ("partition=x", "is no partition"),
        ("partition=9", "has no partition 9"),
        ("at=1", "no place to go on"),
        ("from=" + "9" * 30, "at most 18 digits"),
        ("open=x", "no place to go on"),
    ],
)
def test_what_cannot_be_read_is_a_sentence(client: Client, query: str, said: str) -> None:
    answer = client("analyst").get(f"/topics/payments?{query}")
    assert answer.status_code in (404, 409) and said in html.unescape(answer.text)


def test_live_has_what_came_since_and_counts_what_it_leaves_out(client: Client, broker: BrokerProcess) -> None:
    analyst = client("analyst")
    tail = re.search(r'data-tail="([^"]+)"', analyst.get("/topics/payments").text)
    assert tail is not None and tail[1] == "0:10,1:0"
    ask = f"/topics/payments?live=1&at={tail[1]}"
    assert places(analyst.get(ask, headers=FRAGMENT).text) == []
    produce(broker, "payments", {"value": b"new"})
    assert places(analyst.get(ask, headers=FRAGMENT).text) == ["0/10"]
    produce(broker, "payments", *({"value": b"x"} for _ in range(205)))
    many = analyst.get(ask, headers=FRAGMENT).text
    assert len(places(many)) == 200 and "6 came too fast" in many and 'data-tail="0:216,1:0"' in many


def test_a_record_is_whole_and_markup_stays_text(client: Client) -> None:
    analyst = client("analyst")
    page = analyst.get("/topics/payments/0/3", headers=FRAGMENT).text
    assert html.unescape(page).count('{\n  "n": 3,\n  "a": 1.10\n}') == 1, "digits stay as they came"
    odd = analyst.get("/topics/payments/0/9").text
    assert "not UTF-8: byte 0xff at position 5" in odd and "perhaps of a schema registry: schema 7" in odd
    assert "00000000  00 00 00 00 07 ff" in odd
    for text in (odd, analyst.get("/topics/payments").text, analyst.get("/topics/payments?value=" + EVIL).text):
        assert EVIL not in text and html.escape(EVIL, quote=False) in text
    assert analyst.get("/topics/payments/0/77").status_code == 404
    assert analyst.get("/topics/payments/0/x").status_code == 409


def test_whoever_opens_records_is_in_the_audit_log(client: Client, desk: Desk) -> None:
    analyst = client("analyst")
    for _ in range(2):
        analyst.get("/topics/payments?key=k")
        analyst.get("/topics/payments?key=k&live=1&at=0:9", headers=FRAGMENT)
    analyst.get("/topics/payments/0/3", headers=FRAGMENT)
    analyst.get("/topics/payments/0/99")
    analyst.get("/topics/payments/save?key=k3")
    opened = [(who, subject, after) for who, subject, _, _, after in audit(desk, "personal_data.opened")]
    assert opened == [
        ("analyst", "topic payments", {"key": "k"}),
        ("analyst", "record payments/0/3", None),
        ("analyst", "topic payments", {"key": "k3", "saved": "JSON lines"}),
    ]


def test_saved_are_all_that_fit_as_json_lines(client: Client) -> None:
    answer = client("analyst").get("/topics/payments/save?from=7")
    assert answer.headers["content-type"] == "application/x-ndjson"
    saved = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["offset"] for line in saved] == [7, 8, 9]
    assert saved[0]["value"] == '{"n": 7, "a": 1.10}' and saved[0]["timestamp_ms"] == 7_000
    assert saved[2]["value_hex"].startswith("0000000007ff") and saved[2]["headers"] == [{"name": EVIL, "value": "h1"}]
    assert len(client("analyst").get("/topics/payments/save?value=%22n%22").text.splitlines()) == 9


def test_a_record_is_written_again_with_its_reason(client: Client, desk: Desk) -> None:
    admin = client("admin")
    fields = {
        "topic": "payments",
        "partition": "1",
        "key": "k3",
        "value": '{"n": 33}',
        "headers": "trace: a:b\r\n",
        "source": "payments/0/3",
    }
    assert "a reason is needed" in admin.post("/topic/produce", data=fields, headers=FRAGMENT).json()["error"]
    done = admin.post("/topic/produce", data={**fields, "reason": "a typing error"}, headers=FRAGMENT).json()
    assert done == {"said": "Written to payments, partition 1, offset 0", "address": "/topics/payments/1/0"}
    [line] = admin.get("/topics/payments/save?partition=1").text.splitlines()
    assert json.loads(line)["value"] == '{"n": 33}' and json.loads(line)["headers"] == [
        {"name": "trace", "value": "a:b"}
    ]
    [entry] = audit(desk, "topics.change")
    assert entry[:3] == ("admin", "record payments/1/0", "a typing error")
    assert entry[3] == {"copied_from": "payments/0/3"}


def test_binary_and_tombstones_are_written_too(client: Client) -> None:
    admin = client("admin")
    common = {"topic": "payments", "partition": "1", "reason": "test"}
    assert (
        admin.post("/topic/produce", data={**common, "form": "hex", "key": "ff", "value": "00 01"}).status_code == 303
    )
    assert admin.post("/topic/produce", data={**common, "key": "k", "no_value": "1"}).status_code == 303
    lines = [json.loads(line) for line in admin.get("/topics/payments/save?partition=1").text.splitlines()]
    assert (lines[0]["key_hex"], lines[0]["value"]) == ("ff", "\x00\x01")
    assert lines[1]["value"] is None
    refused = [
        ({"form": "hex", "value": "zz"}, "not hexadecimal"),
        ({"topic": "no"}, "no topic no"),
        ({"partition": "x"}, "a number"),
    ]
    for wrong, said in refused:
        answer = admin.post("/topic/produce", data={**common, "value": "", **wrong}, headers=FRAGMENT)
        assert answer.status_code in (404, 409) and said in answer.json()["error"]


def test_who_may_not_write_sees_no_form(client: Client) -> None:
    assert "Write again" in client("admin").get("/topics/payments/0/3").text
    assert "Write again" not in client("lead").get("/topics/payments/0/3").text
    assert client("lead").post("/topic/produce", data={"topic": "payments", "reason": "x"}).status_code == 403
    assert client("viewer").get("/topics").status_code == 403


def test_an_unavailable_broker_is_a_page_that_says_so(client: Client, desk: Desk) -> None:
    desk.settings.kafka_bootstrap_servers = f"127.0.0.1:{free_port()}"
    for path in ("/topics", "/topics/payments", "/groups"):
        answer = client("analyst").get(path)
        assert answer.status_code == 503 and "Kafka is unavailable" in answer.text


def test_programs_list_topics_and_read_messages(program: Programs, desk: Desk) -> None:
    analyst = program("analyst")
    [listed] = analyst.get("topics", params={"q": "PAY"}).json()["topics"]
    assert (listed["name"], listed["messages"], len(listed["partitions"])) == ("payments", 10, 2)
    assert listed == analyst.get("topics/payments").json() and listed["settings"]["cleanup.policy"] == "delete"
    assert [t["name"] for t in analyst.get("topics", params={"internal": True}).json()["topics"]] == [
        "_internal",
        "payments",
    ]
    read: list[tuple[int, int]] = []
    query = {"begin": "oldest", "limit": "4", "at": ""}
    while True:
        page = analyst.get("topics/payments/messages", params=query).json()
        read += [(found["partition"], found["offset"]) for found in page["messages"]]
        if page["next"] is None:
            break
        query["at"] = page["next"]
    assert read == [(0, offset) for offset in range(10)]
    [one] = analyst.get("topics/payments/messages", params={"value": '"n": 4'}).json()["messages"]
    assert (one["key"], one["value"], one["timestamp_ms"]) == ("k4", '{"n": 4, "a": 1.10}', 4_000)
    odd = analyst.get("topics/payments/messages/0/9").json()
    opened = [entry[1] for entry in audit(desk, "personal_data.opened")]
    assert opened == ["topic payments", "topic payments", "record payments/0/9"], "a look that goes on is one"
    assert odd["value"] is None and odd["value_hex"].startswith("000000000") and odd["headers"][0]["name"] == EVIL
    for path in (
        "topics/none",
        "topics/none/messages",
        "topics/payments/messages/0/99",
        "topics/payments/messages/x/1",
    ):
        assert analyst.get(path).status_code == 404, path
    wrong = analyst.get("topics/payments/messages", params={"begin": "soon"})
    assert wrong.status_code == 409 and "is no place to begin" in wrong.json()["error"]


def test_programs_are_told_that_kafka_is_unavailable(program: Programs, site: Site) -> None:
    site.settings = site.settings.model_copy(update={"kafka_bootstrap_servers": f"127.0.0.1:{free_port()}"})
    for path in ("topics", "groups", "topics/x/messages"):
        answer = program("admin").get(path)
        assert answer.status_code == 503 and "Kafka is unavailable" in answer.json()["error"], path

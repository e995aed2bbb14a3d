"""Consumer groups at the desk: lag, members, the last hour, and a reset that is shown before it is done."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

import pytest
from kafka import KafkaAdminClient, TopicPartition
from kafka.structs import OffsetAndMetadata

from streamguard.desk.cluster import KEPT, ClusterHistory
from streamguard.kafka.lags import Lag
from streamguard.kafka.overview import GroupFacts, Overview, PartitionFacts, TopicFacts, groups_of
from tests.streamguard.desk.conftest import Client, Programs
from tests.streamguard.desk.plumbing import FRAGMENT, audit, make_topic, on_broker, produce
from tests.support.broker import BrokerProcess
from tests.support.desk import Desk
from tests.support.topics import group_member

GROUP = "team/a <b>"


@pytest.fixture
def admin(broker: BrokerProcess) -> Iterator[KafkaAdminClient]:
    client = KafkaAdminClient(bootstrap_servers=broker.address)
    yield client
    client.close()


@pytest.fixture
def desk(desk: Desk, broker: BrokerProcess, admin: KafkaAdminClient) -> Desk:
    """Ten records in `payments`, of which the group has read four."""
    make_topic(broker, "payments", 1)
    produce(broker, "payments", *({"value": b"x", "timestamp_ms": 1_000 * n} for n in range(10)))
    admin.alter_group_offsets(GROUP, {TopicPartition("payments", 0): OffsetAndMetadata(4, "", -1)})
    return on_broker(desk, broker)


def committed(admin: KafkaAdminClient) -> int | None:
    return groups_of(admin, [GROUP])[0].lags[0].committed


def test_groups_are_listed_with_their_lag(client: Client) -> None:
    page = client("analyst").get("/groups").text
    assert html.escape(GROUP) in page and re.search(r'<td class="n">6</td>', page)
    assert "No group fits" in client("analyst").get("/groups?q=nothing").text
    one = client("analyst").get("/groups/team%2Fa%20%3Cb%3E").text
    assert "Lag by partition" in one and GROUP not in one
    assert "may not move groups" in one, "an analyst sees who may"
    assert client("analyst").get("/groups/nobody").status_code == 404


def test_a_reset_is_shown_then_done_with_its_reason(client: Client, desk: Desk, admin: KafkaAdminClient) -> None:
    lead, boss = client("lead"), client("admin")
    wanted = {"group": GROUP, "topic": "payments", "way": "time", "value": "@7000"}
    assert lead.post("/group/plan", data=wanted).status_code == 403
    plan = boss.post("/group/plan", data=wanted).text
    assert "nothing has moved yet" in plan and "3 messages are left out" in plan
    assert committed(admin) == 4
    move = re.findall(r'name="move" value="([^"]+)"', plan)
    assert move == ["0:4:7"]
    done = {"group": GROUP, "topic": "payments", "move": move}
    assert "a reason is needed" in boss.post("/group/reset", data=done, headers=FRAGMENT).json()["error"]
    assert boss.post("/group/reset", data={**done, "reason": "skip the bad ones"}).status_code == 303
    assert committed(admin) == 7
    [entry] = audit(desk, "topics.change")
    assert entry == ("admin", f"group {GROUP} in payments", "skip the bad ones", {"0": 4}, {"0": 7})
    again = boss.post("/group/reset", data={**done, "reason": "again"}, headers=FRAGMENT)
    assert "is at 7 now, not at 4" in again.json()["error"] and committed(admin) == 7


@pytest.mark.parametrize(
    ("way", "value", "said"),
    [
        ("earliest", "", "4 messages are read again"),
        ("latest", "", "6 messages are left out"),
        ("offset", "4", "stays"),
    ],
)
def test_the_plan_says_what_it_means(client: Client, way: str, value: str, said: str) -> None:
    fields = {"group": GROUP, "topic": "payments", "way": way, "value": value}
    assert said in client("admin").post("/group/plan", data=fields).text


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"way": "offset", "value": "x"}, "is no offset"),
        ({"way": "time", "value": "soon"}, "is no place to begin"),
        ({"way": ""}, "choose where to"),
        ({"topic": "nothing", "way": "latest"}, "there is no topic nothing"),
        ({"partition": "x", "way": "latest"}, "is no partition"),
        ({"group": "nobody", "way": "latest"}, "there is no group nobody"),
    ],
)
def test_what_cannot_be_planned_is_a_sentence(client: Client, fields: dict[str, str], said: str) -> None:
    sent = {"group": GROUP, "topic": "payments", **fields}
    answer = client("admin").post("/group/plan", data=sent, headers=FRAGMENT)
    assert answer.status_code == 409 and said in answer.json()["error"]


@pytest.mark.parametrize("move", ["", "0", "0:x:1", "0:4:", "0:4:-1", ":::"])
def test_a_forged_move_changes_nothing(client: Client, admin: KafkaAdminClient, move: str) -> None:
    fields = {"group": GROUP, "topic": "payments", "move": move, "reason": "x"}
    assert client("admin").post("/group/reset", data=fields, headers=FRAGMENT).status_code == 409
    assert committed(admin) == 4


def test_a_group_with_members_is_not_moved(client: Client, broker: BrokerProcess, admin: KafkaAdminClient) -> None:
    with group_member(broker.address, "payments", GROUP):
        page = client("admin").get("/groups/team%2Fa%20%3Cb%3E").text
        assert "stop them first" in page and "Show before and after" not in page and "kafka-python" in page
        fields = {"group": GROUP, "topic": "payments", "move": "0:4:0", "reason": "x"}
        answer = client("admin").post("/group/reset", data=fields, headers=FRAGMENT)
        assert "stop them first" in answer.json()["error"] and committed(admin) == 4


def seen(lag: int, end: int) -> Overview:
    topic = TopicFacts("t", False, [PartitionFacts(0, 0, end, None, 1, 1, 1)], {}, {})
    return Overview([topic], [GroupFacts("g", "Empty", [], [Lag(TopicPartition("t", 0), end - lag, end)])])


def test_the_history_keeps_an_hour_and_gives_rates() -> None:
    history = ClusterHistory("127.0.0.1:1")
    assert history.rate_of("t") is None and history.lag_of("g") == []
    for n in range(KEPT + 10):
        history.add(seen(lag=n, end=50 * n), 5.0 * n)
    assert history.rate_of("t") == 10.0
    assert len(history.lag_of("g")) == KEPT and history.lag_of("g")[-1] == (5.0 * (KEPT + 9), KEPT + 9)
    history.add(Overview([], []), 5.0 * (3 * KEPT))
    assert history.lag_of("g") == [], "a group that is gone is forgotten"
    history.add(seen(0, 100), 50_000.0)
    history.add(seen(0, 20), 50_005.0)
    assert history.rate_of("t") == 0.0, "a topic that was made anew"


def test_programs_see_and_move_groups(program: Programs, desk: Desk, admin: KafkaAdminClient) -> None:
    analyst, boss, path = program("analyst"), program("admin"), "groups/team%2Fa%20%3Cb%3E"
    # The broker keeps groups of other tests for a while.
    [listed] = [group for group in analyst.get("groups").json()["groups"] if group["name"] == GROUP]
    assert listed == analyst.get(path).json() and (listed["name"], listed["lag"], listed["members"]) == (GROUP, 6, [])
    assert listed["partitions"] == [{"topic": "payments", "partition": 0, "committed": 4, "end": 10, "lag": 6}]
    wanted = {"topic": "payments", "way": "offset", "value": "7", "reason": "skip the bad ones"}
    assert analyst.post(f"{path}/reset", json=wanted).status_code == 403
    shown = boss.post(f"{path}/reset", json=wanted).json()
    assert shown["moves"] == [{"partition": 0, "before": 4, "after": 7}] and not shown["applied"]
    assert committed(admin) == 4 and audit(desk, "topics.change") == []
    key = {"idempotency-key": "once"}
    done = [boss.post(f"{path}/reset", json={**wanted, "apply": True}, headers=key).json() for _ in range(2)]
    assert done[0] == done[1] == {**shown, "applied": True} and committed(admin) == 7
    assert audit(desk, "topics.change") == [
        ("admin", f"group {GROUP} in payments", "skip the bad ones", {"0": 4}, {"0": 7})
    ]
    assert analyst.get("groups/nobody").status_code == 404
    assert boss.post("groups/nobody/reset", json=wanted).status_code == 404
    refused = boss.post(f"{path}/reset", json={**wanted, "value": "x"})
    assert refused.status_code == 409 and "is no offset" in refused.json()["error"]

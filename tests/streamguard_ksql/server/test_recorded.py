"""The requests recorded from ksqlDB 0.29, sent to our server in order: the answers have to be the same.

Left aside is what differs from run to run or from cluster to cluster: ids and sequence numbers, times, rates and sizes,
host names, topics of other tests; the order of lists that ksqlDB gives in no order; and the text of plans, functions'
descriptions and the reason why there is no Kafka Connect.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import requests

from tests.support.ksqldb import KsqlServerProcess, eventually, running_server
from tests.support.recordings import recording

RECORDED: dict[str, list[dict[str, Any]]] = {"gold_": recording("rest.json"), "default_": recording("cli.json")}
"""What programs sent to the REST API, and what the official command line sends: by the service id of the server."""
SETTLE_AFTER = ("csas", "insert values 2", "026 CREATE TABLE per_minute", "insert values 030")
"""The requests after which the recording waited: the queries have to have read all that is there."""

NO_CONNECT = {
    "CONNECTORS;",
    "SHOW CONNECTORS;",
    "CREATE SOURCE CONNECTOR c WITH ('connector.class'='x');",
    "DROP CONNECTOR c;",
}
"""Refused in other words: there is no Kafka Connect to have no connection to."""
MERGED = "042 SELECT COUNT(*)"
DIFFERENT = "(differs)"
TEXTS = {"topology", "executionPlan"}
ASIDE = {"kafkaClusterId", "kafka-cluster", "commandSequenceNumber", "timestamp", "author", "description"}
SETS = {"streams", "tables", "functions", "queries", "readQueries", "writeQueries", "properties", "sourceConstraints"}
SETS |= {"queryDescriptions", "sourceDescriptions", "defaultProperties", "tasksMetadata", "clusterStatistics"}
OWN_SETTINGS = {"ksql.streams.bootstrap.servers", "ksql.streams.state.dir", "ksql.streams.application.server"}
OWN_SETTINGS |= {"ksql.extension.dir", "ksql.service.id"}


Answers = dict[str, dict[str, requests.Response]]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """Our answer to each request, by the service id and the recording's name."""
    found = {}
    for service_id, cases in RECORDED.items():
        with running_server(tmp_path_factory.mktemp("recorded"), "--service-id", service_id) as server:
            found[service_id] = _replay(server, cases)
    return found


def _replay(server: KsqlServerProcess, cases: list[dict[str, Any]]) -> dict[str, requests.Response]:
    """Send all requests; query ids in them are replaced by those that our server gave the same queries."""
    found: dict[str, requests.Response] = {}
    ids: dict[str, str] = {}
    for case in cases:
        request = case["request"]
        body = request["body"]
        text = "" if body is None else body if isinstance(body, str) else json.dumps(body)
        for theirs, ours in ids.items():
            text = text.replace(theirs, ours)
        response = requests.request(
            request["method"], server.url + request["path"], headers=request["headers"], data=text or None, timeout=30
        )
        found[case["name"]] = response
        given = re.search(r'"queryId":"(C[^"]+)"', case["response"]["body"])
        mine = re.search(r'"queryId":"(C[^"]+)"', response.text)
        if given and mine:
            ids[given[1]] = mine[1]
        if case["name"].startswith(SETTLE_AFTER):
            eventually(lambda: _is_settled(server))
    return found


def _is_settled(server: KsqlServerProcess) -> bool:
    """Whether every query reads, and has read its topics to their ends."""
    [answer] = server.ksql("SHOW QUERIES EXTENDED;")
    tasks = [query["tasksMetadata"] for query in answer["queryDescriptions"]]
    offsets = [offset for found in tasks for task in found for offset in task["topicOffsets"]]
    return all(tasks) and all(o["committedOffset"] > o["endOffset"] or o["endOffset"] < 0 for o in offsets)


def comparable(text: str) -> Any:
    """An answer without what may differ."""
    text = re.sub(r"(C[ST]AS_\w+?)_\d+\b", r"\1_N", text)
    text = re.sub(r"transient_(transient_)?(\w+?)_\d+(_\d{13})?", r"transient_\2_N", text)
    text = re.sub(r"\bquery_\d{13}", "query_N", text)
    text = re.sub(r"INSERTQUERY_\d+", "INSERTQUERY_N", text)
    text = re.sub(r"(localhost|127\.0\.0\.1):\d+", "HOST", text)
    text = re.sub(r"rowtime: \S+ \S+ Z", "rowtime: T", text)
    try:
        return _clean(json.loads(text))
    except ValueError:
        return text


def _clean(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        if value.get("name") in OWN_SETTINGS:
            return {**value, "value": DIFFERENT}
        return {k: _clean(v, k) for k, v in value.items() if k not in ASIDE}
    if isinstance(value, list):
        items = [_clean(v, name) for v in value if name != "defaultProperties" or v not in OWN_SETTINGS]
        if name == "clusterStatistics":
            items = [i for i in items if not i["name"].endswith("per-sec")]
        return sorted(items, key=lambda i: json.dumps(i, sort_keys=True)) if name in SETS else items
    if name in TEXTS:
        assert isinstance(value, str) and value.strip()
        return DIFFERENT
    if name == "statistics":
        return bool(value)
    if name == "value" and isinstance(value, float):
        return DIFFERENT
    return value


def _only_ours(wanted: Any, got: Any) -> Any:
    """Topics of the recording that were left by other tests are not ours to have."""
    for entity in wanted if isinstance(wanted, list) else ():
        if isinstance(entity, dict) and "topics" in entity:
            names = {t["name"] for t in got[0]["topics"]}
            entity["topics"] = [t for t in entity["topics"] if t["name"] in names]
    return wanted


@pytest.mark.parametrize(
    ("service_id", "case"),
    [pytest.param(service_id, case, id=case["name"]) for service_id, cases in RECORDED.items() for case in cases],
)
def test_the_answer_is_ksqldbs(service_id: str, case: dict[str, Any], answers: Answers) -> None:
    got, recorded = answers[service_id][case["name"]], case["response"]
    assert got.status_code == recorded["status"], got.text
    # ksqlDB leaves the type out of some refusals.
    assert recorded["content_type"] in (got.headers.get("content-type"), None)
    ours = comparable(got.text)
    wanted = _only_ours(comparable(recorded["body"]), ours)
    if case["name"].split(" ", 1)[-1] in NO_CONNECT:
        wanted = {**wanted, "message": ours["message"]}
    if case["name"].startswith(MERGED):
        # ksqlDB's cache merges the changes of half a second into one; here each is a row.
        wanted[1] = ours[1] = DIFFERENT
    assert ours == wanted

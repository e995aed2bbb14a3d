"""Sides of a join meet whatever partitions their topics put them in."""

from __future__ import annotations

import itertools

import orjson
import pytest

from streamguard_ksql.hashing import partition_for
from streamguard_ksql.operators.base import Runtime
from streamguard_ksql.operators.record import InputRecord, OutputRecord
from streamguard_ksql.testing.harness import Harness
from streamguard_ksql.topology import Topology

PARTITIONS = 3
ACCOUNTS = [f"account-{n}" for n in range(20)]
TABLE = (
    "CREATE TABLE t (id STRING PRIMARY KEY, tier STRING) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON', KEY_FORMAT='{}');"
)
STREAM = "CREATE STREAM s (k STRING KEY, account STRING) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON');"
JOIN = "CREATE STREAM j AS SELECT s.account, t.tier FROM s JOIN t ON s.account = t.id;"
SAME_KEY = "CREATE STREAM j AS SELECT s.k, t.tier FROM s JOIN t ON s.k = t.id;"


def joined(table_format: str, statement: str) -> list[str]:
    """The tiers for one record per account, each in the partition that a producer chooses."""
    harness = Harness()
    harness.run_script(TABLE.format(table_format) + STREAM + statement)
    query, _ = next(iter(harness.running.values()))
    written: list[OutputRecord] = []
    runtime = Runtime(query.query_id, written.append, lambda error: None, query.config, partitions=PARTITIONS)
    topology = Topology(query.plan, runtime)
    offsets = itertools.count()

    def feed(topic: str, key: bytes, value: dict[str, str]) -> None:
        partition = partition_for(key, PARTITIONS)
        topology.feed(partition, [InputRecord(topic, partition, next(offsets), key, orjson.dumps(value), 0)])

    for account in ACCOUNTS:
        key = f'"{account}"' if table_format == "JSON" else account
        feed("t", key.encode(), {"tier": f"tier of {account}"})
    for account in ACCOUNTS:
        feed("s", account.encode() if statement is SAME_KEY else b"one key", {"account": account})
    return [orjson.loads(r.value or b"null")["T_TIER" if b"T_TIER" in (r.value or b"") else "TIER"] for r in written]


@pytest.mark.parametrize("statement", [JOIN, SAME_KEY], ids=["new key", "same key"])
@pytest.mark.parametrize("table_format", ["KAFKA", "JSON", "DELIMITED"])
def test_a_stream_finds_the_rows_of_a_table(table_format: str, statement: str) -> None:
    assert sorted(joined(table_format, statement)) == sorted(f"tier of {a}" for a in ACCOUNTS)

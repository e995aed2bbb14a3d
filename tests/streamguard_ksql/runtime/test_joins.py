"""Joins and repartitioning over several topics and partitions, against plain Python."""

from __future__ import annotations

import random
import time
from collections import Counter
from typing import Any

import orjson
import pytest

from tests.streamguard_ksql.runtime.conftest import Start
from tests.support.engine import RunningEngine, consume, create_topic, produce, table_of

pytestmark = pytest.mark.integration
T0_MS = int(time.time()) // 60 * 60_000 - 600_000
PARTITIONS = 3


def payments(count: int) -> list[dict[str, Any]]:
    draw = random.Random(17)
    return [
        {
            "ID": n,
            "CARD": f"card{draw.randrange(20)}",
            "SHOP": f"shop{draw.randrange(8)}",
            "AMOUNT": draw.randrange(500),
        }
        for n in range(count)
    ]


PAYMENTS = """
CREATE STREAM payments (account VARCHAR KEY, id BIGINT, card VARCHAR, shop VARCHAR, amount BIGINT)
  WITH (KAFKA_TOPIC='payments', VALUE_FORMAT='JSON');
"""


def pay(servers: str, given: list[dict[str, Any]]) -> None:
    records = [(f"account{p['ID'] % 30}", p) for p in given]
    produce(servers, "payments", records, [T0_MS + 100 * p["ID"] for p in given])


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once_v2"])
def test_group_and_partition_by_other_columns(start: Start, servers: str, guarantee: str) -> None:
    engine = start({"ksql.streams.processing.guarantee": guarantee})
    create_topic(servers, "payments", PARTITIONS)
    given = payments(3_000)
    engine.sql(PAYMENTS)
    engine.sql("CREATE TABLE per_shop WITH (KAFKA_TOPIC='per_shop') AS "
               "SELECT shop, COUNT(*) AS n, SUM(amount) AS total FROM payments GROUP BY shop;")  # fmt: skip
    engine.sql("CREATE TABLE per_both WITH (KAFKA_TOPIC='per_both', KEY_FORMAT='JSON') AS "
               "SELECT shop, card, COUNT(*) AS n FROM payments GROUP BY shop, card;")  # fmt: skip
    engine.sql("CREATE STREAM by_card WITH (KAFKA_TOPIC='by_card') AS SELECT * FROM payments PARTITION BY card;")
    engine.sql("CREATE TABLE per_card WITH (KAFKA_TOPIC='per_card') AS "
               "SELECT card, COUNT(*) AS n FROM by_card GROUP BY card;")  # fmt: skip
    pay(servers, given[:1_500])
    engine.settle()
    engine.restart()
    pay(servers, given[1_500:])
    engine.settle()
    shops = Counter(p["SHOP"] for p in given)
    amounts: Counter[str] = Counter()
    for p in given:
        amounts[p["SHOP"]] += p["AMOUNT"]
    assert sorted(engine.pull("SELECT * FROM per_shop;")) == sorted([s, n, amounts[s]] for s, n in shops.items())
    both = Counter((p["SHOP"], p["CARD"]) for p in given)
    assert sorted(engine.pull("SELECT * FROM per_both;")) == sorted([s, c, n] for (s, c), n in both.items())
    cards = Counter(p["CARD"] for p in given)
    assert sorted(engine.pull("SELECT * FROM per_card;")) == sorted([c, n] for c, n in cards.items())
    engine.close()
    found = Counter((k or b"").decode() for k, _ in consume(servers, "by_card"))
    assert found == cards


def test_stream_joined_with_a_table_by_another_column(engine: RunningEngine, servers: str) -> None:
    create_topic(servers, "payments", PARTITIONS)
    create_topic(servers, "shops", PARTITIONS)
    engine.sql(PAYMENTS)
    engine.sql(
        "CREATE TABLE shops (shop VARCHAR PRIMARY KEY, city VARCHAR) WITH (KAFKA_TOPIC='shops', VALUE_FORMAT='JSON');"
    )
    shops = {f"shop{n}": f"city{n % 3}" for n in range(6)}
    produce(servers, "shops", [(s, {"CITY": c}) for s, c in shops.items()], [T0_MS - 1_000] * len(shops))
    given = payments(2_000)
    pay(servers, given)
    engine.sql("CREATE STREAM placed WITH (KAFKA_TOPIC='placed') AS "
               "SELECT p.shop AS shop, p.id AS id, s.city AS city FROM payments p "
               "LEFT JOIN shops s ON p.shop = s.shop;")  # fmt: skip
    engine.sql("CREATE TABLE per_city WITH (KAFKA_TOPIC='per_city') AS "
               "SELECT city, COUNT(*) AS n FROM placed GROUP BY city;")  # fmt: skip
    engine.settle()
    found = sorted(
        (orjson.loads(v or b"")["ID"], orjson.loads(v or b"")["CITY"]) for _, v in consume(servers, "placed")
    )
    assert found == [(p["ID"], shops.get(p["SHOP"])) for p in given]
    cities = Counter(shops[p["SHOP"]] for p in given if p["SHOP"] in shops)
    assert {r[0]: r[1] for r in engine.pull("SELECT * FROM per_city;")} == cities


def test_streams_joined_within_a_window(engine: RunningEngine, servers: str) -> None:
    create_topic(servers, "payments", PARTITIONS)
    create_topic(servers, "devices", PARTITIONS)
    engine.sql(PAYMENTS)
    engine.sql(
        "CREATE STREAM devices (account VARCHAR KEY, device BIGINT) WITH (KAFKA_TOPIC='devices', VALUE_FORMAT='JSON');"
    )
    engine.sql("CREATE STREAM pairs WITH (KAFKA_TOPIC='pairs') AS "
               "SELECT p.account AS account, p.id AS id, d.device AS device FROM payments p "
               "JOIN devices d WITHIN 5 SECONDS GRACE PERIOD 1 HOURS ON p.account = d.account;")  # fmt: skip
    given = payments(600)
    logins = [(f"account{n % 30}", {"DEVICE": n}) for n in range(0, 600, 7)]
    times = [T0_MS + 100 * login["DEVICE"] for _, login in logins]
    half = len(logins) // 2
    pay(servers, given[:300])
    produce(servers, "devices", logins[:half], times[:half])
    engine.settle()
    engine.restart()
    produce(servers, "devices", logins[half:], times[half:])
    pay(servers, given[300:])
    engine.settle()
    wanted = {
        (p["ID"], login["DEVICE"])
        for p in given
        for account, login in logins
        if account == f"account{p['ID'] % 30}" and abs(p["ID"] - login["DEVICE"]) <= 50
    }
    values = [orjson.loads(v or b"") for _, v in consume(servers, "pairs")]
    assert sorted((v["ID"], v["DEVICE"]) for v in values) == sorted(wanted)


def test_tables_joined_by_key_and_by_foreign_key(engine: RunningEngine, servers: str) -> None:
    for topic in ("accounts", "limits", "owners"):
        create_topic(servers, topic, PARTITIONS)
    engine.sql(
        "CREATE TABLE accounts (a VARCHAR PRIMARY KEY, owner VARCHAR) WITH (KAFKA_TOPIC='accounts', VALUE_FORMAT='JSON');"
    )
    engine.sql(
        "CREATE TABLE limits (a VARCHAR PRIMARY KEY, most BIGINT) WITH (KAFKA_TOPIC='limits', VALUE_FORMAT='JSON');"
    )
    engine.sql(
        "CREATE TABLE owners (o VARCHAR PRIMARY KEY, name VARCHAR) WITH (KAFKA_TOPIC='owners', VALUE_FORMAT='JSON');"
    )
    engine.sql("CREATE TABLE limited WITH (KAFKA_TOPIC='limited') AS "
               "SELECT a.a AS a, a.owner AS owner, l.most AS most FROM accounts a JOIN limits l ON a.a = l.a;")  # fmt: skip
    engine.sql("CREATE TABLE owned WITH (KAFKA_TOPIC='owned') AS "
               "SELECT a.a AS a, o.name AS name FROM accounts a JOIN owners o ON a.owner = o.o;")  # fmt: skip
    accounts = {f"a{n}": f"o{n % 5}" for n in range(50)}
    limits = {f"a{n}": 100 * n for n in range(0, 50, 2)}
    owners = {f"o{n}": f"name{n}" for n in range(4)}
    produce(servers, "accounts", [(a, {"OWNER": o}) for a, o in accounts.items()])
    produce(servers, "limits", [(a, {"MOST": m}) for a, m in limits.items()])
    produce(servers, "owners", [(o, {"NAME": n}) for o, n in owners.items()])
    engine.settle()
    engine.restart()
    produce(servers, "limits", [("a0", None), ("a1", {"MOST": 5})])
    produce(servers, "owners", [("o0", {"NAME": "new"}), ("o1", None)])
    produce(servers, "accounts", [("a2", None)])
    engine.settle()
    limits = {a: m for a, m in {**limits, "a1": 5}.items() if a not in ("a0", "a2")}
    owners = {"o0": "new", "o2": "name2", "o3": "name3"}
    accounts.pop("a2")
    wanted = sorted([a, accounts[a], m] for a, m in limits.items())
    assert sorted(engine.pull("SELECT * FROM limited;")) == wanted
    assert {k.decode(): v["MOST"] for k, v in table_of(servers, "limited").items()} == limits
    named = {a: owners[o] for a, o in accounts.items() if o in owners}
    assert {k.decode(): v["NAME"] for k, v in table_of(servers, "owned").items()} == named
    assert sorted(engine.pull("SELECT * FROM owned;")) == sorted([a, n] for a, n in named.items())

"""kill -9 at each step of a commit, and at any moment: the results are those of an undisturbed run.

at_least_once: states are exact, results may be repeated. exactly_once_v2: the committed results are exact too.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.streamguard_ksql.runtime.conftest import Start
from tests.support.engine import RunningEngine, consume, create_topic, produce, table_of, windowed

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[3]
STATEMENTS = """
CREATE STREAM s (k VARCHAR KEY, v BIGINT) WITH (KAFKA_TOPIC='given', VALUE_FORMAT='JSON');
CREATE STREAM sevens WITH (KAFKA_TOPIC='sevens') AS SELECT k, v FROM s WHERE v % 7 = 0;
CREATE TABLE totals WITH (KAFKA_TOPIC='totals') AS
  SELECT k, COUNT(*) AS n, SUM(v) AS total, LATEST_BY_OFFSET(v) AS latest FROM s GROUP BY k;
CREATE TABLE windows WITH (KAFKA_TOPIC='windows') AS
  SELECT k, COUNT(*) AS n, SUM(v) AS total FROM s WINDOW TUMBLING (SIZE 10 SECONDS, GRACE PERIOD 1 DAYS) GROUP BY k;
CREATE TABLE remainders WITH (KAFKA_TOPIC='remainders') AS
  SELECT v % 5 AS r, COUNT(*) AS n, SUM(v) AS total FROM s GROUP BY v % 5;
"""
AT_LEAST_ONCE = [
    "after:restore",
    "before:write_changes",
    "after:entry",
    "after:write_changes",
    "before:marker",
    "after:marker",
    "before:group",
    "after:group",
    "after:flush",
    "after:batch",
    "before:store_group",
    "before:init",
    "after:init",
    "after:begin",
    "before:commit",
    "after:commit",
]
EXACTLY_ONCE = [
    "before:init",
    "after:init",
    "after:begin",
    "after:batch",
    "before:write_changes",
    "after:entry",
    "after:marker",
    "before:offsets",
    "after:offsets",
    "before:commit",
    "after:commit",
    "after:restore",
]
SLICE = 120
T0_MS = int(time.time()) // 60 * 60_000 - 3_600_000
"""A full minute an hour ago: older records would fall to the topics' retention while the test runs."""
DEADLINE_S = 12.0


class Given:
    """The records that were produced so far, and what has to come of them."""

    def __init__(self, seed: int = 3) -> None:
        self._draw = random.Random(seed)
        self.records: list[tuple[str, int]] = []

    def more(self, servers: str, count: int = SLICE) -> None:
        fresh = [(f"k{self._draw.randrange(12)}", len(self.records) + i) for i in range(count)]
        self.records += fresh
        produce(servers, "given", [(k, {"V": v}) for k, v in fresh], [T0_MS + 100 * v for _, v in fresh])

    def aggregated(self, key_of: Any) -> dict[Any, tuple[int, int]]:
        found: dict[Any, tuple[int, int]] = {}
        for k, v in self.records:
            n, total = found.get(key_of(k, v), (0, 0))
            found[key_of(k, v)] = (n + 1, total + v)
        return found


def crashing(servers: str, config: dict[str, Any], step: str = "", count: int = 1) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "tests.streamguard_ksql.runtime.crash_process",
        servers,
        orjson.dumps(config).decode(),
        step,
        str(count),
    ]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.mark.parametrize("guarantee", [pytest.param("at_least_once", marks=pytest.mark.soak), "exactly_once_v2"])
def test_killed_at_each_step(servers: str, start: Start, guarantee: str) -> None:
    config = {"ksql.streams.processing.guarantee": guarantee, "ksql.streams.commit.interval.ms": 40}
    given = begin(servers, start, config)
    draw = random.Random(5)
    for step in EXACTLY_ONCE if guarantee == "exactly_once_v2" else AT_LEAST_ONCE:
        process = crashing(servers, config, step, draw.choice([1, 2, 5]))
        deadline = time.monotonic() + DEADLINE_S
        rare = step.endswith(("restore", "init", "store_group"))
        while process.poll() is None and time.monotonic() < deadline - (DEADLINE_S - 2.5) * rare:
            given.more(servers, 20)
            time.sleep(0.05)
        assert rare or process.poll() == -9, f"{step} was never reached"
        process.kill()
        process.wait()
    finish(servers, start(config), given, exact=guarantee == "exactly_once_v2")


@pytest.mark.parametrize("guarantee", [pytest.param("at_least_once", marks=pytest.mark.soak), "exactly_once_v2"])
@pytest.mark.soak
def test_killed_at_any_moment(servers: str, start: Start, guarantee: str) -> None:
    config = {"ksql.streams.processing.guarantee": guarantee, "ksql.streams.commit.interval.ms": 20}
    given = begin(servers, start, config)
    draw = random.Random(11)
    for _ in range(5):
        process = crashing(servers, config)
        until = time.monotonic() + draw.uniform(0.6, 1.8)
        while time.monotonic() < until:
            given.more(servers, 50)
            time.sleep(0.02)
        process.kill()
        process.wait()
    finish(servers, start(config), given, exact=guarantee == "exactly_once_v2")


def begin(servers: str, start: Start, config: dict[str, Any]) -> Given:
    """Queries over a topic with a few records, left by a clean stop."""
    create_topic(servers, "given", 3)
    given = Given()
    given.more(servers)
    engine = start(config)
    engine.sql(STATEMENTS)
    engine.settle()
    engine.close()
    return given


def finish(servers: str, engine: RunningEngine, given: Given, *, exact: bool) -> None:
    engine.settle()
    assert engine.runtime.stats("CTAS_TOTALS_5").errors == 0
    check_states(engine, given)
    engine.close()  # what is on the topics now is committed
    check_topics(servers, given)
    if exact:
        check_exactly_once(servers, given)


def check_states(engine: RunningEngine, given: Given) -> None:
    assert {k: (n, t) for k, n, t, _ in engine.pull("SELECT * FROM totals;")} == given.aggregated(lambda k, v: k)
    assert {r: (n, t) for r, n, t in engine.pull("SELECT * FROM remainders;")} == given.aggregated(lambda k, v: v % 5)
    found = {(k, start): (n, t) for k, start, _, n, t in engine.pull("SELECT * FROM windows;")}
    assert found == given.aggregated(lambda k, v: (k, T0_MS + 100 * v // 10_000 * 10_000))


def check_topics(servers: str, given: Given) -> None:
    """The last value per key is right, and nothing is missing."""
    totals = {k.decode(): (v["N"], v["TOTAL"]) for k, v in table_of(servers, "totals").items()}
    assert totals == given.aggregated(lambda k, v: k)
    windows = {windowed(k): (v["N"], v["TOTAL"]) for k, v in table_of(servers, "windows").items()}
    assert windows == given.aggregated(lambda k, v: (k, T0_MS + 100 * v // 10_000 * 10_000))
    wanted = {(k, v) for k, v in given.records if v % 7 == 0}
    assert {((k or b"").decode(), orjson.loads(v or b"")["V"]) for k, v in consume(servers, "sevens")} == wanted


def check_exactly_once(servers: str, given: Given) -> None:
    """Each record has left its mark once, in order."""
    sevens: dict[str, list[int]] = defaultdict(list)
    for k, v in given.records:
        if v % 7 == 0:
            sevens[k].append(v)
    found: dict[str, list[int]] = defaultdict(list)
    for key, value in consume(servers, "sevens"):
        found[(key or b"").decode()].append(orjson.loads(value or b"")["V"])
    assert found == sevens
    counts = Counter(k for k, _ in given.records)
    emitted: dict[str, list[int]] = defaultdict(list)
    for key, value in consume(servers, "totals"):
        emitted[(key or b"").decode()].append(orjson.loads(value or b"")["N"])
    assert emitted == {k: list(range(1, n + 1)) for k, n in counts.items()}

"""The numbers of queries: from the place of their command, as in ksqlDB, and for good."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import Producer

from streamguard_ksql.runtime.names import command_topic
from tests.support.engine import SERVICE_ID, RunningEngine, create_topic

pytestmark = pytest.mark.integration
SOURCE = "CREATE STREAM s (k VARCHAR KEY, v BIGINT) WITH (KAFKA_TOPIC='given', VALUE_FORMAT='JSON');"
COUNT = "CREATE TABLE n AS SELECT k, COUNT(*) AS c FROM s GROUP BY k;"
COPY = "CREATE STREAM o AS SELECT * FROM s;"


@contextmanager
def running(servers: str) -> Iterator[RunningEngine]:
    engine = RunningEngine(servers)
    try:
        yield engine
    finally:
        engine.close()


def queries(engine: RunningEngine) -> list[str]:
    return sorted(engine.runtime.engine.queries)


def test_a_number_is_the_one_behind_the_place_and_stays(servers: str) -> None:
    create_topic(servers, "given", 1)
    with running(servers) as engine:
        places = [done.sequence_number for done in engine.sql(SOURCE + COUNT)]
        assert places == [0, 2]
        assert queries(engine) == ["CTAS_N_3"]
        engine.restart()
        assert queries(engine) == ["CTAS_N_3"]
        engine.sql("PAUSE CTAS_N_3;" + COPY)
        assert queries(engine) == ["CSAS_O_7", "CTAS_N_3"]


def test_the_queries_of_an_earlier_version_keep_their_numbers(servers: str) -> None:
    """It numbered them with the place itself, and wrote without transactions."""
    create_topic(servers, "given", 1)
    topic = command_topic(SERVICE_ID)
    create_topic(servers, topic, 1)
    producer = Producer({"bootstrap.servers": servers})
    for text in (SOURCE, COUNT):
        producer.produce(topic, json.dumps({"statement": text, "streamsProperties": {}}).encode())
    assert producer.flush(30) == 0
    with running(servers) as engine:
        assert queries(engine) == ["CTAS_N_1"]
        engine.sql(COPY)
        assert queries(engine) == ["CSAS_O_3", "CTAS_N_1"]
        engine.restart()
        assert queries(engine) == ["CSAS_O_3", "CTAS_N_1"]

"""The clock of this machine, against those that records, decisions and certificates are stamped with."""

from __future__ import annotations

from collections.abc import Iterator
from email.utils import parsedate_to_datetime

import requests
from kafka import TopicPartition
from kafka.admin import OffsetSpec
from sqlalchemy import text

from streamguard.stack.doctor.base import DATABASE, ENGINE, KAFKA, Finding, Surroundings, check

TOLERANCE_S = 5.0
"""Far more than synchronised clocks differ, and more than a busy machine takes to answer."""
_CURE = "let both set their clocks: `timedatectl set-ntp true`, or chrony"


@check("Clock of the database", DATABASE)
def of_database(around: Surroundings) -> Iterator[Finding]:
    """Rows are stamped by the database; limits on times are this machine's."""
    before_s = around.clock()
    there_s = float(around.database.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())
    yield from _differs((before_s + around.clock()) / 2 - there_s, "the database (DATABASE_URL)", TOLERANCE_S)


@check("Clock of the SQL engine", ENGINE)
def of_engine(around: Surroundings) -> Iterator[Finding]:
    """The header Date of HTTP, where the server sends one; it has whole seconds (RFC 9110, 6.6.1)."""
    with around.settings.ksqldb.session() as session:
        before_s = around.clock()
        try:
            date = session.get(f"{around.settings.ksqldb_url}/info", timeout=10).headers.get("Date")
            there_s = None if date is None else parsedate_to_datetime(date).timestamp()
        except (requests.RequestException, ValueError):
            return
    if there_s is not None:
        where = f"the SQL engine at {around.settings.ksqldb_url}"
        yield from _differs((before_s + around.clock()) / 2 - there_s, where, TOLERANCE_S + 1)


def _differs(ahead_s: float, whom: str, tolerance_s: float) -> Iterator[Finding]:
    if abs(ahead_s) > tolerance_s:
        way = "ahead of" if ahead_s > 0 else "behind"
        yield Finding(f"the clock of this machine is {abs(ahead_s):,.0f} s {way} that of {whom}", _CURE)


@check("Times of records", KAFKA)
def of_records(around: Surroundings) -> Iterator[Finding]:
    """Records of transactions with a time to come: windows of rules close before their time."""
    topic = around.settings.transactions_topic
    if topic not in around.kafka.list_topics():
        return
    [described] = around.kafka.describe_topics([topic])
    partitions = [TopicPartition(topic, one["partition_index"]) for one in described["partitions"]]
    found = around.kafka.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.MAX_TIMESTAMP))
    newest_s = max((one.timestamp for one in found.values()), default=-1) / 1_000
    ahead_s = newest_s - around.clock()
    if ahead_s > TOLERANCE_S:
        yield Finding(
            f"the topic {topic} has records {ahead_s:,.0f} s ahead of the clock of this machine",
            "set the clock of their sender, or of this machine: `timedatectl set-ntp true`",
        )

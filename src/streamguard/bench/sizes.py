"""What one transaction takes on the disk, measured on what is there: topics, and the tables and indexes of the database.

Bytes of all that is stored, alerts and decisions with it, divided by the transactions. What grows with them is told from what
does not: a compacted topic (the engine's tables and its state) has in the end a record of each account or window, and the
outbox is emptied all the time. Measure after a run that has more than some ten thousand transactions.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from sqlalchemy import Connection, text

from streamguard.config import UserError
from streamguard.database.rows import columns_of, select_as

RATES = (10, 100, 1_000)
"""Transactions a second of the table in the runbook."""


@dataclass(frozen=True)
class Relation:
    """A table without its indexes, or an index; the months of `transaction_records` are one."""

    name: str
    kind: str
    """table or index."""
    bytes: int
    scans: int | None
    """How often an index was used since the statistics began; None for a table."""


@dataclass(frozen=True)
class Topic:
    """A topic on the disk, all replicas together."""

    name: str
    bytes: int
    compacted: bool


@dataclass(frozen=True)
class Sizes:
    """What is there now."""

    transactions: int
    topics: list[Topic]
    relations: list[Relation]

    @property
    def topic_bytes(self) -> float:
        """Per transaction, in the topics that grow with them."""
        return sum(topic.bytes for topic in self.topics if not topic.compacted) / self.transactions

    @property
    def database_bytes(self) -> float:
        """Per transaction, in the tables that grow with them."""
        kept = (relation.bytes for relation in self.relations if relation.name not in _EMPTIED)
        return sum(kept) / self.transactions


_EMPTIED = ("outbox", "outbox_pkey")


_RELATIONS = f"""
WITH parts AS (
    SELECT c.oid, c.relkind, coalesce(i.inhparent, c.oid) AS owner
    FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
    WHERE c.relkind IN ('r', 'i') AND c.relnamespace = 'public'::regnamespace
)
SELECT {columns_of(Relation)} FROM (
    SELECT owner::regclass::TEXT AS name, CASE relkind WHEN 'r' THEN 'table' ELSE 'index' END AS kind,
        sum(CASE relkind WHEN 'r' THEN pg_table_size(parts.oid) ELSE pg_relation_size(parts.oid) END)::BIGINT AS bytes,
        sum(s.idx_scan)::BIGINT AS scans
    FROM parts LEFT JOIN pg_stat_user_indexes s ON s.indexrelid = parts.oid GROUP BY owner, relkind
) sizes WHERE bytes > 0 ORDER BY bytes DESC, name
"""


def measure(connection: Connection, kafka: KafkaAdminClient) -> Sizes:
    """The sizes as they are now. Raises UserError without transactions; errors of Kafka pass."""
    transactions = int(connection.execute(text("SELECT count(*) FROM transactions")).scalar_one())
    if not transactions:
        raise UserError("there is no transaction yet to measure: send some, such as `streamguard generate batch`")
    return Sizes(transactions, topics_of(kafka), select_as(connection, Relation, text(_RELATIONS)))


def topics_of(kafka: KafkaAdminClient) -> list[Topic]:
    """The topics with something in them, the largest first."""
    found: Counter[str] = Counter()
    for broker in kafka.describe_log_dirs():
        for folder in broker["log_dirs"]:
            for topic in folder["topics"]:
                found[topic["name"]] += sum(partition["partition_size"] for partition in topic["partitions"])
    asked = [ConfigResource(ConfigResourceType.TOPIC, name) for name in found]
    configs = kafka.describe_configs(asked, config_filter="all")["topic"] if asked else {}
    compacted = {name for name, config in configs.items() if "compact" in str(config["cleanup.policy"]["value"])}
    return [Topic(name, size, name in compacted) for name, size in found.most_common() if size]

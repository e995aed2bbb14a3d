"""What one transaction takes on the disk, measured on what is there: topics, and the tables and indexes of the database.

Bytes of all that is stored, alerts, decisions and the engine's state with them, divided by the transactions. Postgres keeps
free space in its files after a VACUUM, and the engine's changelogs are compacted now and then: measure after a run that has
more than some ten thousand transactions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kafka.admin import KafkaAdminClient
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
class Sizes:
    """Bytes by name."""

    transactions: int
    topics: Mapping[str, int]
    relations: list[Relation]

    @property
    def topic_bytes(self) -> float:
        """Per transaction."""
        return sum(self.topics.values()) / self.transactions

    @property
    def database_bytes(self) -> float:
        """Per transaction."""
        return sum(relation.bytes for relation in self.relations) / self.transactions


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
    return Sizes(transactions, topic_sizes(kafka), select_as(connection, Relation, text(_RELATIONS)))


def topic_sizes(kafka: KafkaAdminClient) -> dict[str, int]:
    """Bytes on disk of each topic, all replicas together; the largest first."""
    found: dict[str, int] = {}
    for broker in kafka.describe_log_dirs():
        for folder in broker["log_dirs"]:
            for topic in folder["topics"]:
                size = sum(partition["partition_size"] for partition in topic["partitions"])
                found[topic["name"]] = found.get(topic["name"], 0) + size
    return dict(sorted(found.items(), key=lambda item: -item[1]))

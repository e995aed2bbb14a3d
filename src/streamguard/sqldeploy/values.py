"""The rows that a table begins with: `NAME-values.sql` beside `NAME.sql`, sent until the table's topic has had them.

Later rows are the users' own: what they changed or removed is not set back by the next deploy.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kafka import TopicPartition
from kafka.admin import OffsetSpec

from streamguard.config import Settings
from streamguard.config.resources import values_file
from streamguard.kafka import clients
from streamguard.kafka.clients import kafka_errors
from streamguard.sqldeploy.script import DeployError
from streamguard.sqldeploy.state import Rejected, Server
from streamguard_ksql.ast import InsertValues
from streamguard_ksql.errors import KsqlError
from streamguard_ksql.parser import parse_statements


def insert_first_values(server: Server, settings: Settings, files: Sequence[Path]) -> list[Path]:
    """Insert the first rows of the tables of `files` where they are not there; returns the files of rows that were sent.

    Raises DeployError, KafkaUnavailable.
    """
    return [values for file in files if (values := values_file(file)) is not None and _insert(server, settings, values)]


def first_values(values: Path) -> list[InsertValues]:
    """The statements of a file of rows. Raises DeployError."""
    try:
        statements = parse_statements(values.read_text(encoding="utf-8"))
    except KsqlError as error:
        raise DeployError(f"{values}: {error.message}") from None
    inserts = [statement for statement in statements if isinstance(statement, InsertValues)]
    if len(inserts) != len(statements) or len({statement.target for statement in inserts}) != 1:
        raise DeployError(f"{values}: only INSERT INTO ... VALUES into one table is expected")
    return inserts


def _insert(server: Server, settings: Settings, values: Path) -> bool:
    inserts = first_values(values)
    try:
        [described] = server.execute(f"DESCRIBE `{inserts[0].target}`;")
        # Each row replaces what the table has for its key, so rows of a deploy that was cut short may be sent again.
        if _records_ever(settings, str(described["sourceDescription"]["topic"])) >= len(inserts):
            return False
        server.execute(values.read_text(encoding="utf-8"))
    except Rejected as error:
        raise DeployError(f"{values}: {error}") from None
    return True


def _records_ever(settings: Settings, topic: str) -> int:
    """How many records the topic has taken, those that compaction has removed included."""
    with kafka_errors():
        admin = clients.admin(settings.kafka)
        try:
            [found] = admin.describe_topics([topic])
            partitions = [TopicPartition(topic, partition["partition_index"]) for partition in found["partitions"]]
            ends = admin.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.LATEST))
        finally:
            admin.close()
    return sum(end.offset for end in ends.values())

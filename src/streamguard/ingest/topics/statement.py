"""The SQL file of a connected topic: the stream over it, and the query that writes into `transactions`.

The statements are those of ksqlDB 0.29. Sources: its manual's pages CREATE STREAM, INSERT INTO and scalar functions.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from streamguard.ingest.topics.amounts import AMOUNT
from streamguard.ingest.topics.answers import FIELDS, Answers
from streamguard.ingest.topics.columns import KEY, Columns
from streamguard.ingest.topics.envelopes import NEW, Envelope, envelope_of, is_new
from streamguard.ingest.topics.errors import UnusableTopic
from streamguard.ingest.topics.fields import Field, quoted, reference
from streamguard.ingest.topics.formats import JSON, NULL, objects_of
from streamguard.ingest.topics.sample import Sample

_PLAIN = re.compile(r"[A-Za-z_]\w*(->[A-Za-z_`]\w*`?)*|`[^`]+`(->[A-Za-z_`]\w*`?)*")
"""A column, or a member of one: declared with the type of an amount."""


@dataclass(frozen=True)
class Connection:
    """A topic that can be connected: the text of its file, and what was found, for a person."""

    topic: str
    sql: str
    found: str
    columns: dict[str, tuple[str, str]]
    """Each field of a transaction: its expression, and where it comes from."""


def connection_of(sample: Sample, answers: Answers, file: str = "FILE") -> Connection:
    """Make the SQL of a topic; `file` is the path that its first lines name. Raises UnusableTopic and OpenQuestion."""
    records, kinds = objects_of(sample)
    envelope = envelope_of([value for _, value in records])
    if envelope.operation:
        records = [(key, value) for key, value in records if is_new(envelope, value)]
        if not records:
            raise UnusableTopic(f"the topic {sample.topic} has only updates and deletions: no payment is new in them")
    root = _root([value for _, value in records], envelope)
    columns = Columns(sample.topic, root, envelope, answers, [key for key, _ in records])
    found = f"{len(sample.records):,} of {sample.total:,} records of the topic {sample.topic}: {envelope.name}"
    sql = _file(sample.topic, found + _others(kinds), columns, file)
    return Connection(sample.topic, sql, found + _others(kinds), columns.chosen)


def name_of(topic: str) -> str:
    """The topic's name as SQL can have it: of the stream, with `_source`, and of the query, with `connect_`."""
    return re.sub(r"\W", "_", topic.lower(), flags=re.ASCII)


def _root(objects: list[dict[str, Any]], envelope: Envelope) -> Field:
    """The tree of the fields; of an envelope only what leads to the payment, for its schema is repeated in each record."""
    root = Field(())
    for value in objects:
        root.add(value)
    wanted = [path for path in (envelope.path, envelope.operation) if path]
    for path in wanted:
        for depth in range(len(path)):
            level = root.at(path[:depth])
            if level is not None:
                kept = {other[depth] for other in wanted if other[:depth] == path[:depth] and len(other) > depth}
                level.members = {name: member for name, member in level.members.items() if name in kept}
    if envelope.operation and (operation := root.at(envelope.operation)):
        operation.declared = "VARCHAR"
    return root


def _others(kinds: Counter[str]) -> str:
    """What else is in the topic, which ksqlDB leaves out or cannot read."""
    others = [f"{count:,} {kind}" for kind, count in kinds.items() if kind not in (JSON, NULL)]
    nulls = f"; {kinds[NULL]:,} without a value" if kinds[NULL] else ""
    unread = f"; not read by ksqlDB, see its processing log: {', '.join(others)}" if others else ""
    return nulls + unread


def _file(topic: str, found: str, columns: Columns, file: str) -> str:
    name = name_of(topic)
    root = columns.root
    declared = [f"{KEY} VARCHAR KEY"] if columns.key_is_used else []
    declared += [f"{quoted(field.path[-1], root.members)} {kind}" for field, kind in root.columns()]
    listed = ",\n  ".join(declared)
    return f"""\
-- {found}.
-- Written by `streamguard connect {topic}`. Each guess is beside its line: change what is wrong, then run
-- `streamguard deploy {file}`.

CREATE STREAM {name}_source (
  {listed}
) WITH (KAFKA_TOPIC='{topic}', VALUE_FORMAT='JSON');

INSERT INTO transactions WITH (QUERY_ID='connect_{name}')
SELECT
{_select(columns)}
FROM {name}_source
{_where(columns)}PARTITION BY {columns.chosen["account_id"][0]}
EMIT CHANGES;
"""


def _select(columns: Columns) -> str:
    """The fields in the order of the stream `transactions`, which has the account first."""
    lines = []
    names = ["account_id", *(name for name in FIELDS if name != "account_id")]
    for name in names:
        sql, guess = columns.chosen[name]
        if name == "amount" and not _PLAIN.fullmatch(sql):
            sql = f"CAST({sql} AS {AMOUNT})"
        apart = "," if name != names[-1] else ""
        lines.append(f"  {sql} AS {name}{apart} -- {' '.join(guess.split())}")
    return "\n".join(lines)


def _where(columns: Columns) -> str:
    if not columns.envelope.operation:
        return ""
    operation = reference(columns.root, columns.envelope.operation)
    new = ", ".join(f"'{kind}'" for kind in NEW)
    return f"WHERE {operation} IN ({new}) -- rows inserted or read; an update or a deletion is no new payment\n"

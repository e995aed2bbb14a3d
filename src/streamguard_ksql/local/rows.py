"""Rows that one query writes and others of the same process read: handed over without becoming bytes in between.

That is done for a topic where each reader would read from the bytes what was written: JSON of types that come back as they
were, under the same names, and a key that is the same or is not read. What a listener gets is bytes.
"""

from __future__ import annotations

import decimal
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from streamguard_ksql.catalog import DataSource
from streamguard_ksql.codegen import Environment, list_of
from streamguard_ksql.hashing import partition_for
from streamguard_ksql.java import CONTEXT
from streamguard_ksql.local.topics import KNOWN_KEYS, LocalTopics
from streamguard_ksql.operators.record import Batch, InputRecord, Record
from streamguard_ksql.operators.sinks import gives_rows, serializers
from streamguard_ksql.operators.sources import Reader
from streamguard_ksql.types import Array, Decimal, SqlType

UNCHANGED = frozenset({"BOOLEAN", "INTEGER", "BIGINT", "DOUBLE", "DECIMAL", "STRING"})
"""Types whose values JSON gives back as they were."""


NO_BYTES = b"a row that was handed over"
"""In place of the value of a record whose row is known: whoever reads it all the same reports an error."""


class HandOver:
    """Makes batches of the rows that are written to the topic of a target, as its readers would read them."""

    def __init__(self, target: DataSource, readers: Sequence[Reader], topics: LocalTopics) -> None:
        self._target = target
        self._topics = topics
        self._readings = {reader.kind: _reading(target, reader) for reader in readers}
        write_key, _ = serializers(target)
        self._partition = lru_cache(KNOWN_KEYS)(lambda key, count: partition_for(write_key(key), count))

    def batch(self, records: list[Record]) -> Batch:
        """The records with partitions and offsets, and with what is read of them."""
        topic, ends = self._target.topic, self._topics.ends
        count = self._topics.partitions(topic) or 1
        offsets = [ends.get((topic, p), 0) for p in range(count)]
        new, found = tuple.__new__, []
        for r in records:
            partition = 0 if r.key is None or count == 1 else self._partition(r.key, count)
            place = (topic, partition, offsets[partition], None, NO_BYTES, r.time, r.headers)
            offsets[partition] += 1
            found.append(new(InputRecord, place))
        ends.update({(topic, p): end for p, end in enumerate(offsets) if end})
        batch = Batch(found)
        for kind, reading in self._readings.items():
            batch.know(kind, reading(records))
        return batch


def hands_over(target: DataSource, reader: Reader) -> bool:
    """Whether a reader would read the rows of a target from their bytes as they are."""
    source = reader.source
    if not gives_rows(target) or source.value_format != target.value_format or target.window is not None:
        return False
    if reader.has_key and (source.key_format, source.schema.key) != (target.key_format, target.schema.key):
        return False
    if source.window is not None or target.value_format.options.wrap is False:
        return False
    written = {c.name: c.type for c in target.schema.stored}
    return len({name.upper() for name in written}) == len(written) and all(
        _comes_back(c.type)
        and written.get(c.name, c.type) == c.type
        and (c.name in written or _is_new(c.name, written))
        for c in source.schema.stored
    )


def _is_new(name: str, written: dict[str, SqlType]) -> bool:
    return name.upper() not in {known.upper() for known in written}


def _comes_back(sql_type: SqlType) -> bool:
    return _comes_back(sql_type.item) if isinstance(sql_type, Array) else sql_type.base in UNCHANGED


def _reading(target: DataSource, reader: Reader) -> Callable[[list[Record]], list[tuple[Any, Any, None]]]:
    """Generated code: key, values and window that the reader makes of rows of the target."""
    env = Environment()
    names = [c.name for c in target.schema.stored]
    wanted = reader.source.schema.stored
    texts = [_column(f"v[{names.index(c.name)}]", c.type, env) if c.name in names else "None" for c in wanted]
    as_it_is = texts == [f"v[{i}]" for i in range(len(names))]
    values = "v" if as_it_is else f"None if v is None else {list_of(texts)}"
    each = f"({'r.key' if reader.has_key else 'None'}, {values}, None)"
    return env.function("hand_over", "records", f"[{each} for r in records for v in (r.value,)]")


def _column(text: str, sql_type: SqlType, env: Environment) -> str:
    """The code that makes of a written value the one that is read: a DECIMAL gets all the places of its type.

    GREATEST and LEAST give a literal as it is, with fewer.
    """
    if isinstance(sql_type, Decimal):
        quantum = env.bind(decimal.Decimal(1).scaleb(-sql_type.scale))
        return f"(None if {text} is None else {text}.quantize({quantum}, None, {env.bind(CONTEXT)}))"
    if isinstance(sql_type, Array) and (item := _column("x", sql_type.item, env)) != "x":
        return f"(None if {text} is None else [{item} for x in {text}])"
    return text

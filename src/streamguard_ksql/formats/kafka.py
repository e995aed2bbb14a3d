"""KAFKA: one column, written as Kafka's own serializers write it.

STRING as UTF-8, INTEGER as 4 and BIGINT as 8 bytes big-endian, DOUBLE as 8 bytes IEEE 754 big-endian, BYTES as they
are. Source: docs/reference/serialization.md, "Kafka".
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from streamguard_ksql.codegen import Expression
from streamguard_ksql.errors import SerializationError
from streamguard_ksql.formats.base import Deserializer, Format, FormatOptions, Serializer, register
from streamguard_ksql.schema import Column

_TEXT = Expression("({data}.decode('utf-8', 'replace'),)", "data")
PACKED = {"INTEGER": struct.Struct(">i"), "BIGINT": struct.Struct(">q"), "DOUBLE": struct.Struct(">d")}


@register
class KafkaFormat(Format):
    name = "KAFKA"
    supported_types = frozenset({"INTEGER", "BIGINT", "DOUBLE", "STRING", "BYTES"})
    supports_multiple_columns = False

    def serializer(self, columns: Sequence[Column], options: FormatOptions, *, key: bool) -> Serializer:
        if not columns:
            return lambda row: None
        base = columns[0].type.base
        if base == "STRING":
            return lambda row: None if row[0] is None else row[0].encode("utf-8", "replace")
        if base == "BYTES":
            return lambda row: row[0]
        pack = PACKED[base].pack
        return lambda row: None if row[0] is None else pack(row[0])

    def deserializer(self, columns: Sequence[Column], options: FormatOptions, *, key: bool) -> Deserializer:
        if not columns:
            return lambda data: ()
        base = columns[0].type.base
        if base == "STRING":
            return _TEXT
        if base == "BYTES":
            return lambda data: (data,)
        packed = PACKED[base]

        def read(data: bytes) -> tuple[Any]:
            if len(data) != packed.size:
                raise SerializationError(
                    f"Size of data received by {base} deserializer is not {packed.size}: {len(data)}"
                )
            return packed.unpack(data)

        return read

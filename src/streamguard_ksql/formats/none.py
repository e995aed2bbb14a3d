"""NONE: nothing is written, nothing is read; for topics whose records have no key."""

from __future__ import annotations

from collections.abc import Sequence

from streamguard_ksql.errors import KsqlError
from streamguard_ksql.formats.base import Deserializer, Format, FormatOptions, Serializer, register
from streamguard_ksql.schema import Column, columns_text


@register
class NoneFormat(Format):
    name = "NONE"

    def check(self, columns: Sequence[Column], options: FormatOptions, *, key: bool) -> None:
        if columns:
            listed = columns_text(columns, key=key)
            raise KsqlError(f"The 'NONE' format can only be used when no columns are defined. Got: {listed}")

    def serializer(self, columns: Sequence[Column], options: FormatOptions, *, key: bool) -> Serializer:
        return lambda row: None

    def deserializer(self, columns: Sequence[Column], options: FormatOptions, *, key: bool) -> Deserializer:
        return lambda data: ()

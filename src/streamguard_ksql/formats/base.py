"""What a serialization format is, and the registry of them: one file per format, registering itself.

A format turns the columns of a key or of a value into bytes and back. A row is a sequence of SQL values in the order
of the columns (see `streamguard_ksql.types` for the Python values).

Source: docs/reference/serialization.md of the ksqlDB manual.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from streamguard_ksql.errors import KsqlError
from streamguard_ksql.schema import Column, columns_text

Serializer = Callable[[Sequence[Any]], bytes | None]
Deserializer = Callable[[bytes], Sequence[Any] | None]


@dataclass(frozen=True)
class FormatOptions:
    """Per topic settings: `delimiter` of DELIMITED, `wrap` of single values (JSON); None where not given."""

    delimiter: str | None = None
    wrap: bool | None = None


class Format:
    """A serialization format. Subclasses say what they support and build the two directions for given columns."""

    name: str = ""
    supported_types: frozenset[str] = frozenset()
    supports_multiple_columns = True
    supports_unwrapping = False
    supports_delimiter = False

    def check(self, columns: Sequence[Column], options: FormatOptions, *, key: bool) -> None:
        """Raise KsqlError, worded as in ksqlDB, when these columns cannot be written in this format."""
        if not self.supports_multiple_columns and len(columns) > 1:
            listed = columns_text(columns, key=key)
            raise KsqlError(f"The '{self.name}' format only supports a single field. Got: {listed}")
        for column in columns:
            self._check_type(column)

    def _check_type(self, column: Column) -> None:
        if column.type.base not in self.supported_types:
            raise KsqlError(
                f"The '{self.name}' format does not support type '{column.type.base}', column: `{column.name}`"
            )

    def serializer(self, columns: Sequence[Column], options: FormatOptions, *, key: bool) -> Serializer:
        raise TypeError(f"{self.name} does not write")

    def deserializer(self, columns: Sequence[Column], options: FormatOptions, *, key: bool) -> Deserializer:
        raise TypeError(f"{self.name} does not read")


FORMATS: dict[str, Format] = {}


def register(format_class: type[Format]) -> type[Format]:
    """Class decorator: make a format known by its name."""
    instance = format_class()
    if instance.name in FORMATS:
        raise ValueError(f"format {instance.name} is registered twice")
    FORMATS[instance.name] = instance
    return format_class


def find_format(name: str) -> Format:
    """The format of that name; KsqlError for an unknown one."""
    found = FORMATS.get(name.upper())
    if found is None:
        raise KsqlError(f"Unknown format: {name.upper()}")
    return found

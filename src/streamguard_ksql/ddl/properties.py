"""WITH (...): the properties of sources and queries, checked and typed.

Source: docs/developer-guide/ksqldb-reference/create-stream.md, create-table.md, create-stream-as-select.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from streamguard_ksql.ast import UNIT_MS
from streamguard_ksql.catalog import TopicFormat, WindowInfo
from streamguard_ksql.datetime_patterns import compile_pattern
from streamguard_ksql.errors import EvaluationError, KsqlError
from streamguard_ksql.formats import FormatOptions, find_format
from streamguard_ksql.formats.delimited import delimiter_of
from streamguard_ksql.refusals import preparing

COMMON = frozenset(
    {
        "KAFKA_TOPIC",
        "VALUE_FORMAT",
        "KEY_FORMAT",
        "FORMAT",
        "PARTITIONS",
        "REPLICAS",
        "RETENTION_MS",
        "CLEANUP_POLICY",
        "VALUE_DELIMITER",
        "KEY_DELIMITER",
        "TIMESTAMP",
        "TIMESTAMP_FORMAT",
        "WRAP_SINGLE_VALUE",
    }
)
SOURCE_ONLY = frozenset({"WINDOW_TYPE", "WINDOW_SIZE", "SOURCED_BY_CONNECTOR"})
REGISTRY = frozenset(
    {
        "KEY_SCHEMA_ID",
        "VALUE_SCHEMA_ID",
        "KEY_SCHEMA_FULL_NAME",
        "VALUE_SCHEMA_FULL_NAME",
        "VALUE_AVRO_SCHEMA_FULL_NAME",
        "KEY_PROTOBUF_NULLABLE_REPRESENTATION",
        "VALUE_PROTOBUF_NULLABLE_REPRESENTATION",
    }
)
NUMBERS = {"PARTITIONS": "INT", "REPLICAS": "SHORT", "RETENTION_MS": "LONG"}
WINDOW_TYPES = ("SESSION", "HOPPING", "TUMBLING")
DEFAULT_KEY_FORMAT, DEFAULT_VALUE_FORMAT = (
    "ksql.persistence.default.format.key",
    "ksql.persistence.default.format.value",
)


@dataclass(frozen=True)
class SourceProperties:
    """The WITH clause of a statement, over the session's configuration."""

    given: Mapping[str, Any]
    config: Mapping[str, Any]

    def get(self, name: str) -> Any:
        return self.given.get(name)

    def text(self, name: str) -> str | None:
        value = self.given.get(name)
        return None if value is None else str(value)

    def number(self, name: str) -> int | None:
        """An integer property; KsqlError for anything else."""
        value = self.given.get(name)
        if value is None:
            return None
        try:
            return int(str(value))
        except ValueError:
            kind = NUMBERS[name]
            raise preparing(f"Invalid value {value} for property {name}: Not a number of type {kind}") from None

    def check_numbers(self) -> None:
        """KsqlError for a number of partitions or replicas, or a retention, that is none."""
        for name in NUMBERS:
            self.number(name)

    def timestamp_format(self) -> str | None:
        """TIMESTAMP_FORMAT, a pattern of Java's DateTimeFormatter; KsqlError for one that cannot be."""
        pattern = self.text("TIMESTAMP_FORMAT")
        try:
            if pattern is not None:
                compile_pattern(pattern)
        except EvaluationError as error:
            raise preparing(f"Invalid datetime format for config:TIMESTAMP_FORMAT, reason:{error}") from None
        return pattern

    # --- formats ------------------------------------------------------------------------------------------------------

    @property
    def names_key_format(self) -> bool:
        return "KEY_FORMAT" in self.given or "FORMAT" in self.given

    def format_name(self, which: str) -> str | None:
        """KEY_FORMAT or VALUE_FORMAT, or the FORMAT that sets both, in upper case; None where not given."""
        specific, both = self.text(f"{which}_FORMAT"), self.text("FORMAT")
        if both is not None:
            if self.given.get("KEY_FORMAT") is not None or self.given.get("VALUE_FORMAT") is not None:
                other = "KEY_FORMAT" if "KEY_FORMAT" in self.given else "VALUE_FORMAT"
                raise KsqlError(
                    f"Cannot supply both '{other}' and 'FORMAT' properties, as 'FORMAT' sets both key and value formats."
                )
            specific = both
        return None if specific is None else specific.upper()

    def key_format(self, default: TopicFormat | None = None) -> TopicFormat:
        name = self.format_name("KEY")
        if name is None and default is not None:
            name, options = default.name, default.options
            if self.text("KEY_DELIMITER") is None:
                return TopicFormat(name, FormatOptions(options.delimiter))
        name = name or str(self.config.get(DEFAULT_KEY_FORMAT) or "KAFKA").upper()
        return self._checked(name, FormatOptions(self.text("KEY_DELIMITER")))

    def value_format(self, columns: int, default: TopicFormat | None = None) -> TopicFormat:
        """The value format with its delimiter and wrapping; `columns` is the number of value columns."""
        name = self.format_name("VALUE")
        delimiter = self.text("VALUE_DELIMITER")
        if name is None and default is not None:
            name = default.name
            delimiter = delimiter or default.options.delimiter
        if name is None:
            name = self.config.get(DEFAULT_VALUE_FORMAT)
        if name is None:
            raise KsqlError(
                "Statement is missing the 'VALUE_FORMAT' property from the WITH clause. Either provide one or set a "
                "default via the 'ksql.persistence.default.format.value' config."
            )
        name = str(name).upper()
        return self._checked(name, FormatOptions(delimiter, self._wrap(name, columns)))

    def _wrap(self, name: str, columns: int) -> bool | None:
        given = self.get("WRAP_SINGLE_VALUE")
        unwrapping = find_format(name).supports_unwrapping
        if given is not None:
            wrap = str(given).lower() == "true"
            if columns != 1:
                raise KsqlError("'WRAP_SINGLE_VALUE' is only valid for single-field value schemas")
            wraps = name == "PROTOBUF_NOSR"  # always: a message is the only value that it has
            if not unwrapping and name != "NONE" and (wrap != wraps or name == "DELIMITED"):
                state = "true" if wrap else "false"
                raise KsqlError(f"Format '{name}' does not support 'WRAP_SINGLE_VALUE' set to '{state}'.")
            return wrap
        if columns != 1 or not unwrapping:
            return None
        configured = self.config.get("ksql.persistence.wrap.single.values")
        return None if configured is None else str(configured).lower() == "true"

    def _checked(self, name: str, options: FormatOptions) -> TopicFormat:
        found = find_format(name)
        if options.delimiter is not None:
            if not found.supports_delimiter:
                raise KsqlError(f"{name} does not support the following configs: [delimiter]")
            try:
                delimiter_of(options)
            except KsqlError as error:
                raise _invalid("VALUE_DELIMITER", error.message) from None
        return TopicFormat(name, options)

    # --- windows ------------------------------------------------------------------------------------------------------

    def window(self) -> WindowInfo | None:
        """WINDOW_TYPE with WINDOW_SIZE, None for a source without windows."""
        kind, size = self.text("WINDOW_TYPE"), self.text("WINDOW_SIZE")
        if kind is None:
            return None
        kind = kind.upper()
        if kind not in WINDOW_TYPES:
            raise _invalid(
                "WINDOW_TYPE",
                f"Invalid value {kind} for configuration WINDOW_TYPE: String must be one of: {', '.join(WINDOW_TYPES)}, null",
            )
        if kind == "SESSION":
            if size is not None:
                raise preparing("'WINDOW_SIZE' should not be set for SESSION windows.")
            return WindowInfo(kind)
        if size is None:
            raise KsqlError(
                f"{kind} windows require 'WINDOW_SIZE' to be provided in the WITH clause. For example: 'WINDOW_SIZE'='10 SECONDS'"
            )
        return WindowInfo(kind, duration_ms(size))


def check_names(given: Mapping[str, Any], allowed: frozenset[str]) -> None:
    """Refuse properties that a statement does not have; those of a schema registry are refused by name."""
    unknown = [n for n in given if n not in allowed]
    registry = [n for n in unknown if n in REGISTRY]
    if registry:
        raise KsqlError(f"{registry[0]} needs a Schema Registry, which is not configured.")
    if unknown:
        raise preparing(f"Invalid config variable(s) in the WITH clause: {', '.join(unknown)}")


def duration_ms(text: str) -> int:
    """`30 SECONDS` in milliseconds; KsqlError for what is no duration."""
    parts = text.split()
    if len(parts) != 2 or not parts[0].isdigit():
        raise _invalid("WINDOW_SIZE", f"Invalid duration: '{text}'. Expected format: <value> <unit>, e.g. 10 SECONDS")
    unit = parts[1].upper()
    plural = unit if unit.endswith("S") else f"{unit}S"
    if plural not in UNIT_MS:
        raise _invalid("WINDOW_SIZE", f"Invalid duration: '{text}'. Unknown time unit: '{unit}'")
    return int(parts[0]) * UNIT_MS[plural]


def _invalid(name: str, why: str) -> KsqlError:
    return preparing(f"Configuration {name} is invalid: {why}")

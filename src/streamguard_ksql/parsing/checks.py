"""What ksqlDB's parser refuses beyond grammar."""

from __future__ import annotations

from collections.abc import Iterable

from streamguard_ksql.ast import UNIT_MS, ColumnDef, Properties
from streamguard_ksql.errors import SqlSyntaxError
from streamguard_ksql.parsing.build_expressions import plural

_WHY_TWO_KEYS = (
    "\nTables have PRIMARY KEYs, which are unique and NON NULL."
    "\nStreams have KEYs, which have no uniqueness or NON NULL constraints."
)


def check_source(kind: str, columns: Iterable[ColumnDef], properties: Properties) -> None:
    """Streams have KEYs, tables PRIMARY KEYs; a window's size goes with its type."""
    wrong, right, where = ("PRIMARY KEY", "KEY", "streams") if kind == "STREAM" else ("KEY", "PRIMARY KEY", "tables")
    for column in columns:
        if column.constraint == wrong:
            at = f"Line: {column.location.line}, Col: {column.location.column}: " if column.location else ""
            raise SqlSyntaxError(
                f"{at}Column `{column.name}` is a '{wrong}' column: please use '{right}' for {where}.{_WHY_TWO_KEYS}"
            )
    _check_window(properties)


def _check_window(properties: Properties) -> None:
    size = properties.get("WINDOW_SIZE")
    if size is None:
        return
    if str(properties.get("WINDOW_TYPE", "")).upper() == "SESSION":
        raise SqlSyntaxError("Failed to prepare statement: 'WINDOW_SIZE' should not be set for SESSION windows.")
    check_duration("WINDOW_SIZE", str(size))


def check_duration(name: str, text: str) -> None:
    """Refuse a duration property that is not `<number> <unit>`."""
    parts = text.split()
    start = f"Failed to prepare statement: Configuration {name} is invalid: Invalid duration: '{text}'. "
    if len(parts) != 2:
        raise SqlSyntaxError(f"{start}Expected format: <Size> <Unit>")
    if not parts[0].isdigit():
        raise SqlSyntaxError(f"{start}Size must be a number: '{parts[0]}'")
    if plural(parts[1].upper()) not in UNIT_MS:
        raise SqlSyntaxError(f"{start}Unknown time unit: '{parts[1].upper()}'")

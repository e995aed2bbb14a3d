"""ksqlDB's SQL types, and their Python values.

| SQL type                      | Python value                                    |
|-------------------------------|-------------------------------------------------|
| BOOLEAN                       | bool                                            |
| INTEGER, BIGINT               | int, in the range of Java's int and long        |
| DOUBLE                        | float                                           |
| DECIMAL(p, s)                 | decimal.Decimal, quantised to s places          |
| STRING (VARCHAR)              | str                                             |
| BYTES                         | bytes                                           |
| DATE                          | int, days since 1970-01-01                      |
| TIME                          | int, milliseconds of the day                    |
| TIMESTAMP                     | int, milliseconds since 1970-01-01T00:00Z       |
| ARRAY<T>                      | list                                            |
| MAP<K, V>                     | dict                                            |
| STRUCT<F T, ...>              | dict by field name, every field present         |

NULL is None everywhere. Types are static, so a bare int is enough for dates and times.
Source: docs/reference/sql/data-types.md of the ksqlDB manual.
"""

from __future__ import annotations

from dataclasses import dataclass

INT_MIN, INT_MAX = -(2**31), 2**31 - 1
BIGINT_MIN, BIGINT_MAX = -(2**63), 2**63 - 1


@dataclass(frozen=True)
class SqlType:
    """Base of all SQL types; `str()` gives the SQL text, as ksqlDB prints it."""

    @property
    def base(self) -> str:
        """The name without parameters: STRING, DECIMAL, ARRAY, ..."""
        raise TypeError(f"{type(self).__name__} has no base name")

    def __str__(self) -> str:
        return self.base


@dataclass(frozen=True)
class Primitive(SqlType):
    name: str

    @property
    def base(self) -> str:
        return self.name

    def __str__(self) -> str:
        return self.name


BOOLEAN = Primitive("BOOLEAN")
INTEGER = Primitive("INTEGER")
BIGINT = Primitive("BIGINT")
DOUBLE = Primitive("DOUBLE")
STRING = Primitive("STRING")
BYTES = Primitive("BYTES")
DATE = Primitive("DATE")
TIME = Primitive("TIME")
TIMESTAMP = Primitive("TIMESTAMP")


@dataclass(frozen=True)
class Decimal(SqlType):
    precision: int
    scale: int

    @property
    def base(self) -> str:
        return "DECIMAL"

    def __str__(self) -> str:
        return f"DECIMAL({self.precision}, {self.scale})"


@dataclass(frozen=True)
class Array(SqlType):
    item: SqlType

    @property
    def base(self) -> str:
        return "ARRAY"

    def __str__(self) -> str:
        return f"ARRAY<{self.item}>"


@dataclass(frozen=True)
class Map(SqlType):
    key: SqlType
    value: SqlType

    @property
    def base(self) -> str:
        return "MAP"

    def __str__(self) -> str:
        return f"MAP<{self.key}, {self.value}>"


@dataclass(frozen=True)
class Struct(SqlType):
    fields: tuple[tuple[str, SqlType], ...]

    @property
    def base(self) -> str:
        return "STRUCT"

    @property
    def repeated(self) -> tuple[str, SqlType, SqlType] | None:
        """The first name that two fields have, with the types of both; None if all names differ."""
        seen: dict[str, SqlType] = {}
        for name, sql_type in self.fields:
            if name in seen:
                return name, seen[name], sql_type
            seen[name] = sql_type
        return None

    def field(self, name: str) -> SqlType | None:
        """The type of a field, or None if there is none of that name (names are exact)."""
        return next((t for n, t in self.fields if n == name), None)

    def __str__(self) -> str:
        return f"STRUCT<{', '.join(f'{quote_if_needed(n)} {t}' for n, t in self.fields)}>"


@dataclass(frozen=True)
class Named(SqlType):
    """A reference to a custom type (CREATE TYPE), before the analysis replaces it."""

    name: str

    @property
    def base(self) -> str:
        return self.name


PRIMITIVES: dict[str, Primitive] = {
    "BOOLEAN": BOOLEAN,
    "INT": INTEGER,
    "INTEGER": INTEGER,
    "BIGINT": BIGINT,
    "DOUBLE": DOUBLE,
    "STRING": STRING,
    "VARCHAR": STRING,
    "BYTES": BYTES,
    "DATE": DATE,
    "TIME": TIME,
    "TIMESTAMP": TIMESTAMP,
}

NUMERIC_ORDER = ("INTEGER", "BIGINT", "DECIMAL", "DOUBLE")


def is_numeric(sql_type: SqlType | None) -> bool:
    """INTEGER, BIGINT, DECIMAL and DOUBLE."""
    return sql_type is not None and sql_type.base in NUMERIC_ORDER


def as_decimal(sql_type: SqlType) -> Decimal:
    """The decimal with room for every value of an INTEGER (10, 0), BIGINT (19, 0) or DECIMAL; TypeError for others."""
    if isinstance(sql_type, Decimal):
        return sql_type
    if sql_type == INTEGER:
        return Decimal(10, 0)
    if sql_type == BIGINT:
        return Decimal(19, 0)
    raise TypeError(f"{sql_type} is not a decimal")


def quote_if_needed(name: str) -> str:
    """An identifier as ksqlDB prints it: in backticks where it is not plain upper case."""
    plain = name[:1].isalpha() and name == name.upper() and all(c.isalnum() or c in "_@" for c in name)
    return name if plain else f"`{name}`"

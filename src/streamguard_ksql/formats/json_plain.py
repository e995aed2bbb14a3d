"""JSON objects whose columns are plain scalars, decoded and checked in C by msgspec.

The decoder knows the field names that it has met so far, and takes only what needs no conversion. Whatever it refuses
(another name, a value of another type, no JSON at all) is read on the slow path; if its names were new, the decoder is
made again with them.
So what it takes is what the slow path would give, in a third of the time. Of a DECIMAL the decoder gives whatever JSON has
there, a fraction as a Decimal of its text: without a detour over a double.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated, Any

import msgspec

from streamguard_ksql.codegen import Environment
from streamguard_ksql.errors import ROW_ERRORS, SerializationError
from streamguard_ksql.schema import Column
from streamguard_ksql.types import BIGINT_MAX, BIGINT_MIN, INT_MAX, INT_MIN

_TYPES: dict[str, Any] = {
    "STRING": str | None,
    "DOUBLE": float | None,
    "BOOLEAN": bool | None,
    # What is beyond the range wraps, as in Java: on the slow path.
    "INTEGER": Annotated[int, msgspec.Meta(ge=INT_MIN, le=INT_MAX)] | None,
    "BIGINT": Annotated[int, msgspec.Meta(ge=BIGINT_MIN, le=BIGINT_MAX)] | None,
    "DECIMAL": Any,
}
"""The JSON values that are SQL values already, by SQL type; DECIMAL's are converted, see `DecimalValue`."""
MOST_SHAPES = 100
"""How often a decoder is made again; records whose names go on changing are read on the slow path after that."""


def are_plain(columns: Sequence[Column]) -> bool:
    """Whether this way of reading is for these columns: a field must not be that of two."""
    names = {c.name.upper() for c in columns}
    return 1 < len(columns) == len(names) and all(c.type.base in _TYPES for c in columns)


REFUSED = (msgspec.DecodeError, ValueError, SerializationError, *ROW_ERRORS)
"""What `PlainObjects.decode` raises for a record that has to be read on the slow path."""


class NeedsExact(Exception):
    """A fraction goes into a STRING, which shows all its digits: the record has to be read exactly."""


@dataclass(frozen=True)
class DecimalValue:
    """How what JSON has becomes a DECIMAL: a fraction by `quantize`, which raises where it does not fit, and anything else
    by `other`."""

    quantize: Callable[[Decimal, Decimal], Decimal]
    quantum: Decimal
    zero: Decimal
    """Java's decimals have no negative one."""
    other: Callable[[Any], Decimal | None]


class PlainObjects:
    """Reads JSON objects. `load` parses any JSON; `slow` makes the row of what was parsed.

    `decimals` has, by position, the DECIMALs; the slow path is taken where one raises.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        load: Callable[[bytes], Any],
        slow: Callable[[Any], Sequence[Any] | None],
        decimals: Mapping[int, DecimalValue] = MappingProxyType({}),
    ) -> None:
        self._columns = columns
        self._decimals = decimals
        self._load = load
        self._slow = slow
        self.exactly: Callable[[bytes], Sequence[Any] | None] = load
        """What reads a record with all digits of its numbers, where `slow` asks for that."""
        self._known: set[str] = set()
        """The field names of all the shapes, and those that each shape has."""
        self._always: set[str] = set()
        self._shapes = 0
        self.decode: Callable[[bytes], Sequence[Any]] = self._no_shape
        """Reads a record of a shape that is known: `read` without its slow path, which may replace it."""

    @staticmethod
    def _no_shape(data: bytes) -> Sequence[Any]:
        raise msgspec.DecodeError

    def read(self, data: bytes) -> Sequence[Any] | None:
        """The columns' values, None for a JSON null. Raises SerializationError where the record cannot be read."""
        try:
            return self.decode(data)
        except REFUSED:
            parsed = self._load(data)
            try:
                row = self._slow(parsed)
            except NeedsExact:
                return self.exactly(data)
            if type(parsed) is dict and self._shapes < MOST_SHAPES:
                self._add_shape(set(parsed))
            return row

    def _add_shape(self, names: set[str]) -> None:
        known, always = self._known | names, self._always & names if self._known else names
        if known == self._known and always == self._always:
            return
        if not _is_clear(self._columns, known, always):
            known = always = names
        self._shapes += 1
        clear = _is_clear(self._columns, known, always)
        try:
            self.decode = _decoder(self._columns, known, always, self._decimals) if clear else self._no_shape
        except ValueError:
            # A name that msgspec does not take, with a quotation mark or a line break in it: such a shape is not added.
            return
        self._known, self._always = known, always


def _is_clear(columns: Sequence[Column], known: set[str], always: set[str]) -> bool:
    """Whether it is the same field for every record that fills a column: its own name, or the only one spelt like it."""
    spellings: dict[str, int] = {}
    for name in known:
        spellings[name.upper()] = spellings.get(name.upper(), 0) + 1
    return all(c.name in always or spellings.get(c.name.upper(), 0) <= 1 for c in columns)


def _decoder(
    columns: Sequence[Column], known: set[str], always: set[str], decimals: Mapping[int, DecimalValue]
) -> Callable[[bytes], Sequence[Any]]:
    """What decodes a record with `known` fields at most, and `always` at least, to the columns' values."""
    upper = {name.upper(): name for name in known}
    fields: list[tuple[Any, ...]] = []
    spelt: dict[str, str] = {}
    for i, column in enumerate(columns):
        field = column.name if column.name in known else upper.get(column.name.upper(), column.name)
        spelt[f"c{i}"] = field
        kind = _TYPES[column.type.base]
        fields.append((f"c{i}", kind) if field in always else (f"c{i}", kind, None))
    for i, name in enumerate(sorted(known - set(spelt.values()))):
        spelt[f"x{i}"] = name
        fields.append((f"x{i}", Any, None))
    struct = msgspec.defstruct("Row", fields, rename=spelt, kw_only=True, forbid_unknown_fields=True, gc=False)
    env = Environment()
    body = [f"r = {env.call(msgspec.json.Decoder(struct, float_hook=Decimal).decode, 'data')}"]
    values = [f"r.c{i}" for i in range(len(columns))]
    for i, one in decimals.items():
        number = f"{env.call(one.quantize, f'd{i}', env.bind(one.quantum))} or {env.bind(one.zero)}"
        values[i] = f"d{i}"
        body += [
            f"d{i} = r.c{i}",
            f"d{i} = {number} if d{i}.__class__ is {env.bind(Decimal)} else {env.call(one.other, f'd{i}')}",
        ]
    for i, column in enumerate(columns):
        if column.type.base == "DOUBLE":
            # ksqlDB reads numbers as BigDecimal, which has no negative zero.
            body.append(f"if not r.c{i} and r.c{i} is not None: r.c{i} = 0.0")
    return env.define("read_plain", "data", [*body, f"return ({', '.join(values)},)"])

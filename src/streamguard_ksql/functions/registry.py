"""The registry of SQL functions: a function is one decorated Python function, and being registered is being there.

A signature is written as ksqlDB prints it, and read once, at import:

    @scalar("ARRAY_LENGTH", "(array ARRAY<T>) -> INT", category="ARRAY", description="The number of elements.")
    def array_length(array: list[Any]) -> int:
        return len(array)

The words of a signature are described in `signature`; which variant a call means is decided in `resolve`.

NULL is dealt with here, not in the bodies: with `nulls="any"` (the default) a NULL argument makes the result NULL and
the body is not called; with `nulls="pass"` the body gets None.

A body that needs the static types of its arguments (to render a DATE, to compute a DECIMAL's scale), the settings
(`ksql.functions.NAME.*`) or prepares something once (compiles a regex) is registered with `bind=True`: it is
called once per call site with a `CallSite` and gives back the function to run per row.

A body raises EvaluationError (or an ArithmeticError) when the row has no result: the column becomes NULL and the
processing log says why. Any other error is a fault of the engine and ends the query.

Source: docs/developer-guide/ksqldb-reference/scalar-functions.md, aggregate-functions.md and table-functions.md of the
ksqlDB manual; signatures as its server lists them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from streamguard_ksql.functions.signature import Signature, parse_signature
from streamguard_ksql.types import SqlType

Body = TypeVar("Body", bound=Callable[..., Any])
AggregateClass = TypeVar("AggregateClass", bound="type[Aggregate]")
ReturnRule = Callable[[Sequence[SqlType | None], Mapping[int, Any]], SqlType | None]
"""The type of a result from the argument types and the constant arguments by position."""


CLOCK = "streamguard.clock"
"""The setting that has the clock of a query's functions, a function without arguments, where it is not the machine's."""


def wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class CallSite:
    """Where a function is called: the static types of its arguments, its literal arguments, and the settings.

    `types[i]` is None for an untyped NULL and for lambdas; `literals` has the value of each argument that is a
    constant, by position; `config` has the session's and the server's properties by full name; `now_ms` is the clock.
    """

    types: tuple[SqlType | None, ...]
    returns: SqlType | None
    literals: Mapping[int, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    now_ms: Callable[[], int] = wall_clock_ms
    owns_values: bool = False
    """Whether the arguments are this query's own: a function may change them as ksqlDB's does."""
    merges: bool = True
    """Whether states of the aggregate may be merged, as those of sessions are."""


@dataclass(frozen=True)
class Variant:
    """One signature with its body. `returns_rule`, if given, computes the type where words cannot (DECIMAL).

    Of an aggregate's parameters the last `constants` have to be literals; they reach it through `CallSite.literals`
    under their position, the others are the columns it gets row by row.
    """

    signature: Signature
    body: Callable[..., Any]
    nulls: str = "any"
    bind: bool = False
    returns_rule: ReturnRule | None = None
    constants: int = 0


@dataclass
class Function:
    """All variants under one name. kind is SCALAR, AGGREGATE or TABLE."""

    name: str
    kind: str
    category: str
    description: str
    variants: list[Variant] = field(default_factory=list)


class Aggregate(Protocol):
    """An aggregate over the rows of one group (a UDAF). One instance serves all groups: state is passed in and out.

    States must survive a trip through MessagePack: None, bool, int, float, str, bytes, Decimal, and lists and
    str-keyed or int-keyed dicts of these. `add` may change a mutable state in place, and must give it back.
    A NULL argument is passed to `add` as None. With several column arguments (CORRELATION, TOPK with columns)
    `value` is a list of them; COUNT(*) gets any value that is not None.
    """

    def __init__(self, site: CallSite) -> None: ...

    def initial(self) -> Any:
        """The state of an empty group."""

    def add(self, state: Any, value: Any) -> Any:
        """The state after one more row."""

    def merge(self, left: Any, right: Any) -> Any:
        """The state of two groups together (session windows that meet); left is the earlier."""

    def result(self, state: Any) -> Any:
        """The SQL value of a state."""


class TableAggregate(Aggregate, Protocol):
    """An aggregate that can also take a row back: only these may run over a table (a changelog)."""

    def undo(self, state: Any, value: Any) -> Any:
        """The state after one row less."""


FUNCTIONS: dict[str, Function] = {}


def scalar(
    name: str,
    *signatures: str,
    category: str,
    description: str = "",
    nulls: str = "any",
    bind: bool = False,
    returns: ReturnRule | None = None,
) -> Callable[[Body], Body]:
    """Register a scalar function under one or more signatures; call it again with the same name for other bodies."""

    def register(body: Body) -> Body:
        for text in signatures:
            _add(name, "SCALAR", category, description, Variant(parse_signature(text), body, nulls, bind, returns))
        return body

    return register


def table_function(name: str, *signatures: str, description: str = "", bind: bool = False) -> Callable[[Body], Body]:
    """Register a table function: the body takes the arguments (None for NULL) and gives back a list of rows' values."""

    def register(body: Body) -> Body:
        for text in signatures:
            _add(name, "TABLE", "TABLE", description, Variant(parse_signature(text), body, "pass", bind))
        return body

    return register


def aggregate(
    name: str, *signatures: str, description: str = "", returns: ReturnRule | None = None, constants: int = 0
) -> Callable[[AggregateClass], AggregateClass]:
    """Register an aggregate class (see `Aggregate`), whose last `constants` arguments are literals."""

    def register(body: AggregateClass) -> AggregateClass:
        for text in signatures:
            variant = Variant(parse_signature(text), body, "pass", True, returns, constants)
            _add(name, "AGGREGATE", "AGGREGATE", description, variant)
        return body

    return register


def _add(name: str, kind: str, category: str, description: str, variant: Variant) -> None:
    function = FUNCTIONS.get(name)
    if function is None:
        function = FUNCTIONS[name] = Function(name, kind, category, description)
    elif function.kind != kind or any(v.signature.types == variant.signature.types for v in function.variants):
        raise ValueError(f"function {name}{variant.signature} is registered twice")
    function.description = function.description or description
    function.variants.append(variant)


@dataclass(frozen=True)
class Resolved:
    """A variant resolved for the types at a call site.

    `parameters[i]` is the type that argument i has to be converted to (`casts.implicit_cast`), None where the argument
    is taken as it is: an untyped NULL, a lambda, a time unit. `returns` is None where the type
    depends on arguments that are all NULL. `lambdas[i]` has, for an argument that is a lambda, the types of its parameters
    and the type its body has to give.
    """

    function: Function
    variant: Variant
    returns: SqlType | None
    parameters: tuple[SqlType | None, ...]
    lambdas: Mapping[int, tuple[tuple[SqlType | None, ...], SqlType | None]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.function.name

    @property
    def columns(self) -> int:
        """How many leading arguments of an aggregate are columns; with more than one, `add` gets a list of them."""
        return len(self.parameters) - self.variant.constants

    @property
    def undoable(self) -> bool:
        """Whether the aggregate may run over a table, where rows are also taken back (`TableAggregate`)."""
        return hasattr(self.variant.body, "undo")


def names() -> Iterable[str]:
    """All function names, sorted."""
    return sorted(FUNCTIONS)


def bind(resolved: Resolved, site: CallSite) -> Callable[..., Any]:
    """The function to run per row: a bound body where the variant asks for it, and NULL kept away from it."""
    variant = resolved.variant
    body: Callable[..., Any] = variant.body(site) if variant.bind else variant.body
    return body if variant.nulls == "pass" else null_if_any(body)


def null_if_any(body: Callable[..., Any]) -> Callable[..., Any]:
    """The body, not called but NULL as soon as one argument is NULL."""

    def guarded(*arguments: Any) -> Any:
        return None if None in arguments else body(*arguments)

    return guarded

"""The syntax tree: what the parser makes of a statement, before anybody asks what its names mean.

Nodes are frozen dataclasses, compared by content; `location` (line and column, both from 1) is left out of comparison.
Identifiers are as ksqlDB has them: upper case unless they were quoted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeVar

from streamguard_ksql.types import SqlType


@dataclass(frozen=True)
class Location:
    """The place of a node: line from 1, column from 1."""

    line: int
    column: int


# --- expressions ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Expression:
    location: Location | None = field(default=None, compare=False, repr=False, kw_only=True)


@dataclass(frozen=True)
class Literal(Expression):
    """A constant with its SQL type: bool BOOLEAN, int INTEGER or BIGINT, Decimal DECIMAL, float DOUBLE, str STRING.

    NULL has value None and type None. `1.5` is a DECIMAL(2, 1) literal, `1.5E0` a DOUBLE, `2147483648` a BIGINT.
    """

    value: Any
    type: SqlType | None


@dataclass(frozen=True)
class ColumnRef(Expression):
    """`name` or `source.name`; a lambda's parameter looks the same until the analysis."""

    name: str
    source: str | None = None


@dataclass(frozen=True)
class Dereference(Expression):
    """`base->field` of a STRUCT."""

    base: Expression
    field: str


@dataclass(frozen=True)
class Subscript(Expression):
    """`base[index]` of an ARRAY (from 1, from -1 backwards) or a MAP."""

    base: Expression
    index: Expression


@dataclass(frozen=True)
class FunctionCall(Expression):
    """`name(args)`; COUNT(*) has no arguments. The name is in upper case."""

    name: str
    args: tuple[Expression, ...]


@dataclass(frozen=True)
class LambdaFunction(Expression):
    """`x => body` or `(x, y) => body`; parameter names in upper case."""

    params: tuple[str, ...]
    body: Expression


@dataclass(frozen=True)
class IntervalUnit(Expression):
    """The unit argument of DATEADD and its like: DAYS, HOURS, ... (always the plural, upper case)."""

    unit: str


@dataclass(frozen=True)
class Cast(Expression):
    operand: Expression
    type: SqlType


@dataclass(frozen=True, eq=False)
class Chain(Expression):
    """`left op right`. `a + b + c` is (a + b) + c, of any length: what visits these nodes follows `left` in a loop."""

    op: str
    left: Expression
    right: Expression

    def __eq__(self, other: object) -> bool:
        a: object = self
        b = other
        while isinstance(a, Chain):
            if not isinstance(b, Chain) or type(a) is not type(b) or a.op != b.op or a.right != b.right:
                return False
            a, b = a.left, b.left
        return a == b

    def __hash__(self) -> int:
        *parts, first = spine(self, Chain)
        return hash((type(first), first.left, first.op, first.right, *((type(p), p.op, p.right) for p in parts)))


C = TypeVar("C", bound=Chain)


def spine(node: C, kind: type[C]) -> list[C]:
    """The node and those of the same kind that its left side begins with, outermost first."""
    found = [node]
    while isinstance(left := found[-1].left, kind):
        found.append(left)
    return found


def same_chain(node: Chain, left: Expression) -> bool:
    """Whether a node goes on with the chain on its left: arithmetic of any kind, or the same one of AND and OR."""
    return type(node) is type(left) and (isinstance(node, Arithmetic) or node.op == getattr(left, "op", None))


def operands(node: Expression, op: str) -> list[Expression]:
    """`a`, `b` and `c` of `a AND b AND c`, for the operator given; of anything else the node itself."""
    found = []
    while isinstance(node, Logical) and node.op == op:
        found.append(node.right)
        node = node.left
    return [node, *reversed(found)]


@dataclass(frozen=True, eq=False)
class Arithmetic(Chain):
    """`left op right` with op one of + - * / %. STRING + STRING concatenates."""


@dataclass(frozen=True)
class Negation(Expression):
    """`-operand` or `+operand` (sign is '-' or '+'). The parser makes one Literal of a sign and a number."""

    sign: str
    operand: Expression


@dataclass(frozen=True)
class Comparison(Expression):
    """`left op right` with op one of = <> < <= > >= , 'IS DISTINCT FROM' or 'IS NOT DISTINCT FROM' (!= reads as <>)."""

    op: str
    left: Expression
    right: Expression


@dataclass(frozen=True, eq=False)
class Logical(Chain):
    """`left AND right`, `left OR right`."""


@dataclass(frozen=True)
class Not(Expression):
    operand: Expression


@dataclass(frozen=True)
class IsNull(Expression):
    """`operand IS NULL`, with `negated` `operand IS NOT NULL`."""

    operand: Expression
    negated: bool = False


@dataclass(frozen=True)
class InList(Expression):
    """`operand IN (items)`; NOT IN is Not(InList)."""

    operand: Expression
    items: tuple[Expression, ...]


@dataclass(frozen=True)
class Between(Expression):
    """`operand BETWEEN low AND high`; NOT BETWEEN is Not(Between)."""

    operand: Expression
    low: Expression
    high: Expression


@dataclass(frozen=True)
class Like(Expression):
    """`operand LIKE pattern [ESCAPE escape]`; NOT LIKE is Not(Like)."""

    operand: Expression
    pattern: Expression
    escape: str | None = None


@dataclass(frozen=True)
class WhenClause:
    condition: Expression
    result: Expression


@dataclass(frozen=True)
class Case(Expression):
    """`CASE [operand] WHEN ... THEN ... [ELSE default] END`; a searched CASE has no operand."""

    operand: Expression | None
    whens: tuple[WhenClause, ...]
    default: Expression | None


@dataclass(frozen=True)
class CreateArray(Expression):
    """`ARRAY[a, b]`"""

    items: tuple[Expression, ...]


@dataclass(frozen=True)
class CreateMap(Expression):
    """`MAP(k := v, ...)`"""

    items: tuple[tuple[Expression, Expression], ...]


@dataclass(frozen=True)
class CreateStruct(Expression):
    """`STRUCT(name := value, ...)`; StructAll (`expr->*`) is an item of a SELECT only."""

    items: tuple[tuple[str, Expression], ...]


# --- queries ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SelectItem:
    """`expression [AS alias]`"""

    expression: Expression
    alias: str | None = None


@dataclass(frozen=True)
class SelectAll:
    """`*` or `source.*`"""

    source: str | None = None
    location: Location | None = field(default=None, compare=False, repr=False, kw_only=True)


@dataclass(frozen=True)
class SelectStructAll:
    """`expression->*`"""

    expression: Expression


@dataclass(frozen=True)
class Duration:
    """`5 MINUTES`: kept as written (unit in upper case, plural), for printing; `ms` for running."""

    value: int
    unit: str

    @property
    def ms(self) -> int:
        return self.value * UNIT_MS[self.unit]


UNIT_MS = {
    "MILLISECONDS": 1,
    "SECONDS": 1_000,
    "MINUTES": 60_000,
    "HOURS": 3_600_000,
    "DAYS": 86_400_000,
    "WEEKS": 604_800_000,
    "YEARS": 31_536_000_000,
}


@dataclass(frozen=True)
class Window:
    """TUMBLING (size), HOPPING (size, advance) or SESSION (size is the gap)."""

    kind: str
    size: Duration
    advance: Duration | None = None
    retention: Duration | None = None
    grace: Duration | None = None
    location: Location | None = field(default=None, compare=False, repr=False, kw_only=True)


@dataclass(frozen=True)
class Relation:
    location: Location | None = field(default=None, compare=False, repr=False, kw_only=True)


@dataclass(frozen=True)
class Source(Relation):
    """A stream or table by name, with its alias (the name itself where none is given)."""

    name: str
    alias: str


@dataclass(frozen=True)
class Within:
    """`WITHIN 1 HOUR` or `WITHIN (before, after)`, with `GRACE PERIOD`."""

    before: Duration
    after: Duration
    grace: Duration | None = None


@dataclass(frozen=True)
class Join(Relation):
    """kind is INNER, LEFT, RIGHT or OUTER; joins lean left: `a JOIN b JOIN c` is Join(Join(a, b), c)."""

    kind: str
    left: Relation
    right: Relation
    criteria: Expression
    within: Within | None = None


@dataclass(frozen=True)
class Query:
    """`SELECT ...`; `emit` is 'CHANGES', 'FINAL' or None (a pull query, or CHANGES by default inside a CREATE AS)."""

    select: tuple[SelectItem | SelectAll | SelectStructAll, ...]
    source: Relation
    window: Window | None = None
    where: Expression | None = None
    group_by: tuple[Expression, ...] = ()
    partition_by: tuple[Expression, ...] = ()
    having: Expression | None = None
    emit: str | None = None
    limit: int | None = None
    location: Location | None = field(default=None, compare=False, repr=False, kw_only=True)


# --- statements -------------------------------------------------------------------------------------------------------
# Those that several parts read: the others are declared where they are executed, in `statements`.

Properties = dict[str, Any]
"""WITH (...) properties: names in upper case; values are Python literals (str, int, float, bool, Decimal)."""


@dataclass(frozen=True)
class Statement:
    """A statement; `text` is the SQL as it was typed, from its first to its last character (the semicolon too)."""

    text: str = field(default="", compare=False, repr=False, kw_only=True)
    location: Location | None = field(default=None, compare=False, repr=False, kw_only=True)


@dataclass(frozen=True)
class Reading(Statement):
    """A statement that changes nothing: whoever may only read may send it."""


@dataclass(frozen=True)
class ColumnDef:
    """A column of CREATE STREAM/TABLE; constraint is None, 'KEY', 'PRIMARY KEY', 'HEADERS' or 'HEADER' (with key)."""

    name: str
    type: SqlType
    constraint: str | None = None
    header_key: str | None = None
    location: Location | None = field(default=None, compare=False, repr=False, kw_only=True)


@dataclass(frozen=True)
class CreateSource(Statement):
    """CREATE [OR REPLACE] [SOURCE] STREAM|TABLE [IF NOT EXISTS] name (columns) WITH (properties)."""

    kind: str
    name: str
    columns: tuple[ColumnDef, ...]
    properties: Properties
    or_replace: bool = False
    if_not_exists: bool = False
    is_source: bool = False


@dataclass(frozen=True)
class CreateAsSelect(Statement):
    """CREATE [OR REPLACE] STREAM|TABLE [IF NOT EXISTS] name [WITH (properties)] AS query."""

    kind: str
    name: str
    properties: Properties
    query: Query
    or_replace: bool = False
    if_not_exists: bool = False


@dataclass(frozen=True)
class InsertInto(Statement):
    """INSERT INTO target [WITH (properties)] query."""

    target: str
    properties: Properties
    query: Query
    target_location: Location | None = field(default=None, compare=False, repr=False, kw_only=True)


@dataclass(frozen=True)
class InsertValues(Statement):
    """INSERT INTO target [(columns)] VALUES (values)."""

    target: str
    columns: tuple[str, ...]
    values: tuple[Expression, ...]


@dataclass(frozen=True)
class QueryStatement(Reading):
    """A SELECT on its own: a push query with `emit`, else a pull query."""

    query: Query


@dataclass(frozen=True)
class DropSource(Statement):
    """DROP STREAM|TABLE [IF EXISTS] name [DELETE TOPIC]."""

    kind: str
    name: str
    if_exists: bool = False
    delete_topic: bool = False


@dataclass(frozen=True)
class Terminate(Statement):
    """TERMINATE id | ALL (query_id None)."""

    query_id: str | None


@dataclass(frozen=True)
class Pause(Statement):
    query_id: str | None


@dataclass(frozen=True)
class Resume(Statement):
    query_id: str | None


@dataclass(frozen=True)
class CreateType(Statement):
    """CREATE TYPE [IF NOT EXISTS] name AS type."""

    name: str
    type: SqlType
    if_not_exists: bool = False


@dataclass(frozen=True)
class DropType(Statement):
    name: str
    if_exists: bool = False


@dataclass(frozen=True)
class AlterSource(Statement):
    """ALTER STREAM|TABLE name ADD [COLUMN] column, ..."""

    kind: str
    name: str
    columns: tuple[ColumnDef, ...]


@dataclass(frozen=True)
class SetProperty(Statement):
    name: str
    value: str


@dataclass(frozen=True)
class UnsetProperty(Statement):
    name: str


@dataclass(frozen=True)
class Define(Statement):
    name: str
    value: str


@dataclass(frozen=True)
class Undefine(Statement):
    name: str


@dataclass(frozen=True)
class Explain(Reading):
    """EXPLAIN query-id | statement: exactly one of the two is given."""

    query_id: str | None = None
    statement: Statement | None = None


@dataclass(frozen=True)
class PrintTopic(Reading):
    """PRINT topic [FROM BEGINNING] [INTERVAL n] [LIMIT n]."""

    topic: str
    from_beginning: bool = False
    interval: int | None = None
    limit: int | None = None

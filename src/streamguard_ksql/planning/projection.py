"""The SELECT list: star expansion, names, and what ksqlDB demands of the projection of a persistent query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from streamguard_ksql import ast, refusals
from streamguard_ksql.errors import KsqlError
from streamguard_ksql.expressions.compiler import Compiler
from streamguard_ksql.formatter import format_expression
from streamguard_ksql.plan import Node
from streamguard_ksql.planning.context import Context, schema_text
from streamguard_ksql.planning.names import WINDOW_BOUNDS, Binding, Names
from streamguard_ksql.schema import SYSTEM_COLUMNS, Column, Schema
from streamguard_ksql.types import SqlType, Struct

KEY_MISSING = "Key missing from projection (ie, SELECT). "
MORE_ON_KEYS = "See https://cnfl.io/2LV7ouS."


@dataclass(frozen=True)
class Item:
    """An item of the SELECT list. A star has no expression; `star` is its source, or None for a bare one.

    `resolved`: the expression already uses the columns of the rows below.
    """

    expression: ast.Expression | None
    alias: str | None
    star: str | None = None
    struct_star: bool = False
    resolved: bool = False

    def with_expression(self, expression: ast.Expression) -> Item:
        return replace(self, expression=expression)


@dataclass(frozen=True)
class KeyInfo:
    """The key of the rows that the projection sees.

    `shown` has the expressions as messages print them. `viable` are the internal names that all mean the (single)
    key of a join. `expressions` are those the key was computed from: a select item that equals one is that key.
    """

    columns: tuple[Column, ...]
    what: str = "key column"
    shown: tuple[str, ...] = ()
    expressions: tuple[ast.Expression, ...] = ()
    viable: tuple[str, ...] = ()
    changed: bool = False
    synthetic: bool = False
    foreign_key_of: str | None = None
    star: tuple[Column, ...] | None = None


@dataclass(frozen=True)
class Projection:
    """The result of the SELECT list: `columns` in its order; schema and expressions split into key and value."""

    source: Node
    schema: Schema
    expressions: tuple[ast.Expression, ...]
    columns: tuple[Column, ...]


def initial_items(context: Context) -> list[Item]:
    """The SELECT list as written; explicit aliases that ksqlDB reserves are refused."""
    items = []
    for item in context.query.select:
        if isinstance(item, ast.SelectAll):
            if item.source is not None:
                context.names.binding(item.source)
            items.append(Item(None, None, item.source))
        elif isinstance(item, ast.SelectStructAll):
            items.append(Item(item.expression, None, struct_star=True))
        else:
            if context.persistent:
                _refuse_reserved(item, is_join=context.names.is_join)
            items.append(Item(item.expression, item.alias))
    return items


def _refuse_reserved(item: ast.SelectItem, *, is_join: bool) -> None:
    if item.alias in ("ROWTIME", "ROWPARTITION", "ROWOFFSET"):
        raise KsqlError(f"`{item.alias}` is a reserved column name. You cannot use it as an alias for a column.")
    name = item.alias
    if name is None and isinstance(item.expression, ast.ColumnRef) and not is_join:
        name = item.expression.name
    if name in SYSTEM_COLUMNS:
        raise KsqlError(f"Reserved column name in select: `{name}`. Please remove or alias the column.")


@dataclass(frozen=True)
class Selected:
    """A resolved item: its expression over the rows below, and its name."""

    expression: ast.Expression
    name: str
    type: SqlType


def build(context: Context, node: Node, key: KeyInfo, items: Sequence[Item]) -> Projection:
    """Names and types of the result, and for persistent queries the split into key and value."""
    compiler = context.compiler(node)
    selected = _select(context, node, key, items, compiler)
    columns = tuple(Column(s.name, s.type) for s in selected)
    if not context.persistent:
        schema = Schema(key.columns, columns)
        return Projection(node, schema, tuple(s.expression for s in selected), columns)
    _refuse_duplicates(selected)
    keys, values = _split(context, key, selected)
    if not values and (node.is_table or keys):
        raise KsqlError("The projection contains no value columns.")
    schema = Schema(keys, tuple(Column(s.name, s.type) for s in values))
    return Projection(node, schema, tuple(s.expression for s in values), columns)


# --- names and types --------------------------------------------------------------------------------------------------


def _select(context: Context, node: Node, key: KeyInfo, items: Sequence[Item], compiler: Compiler) -> list[Selected]:
    generator = ItemNames(context.query, context.names)
    selected: list[Selected] = []
    for item in items:
        if item.expression is None:
            for column in star_columns(context, node, key, item.star):
                selected.append(Selected(ast.ColumnRef(column.name), column.name, column.type))
        elif item.struct_star:
            selected += _struct_fields(context, item.expression, compiler)
        else:
            selected.append(_selected(context, node, key, item, compiler, generator))
    return selected


def _selected(
    context: Context, node: Node, key: KeyInfo, item: Item, compiler: Compiler, generator: ItemNames
) -> Selected:
    assert item.expression is not None
    keys = frozenset(c.name for c in key.columns)
    expression = item.expression if item.resolved else context.names.resolve(item.expression, "SELECT", keys)
    for column, computed in zip(key.columns, key.expressions, strict=False):
        if expression == computed:
            expression = ast.ColumnRef(column.name)
    name = item.alias or generator.alias(item.expression)
    if isinstance(expression, ast.ColumnRef) and expression.name in keys:
        found = next(c.type for c in key.columns if c.name == expression.name)
        if all(c.name != expression.name for c in compiler.scope.columns):
            return Selected(expression, name, found)
    try:
        return Selected(expression, name, type_or_refuse(compiler, expression))
    except refusals.CodeError as error:
        raise refusals.select(error, format_expression(expression), schema_text(context, node)) from None


def type_or_refuse(compiler: Compiler, expression: ast.Expression) -> SqlType:
    """The type of an expression; KsqlError for a bare NULL, which has none."""
    found = compiler.type_of(expression)
    if found is None:
        raise KsqlError(
            "Can't infer a type of null. Please explicitly cast it to a required type, e.g. CAST(null AS VARCHAR)."
        )
    return found


def _struct_fields(context: Context, expression: ast.Expression, compiler: Compiler) -> list[Selected]:
    base = context.names.resolve(expression, "SELECT")
    found = compiler.type_of(base)
    if not isinstance(found, Struct):
        raise KsqlError(f"Expected STRUCT type, got: {found or 'null'}")
    return [Selected(ast.Dereference(base, name), name, t) for name, t in found.fields]


def star_columns(context: Context, node: Node, key: KeyInfo, source: str | None) -> list[Column]:
    """The columns of `*` (source None) or `source.*`, keys first, system columns left out."""
    names = context.names
    if not names.is_join:
        hidden = set(SYSTEM_COLUMNS) - (set() if context.persistent or node.window is None else set(WINDOW_BOUNDS))
        key_names = [c.name for c in key.columns]
        values = node.schema.value if key.star is None else key.star
        plain = [c for c in values if c.name not in key_names and c.name not in hidden and not _is_synthetic(c)]
        if not context.persistent and node.window is not None:
            plain = [Column(b, _bound_type(names.bindings[0], b)) for b in WINDOW_BOUNDS] + [
                c for c in plain if c.name not in WINDOW_BOUNDS
            ]
        return list(key.columns) + plain
    columns: list[Column] = []
    if source is None and key.synthetic:
        columns += key.columns
    for binding in names.bindings:
        if source in (None, binding.alias):
            columns += _source_columns(context, node, binding)
    return columns


def _bound_type(binding: Binding, name: str) -> SqlType:
    return next(c.type for c in binding.system_columns() if c.name == name)


def _is_synthetic(column: Column) -> bool:
    return column.name.startswith("KSQL_SYNTH_")


def _source_columns(context: Context, node: Node, binding: Binding) -> list[Column]:
    bounds = [Column(b, _bound_type(binding, b)) for b in WINDOW_BOUNDS] if binding.source.window else []
    ordered = [*binding.source.schema.key, *bounds, *binding.source.schema.value]
    return [Column(context.names.internal(binding.alias, c.name), c.type) for c in ordered]


class ItemNames:
    """Names for items without an alias: a column's or field's own, else KSQL_COL_0, KSQL_COL_1, ..."""

    def __init__(self, query: ast.Query, names: Names) -> None:
        self.names = names
        self.used = {c.name for b in names.bindings for c in b.source.schema}
        explicit = [i.alias for i in query.select if isinstance(i, ast.SelectItem) and i.alias]
        self.used.update(explicit)

    def alias(self, expression: ast.Expression) -> str:
        if isinstance(expression, ast.ColumnRef):
            if self.names.is_join and expression.name not in self.names.synthetic_keys:
                binding = self.names.locate(expression, "SELECT")
                if binding is not None and self.names.is_ambiguous(expression.name):
                    return self.names.internal(binding.alias, expression.name)
            if not _is_synthetic_ref(expression):
                return expression.name
        if isinstance(expression, ast.Dereference):
            return self._field(expression.field)
        return self._generated()

    def _field(self, name: str) -> str:
        """A field's own name, with a number where a column has it already."""
        alias, n = name, 0
        while alias in self.used:
            n += 1
            alias = f"{name}_{n}"
        self.used.add(alias)
        return alias

    def _generated(self) -> str:
        name = unused_name(self.used)
        self.used.add(name)
        return name


def _is_synthetic_ref(ref: ast.ColumnRef) -> bool:
    return ref.name.startswith("KSQL_SYNTH_")


def unused_name(used: set[str]) -> str:
    """The first of KSQL_COL_0, KSQL_COL_1, ... that is not taken."""
    n = 0
    while f"KSQL_COL_{n}" in used:
        n += 1
    return f"KSQL_COL_{n}"


def value_without_keys(
    value: Sequence[Column], keys: Sequence[Column], expressions: Sequence[ast.Expression]
) -> tuple[Column, ...]:
    """The value columns but for those that became keys as they were."""
    moved = {e.name for e in expressions if isinstance(e, ast.ColumnRef)}
    return tuple(c for c in value if c.name not in moved)


# --- what persistent queries must and must not select -----------------------------------------------------------------


def _refuse_duplicates(selected: Sequence[Selected]) -> None:
    seen = set()
    for s in selected:
        if s.name in seen:
            raise KsqlError(f"The projection contains column `{s.name}` more than once.")
        seen.add(s.name)


def _split(context: Context, key: KeyInfo, selected: Sequence[Selected]) -> tuple[tuple[Column, ...], list[Selected]]:
    """The key columns under their selected names, and the items that make the value."""
    if not key.columns:
        return (), list(selected)
    matched: dict[str, list[Selected]] = {}
    if key.viable:
        name = next((n for n in key.viable if any(_is_ref(s, (n,)) for s in selected)), None)
        if name is None:
            raise _missing(context, key)
        matches = [s for s in selected if _is_ref(s, (name,))]
        matched[name] = matches
    else:
        for column in key.columns:
            matched[column.name] = [s for s in selected if _is_ref(s, (column.name,))]
        if any(not found for found in matched.values()):
            raise _missing(context, key, [n for n, found in matched.items() if not found])
    for name, found in matched.items():
        if len(found) > 1:
            raise _repeated(key, name, found)
    keys = tuple(Column(found[0].name, found[0].type) for found in matched.values())
    used = {id(found[0]) for found in matched.values()}
    return keys, [s for s in selected if id(s) not in used]


def _is_ref(selected: Selected, names: Sequence[str]) -> bool:
    return isinstance(selected.expression, ast.ColumnRef) and selected.expression.name in names


def _repeated(key: KeyInfo, name: str, found: Sequence[Selected]) -> KsqlError:
    aliases = sorted(s.name for s in found)
    if key.what == "grouping":
        listed = _listed([f"`{a}`" for a in aliases], "and")
        return KsqlError(f"The projection contains a key column more than once: {listed}.")
    return KsqlError(
        f"The projection contains a key column (`{name}`) more than once, aliased as: {_listed(aliases, 'and')}.\n"
        "Each key column must only be in the projection once. If you intended to copy the key into the value, "
        "then consider using the `AS_VALUE` function to indicate which key reference should be copied."
    )


def _missing(context: Context, key: KeyInfo, missing: Sequence[str] = ()) -> KsqlError:
    if key.foreign_key_of is not None:
        return _foreign_key_missing(context, key, missing)
    shown = key.shown or tuple(c.name for c in key.columns)
    if key.what in ("partitioning", "grouping", "key column") and missing:
        wanted = [s for s, c in zip(shown, key.columns, strict=False) if c.name in missing]
        if key.what == "partitioning":
            wanted = list(shown)
    else:
        wanted = list(shown)
    noun = {"key column": "key column", "join": "join expression"}.get(key.what, f"{key.what} expression")
    plural = "s" if len(wanted) > 1 else ""
    joined = _listed(wanted, "or" if key.what == "join" else "and")
    example = wanted[0] if key.what == "join" else ", ".join(wanted)
    message = (
        f"{KEY_MISSING}{MORE_ON_KEYS if key.synthetic else ''}\n"
        f"The query used to build `{context.sink}` must include the {noun}{plural} {joined} in its projection "
        f"(eg, SELECT {example}...)."
    )
    if key.synthetic:
        message += (
            f"\n{key.columns[0].name} was added as a synthetic key column because the join criteria did not match any "
            "source column. This expression must be included in the projection and may be aliased. "
        )
    return KsqlError(message)


def _foreign_key_missing(context: Context, key: KeyInfo, missing: Sequence[str]) -> KsqlError:
    prefix = f"{key.foreign_key_of}_"
    listed = ", ".join(f"`{n.removeprefix(prefix)}`" for n in missing)
    plural = "s" if len(missing) > 1 else ""
    return KsqlError(
        f"Primary key column{plural} missing in projection. For foreign-key table-table joins, the projection must "
        f"include all primary key columns from the left input table (`{key.foreign_key_of}`). Missing column{plural}: {listed}."
    )


def _listed(words: Sequence[str], conjunction: str) -> str:
    """`A`, `A and B`, `A, B and C`."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {conjunction} {words[-1]}"

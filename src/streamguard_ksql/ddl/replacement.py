"""CREATE of a name that is taken: refused, skipped (IF NOT EXISTS), or a replacement (OR REPLACE) that may only add."""

from __future__ import annotations

from streamguard_ksql import ast
from streamguard_ksql.catalog import DataSource
from streamguard_ksql.errors import KsqlError


def exists_message(statement: ast.CreateSource | ast.CreateAsSelect, existing: DataSource) -> str:
    """The message of a statement that is skipped."""
    word = statement.kind.lower()
    other = existing.kind.lower()
    return f"Cannot add {word} `{statement.name}`: A {other} with the same name already exists."


def already_there(kind: str, name: str, existing: DataSource, sql: str) -> KsqlError:
    """The error of a statement that is refused; `sql` is its normal form."""
    return KsqlError(
        f"Cannot add {kind.lower()} '{name}': A {existing.kind.lower()} with the same name already exists",
        statement=sql,
    )


def check_replacement(statement: ast.CreateSource | ast.CreateAsSelect, existing: DataSource | None) -> None:
    """KsqlError for OR REPLACE of a SOURCE stream or table, or by one."""
    if not statement.or_replace:
        return
    is_source = isinstance(statement, ast.CreateSource) and statement.is_source
    if is_source or (existing is not None and existing.read_only):
        kind = statement.kind.lower()
        raise KsqlError(f"Cannot add {kind} '{statement.name}': CREATE OR REPLACE is not supported on source {kind}s.")


def check_evolution(old: DataSource, new: DataSource) -> None:
    """CREATE OR REPLACE may add columns at the end; all else is refused."""
    if old.kind != new.kind:
        raise _cannot_upgrade(
            f"DataSource '`{new.name}`' has type = K{old.kind} which is not upgradeable to K{new.kind}"
        )
    if old.topic != new.topic:
        raise _cannot_upgrade(
            f"DataSource '`{new.name}`' has topic = {old.topic} which is not upgradeable to {new.topic}"
        )
    if old.schema.key != new.schema.key:
        raise _other_schema(old, new, "Key columns must be identical.")
    kept = list(old.schema.value)
    if list(new.schema.value)[: len(kept)] != kept:
        moved = [c for i, c in enumerate(kept) if new.schema.value[i : i + 1] != (c,)]
        missing = ", ".join(f"`{c.name}` {c.type}" for c in moved)
        raise _other_schema(old, new, f"The following columns are changed, missing or reordered: [{missing}]")


def _other_schema(old: DataSource, new: DataSource, why: str) -> KsqlError:
    return _cannot_upgrade(
        f"DataSource '`{new.name}`' has schema = {old.schema} which is not upgradeable to {new.schema}. ({why})"
    )


def _cannot_upgrade(why: str) -> KsqlError:
    return KsqlError(f"Cannot upgrade data source: {why}")

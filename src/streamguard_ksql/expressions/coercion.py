"""How ksqlDB brings the elements of IN lists, array and map constructors to one type.

The first element that has a type sets it, wider numbers widen it. A string literal is read as that type, a literal of
any kind fits a STRING; expressions have to be of the type, or a narrower number.
Source: docs/reference/sql (type coercion page of the manual) and its refusals as recorded.
"""

from __future__ import annotations

from collections.abc import Sequence

from streamguard_ksql import ast
from streamguard_ksql.errors import ROW_ERRORS, KsqlError
from streamguard_ksql.schema import quoted_type
from streamguard_ksql.types import BOOLEAN, NUMERIC_ORDER, STRING, Array, Map, SqlType, Struct
from streamguard_ksql.widening import wider_number

BOOLEAN_WORDS = {"true": True, "false": False, "yes": True, "no": False}


def common_type(expressions: Sequence[ast.Expression], types: Sequence[SqlType | None]) -> SqlType | None:
    """The type that all elements are brought to; None if all are NULL. Raises KsqlError where there is none."""
    result: SqlType | None = None
    for expression, sql_type in zip(expressions, types, strict=True):
        if sql_type is None:
            continue
        result = sql_type if result is None else _merge(result, sql_type, expression)
    return result


def _merge(target: SqlType, other: SqlType, expression: ast.Expression) -> SqlType:
    if target == other:
        return target
    if target.base in NUMERIC_ORDER and other.base in NUMERIC_ORDER:
        return wider_number(target, other)
    if isinstance(target, Array) and isinstance(other, Array):
        items = expression.items if isinstance(expression, ast.CreateArray) else (expression,)
        merged = target.item
        for item in items:
            merged = _merge_member(merged, other.item, item, expression, target, other)
        return Array(merged)
    if isinstance(target, Map) and isinstance(other, Map):
        return Map(_merge(target.key, other.key, expression), _merge(target.value, other.value, expression))
    if isinstance(target, Struct) and isinstance(other, Struct):
        return _merge_structs(target, other, expression)
    if isinstance(expression, ast.Literal):
        return _merge_literal(target, other, expression)
    raise _no_operator(target, other, expression)


def _merge_member(
    target: SqlType, other: SqlType, item: ast.Expression, whole: ast.Expression, left: SqlType, right: SqlType
) -> SqlType:
    if isinstance(item, ast.Literal) and item.type is None:
        return target
    actual = item.type if isinstance(item, ast.Literal) and item.type is not None else other
    try:
        return _merge(target, actual, item)
    except _NoOperator:
        raise _no_operator(left, right, whole) from None


def _merge_structs(target: Struct, other: Struct, expression: ast.Expression) -> Struct:
    given = dict(expression.items) if isinstance(expression, ast.CreateStruct) else {}
    fields = []
    for name, field_type in target.fields:
        other_type = other.field(name)
        if other_type is None:
            fields.append((name, field_type))
            continue
        item = given.get(name, expression)
        fields.append((name, _merge_member(field_type, other_type, item, expression, target, other)))
    fields += [(name, t) for name, t in other.fields if target.field(name) is None]
    return Struct(tuple(fields))


def _merge_literal(target: SqlType, other: SqlType, literal: ast.Literal) -> SqlType:
    if other == STRING and target.base not in ("DATE", "TIME", "TIMESTAMP"):
        read_string(str(literal.value), target)
        return target
    if target == STRING:
        return STRING
    raise _no_operator(target, other, literal)


def read_string(text: str, target: SqlType) -> object:
    """A string literal as a value of another type; KsqlError if it is not one."""
    from streamguard_ksql.casts import cast_function

    if target == BOOLEAN:
        for word, truth in BOOLEAN_WORDS.items():
            if text and word.startswith(text.strip().lower()):
                return truth
        raise KsqlError(f'invalid input syntax for type BOOLEAN: "{text}".')
    try:
        cast = cast_function(STRING, target, {})
        value: object = cast(text) if cast else text
    except (KsqlError, *ROW_ERRORS):
        value = None
    if value is None:
        raise KsqlError(f'invalid input syntax for type {target}: "{text}".')
    return value


class _NoOperator(KsqlError):
    """Two types that do not meet; an enclosing constructor reports it of itself."""


def _no_operator(target: SqlType, other: SqlType, expression: ast.Expression) -> KsqlError:
    from streamguard_ksql.formatter import format_expression

    return _NoOperator(
        f"operator does not exist: {quoted_type(target)} = {quoted_type(other)} ({format_expression(expression)})\n"
        "Hint: You might need to add explicit type casts."
    )

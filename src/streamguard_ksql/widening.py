"""Which type ksqlDB turns into which by itself.

Source: docs/developer-guide/ksqldb-reference/type-coercion.md.
"""

from __future__ import annotations

from streamguard_ksql.types import DOUBLE, NUMERIC_ORDER, Decimal, SqlType, as_decimal, is_numeric


def widens(source: SqlType, target: SqlType) -> bool:
    """Whether ksqlDB turns `source` into `target` by itself for a function's argument.

    Numbers widen (INTEGER, BIGINT, DECIMAL, DOUBLE in this order); a STRING becomes a DATE, TIME or TIMESTAMP.
    Source: docs/developer-guide/ksqldb-reference/type-coercion.md.
    """
    if is_numeric(source) and is_numeric(target):
        return NUMERIC_ORDER.index(source.base) <= NUMERIC_ORDER.index(target.base)
    return source.base == "STRING" and target.base in ("DATE", "TIME", "TIMESTAMP")


def wider_decimal(left: Decimal, right: Decimal) -> Decimal:
    """The decimal with room for both: the larger scale, and the larger number of digits before the point."""
    scale = max(left.scale, right.scale)
    return Decimal(max(left.precision - left.scale, right.precision - right.scale) + scale, scale)


def wider_number(left: SqlType, right: SqlType) -> SqlType:
    """The narrowest numeric type that has room for both."""
    if DOUBLE in (left, right):
        return DOUBLE
    if isinstance(left, Decimal) or isinstance(right, Decimal):
        return wider_decimal(as_decimal(left), as_decimal(right))
    return left if NUMERIC_ORDER.index(left.base) >= NUMERIC_ORDER.index(right.base) else right

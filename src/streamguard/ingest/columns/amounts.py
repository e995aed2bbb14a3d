"""The amount of a payment, in the form that the mapping names or that its values have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from itertools import islice
from typing import Any

from streamguard.ingest.columns.bound import (
    Bound,
    Options,
    Read,
    alternatives,
    is_nothing,
)
from streamguard.ingest.errors import Ambiguous, InputError
from streamguard.ingest.expressions import Alternative, Expression
from streamguard.ingest.rows import Rows, all_values
from streamguard.models.readings import (
    AmountForm,
    amount_reader,
    guess_decimal,
)
from streamguard.models.readings.amounts import Separator

_AMOUNT_FORMS = ("point", "comma", "minor", "abs", "negative")


def amount_column(expression: Expression, rows: Rows, options: Options) -> Bound | None:
    """The amount: `read` gives the exact number and the currency that is written beside it, None for none."""
    notes: list[str] = []
    seen_codes = False

    def reader(one: Alternative, raw: Read) -> Read:
        nonlocal seen_codes
        form = _amount_form(one, raw, rows, options, notes)
        read = amount_reader(form)
        seen_codes |= any(_code(read, raw(row.values)) for row in islice(rows.sample, 50))
        return lambda values: read(raw(values))

    bound = alternatives("amount", expression, rows, reader, is_empty=lambda value: not value[0])
    if bound and len(bound.columns) == 2 and all("abs" in one.forms for one in expression.alternatives):
        bound = replace(bound, read=_in_one_direction(bound, rows))
    forms = tuple(form for one in expression.alternatives for form in one.forms)
    return bound and replace(bound, forms=forms, notes=tuple(dict.fromkeys(notes)), names_currency=seen_codes)


def _in_one_direction(bound: Bound, rows: Rows) -> Read:
    """The amount of a statement with a column for each direction; a row with both is refused, for it is two payments."""
    spent, received = (rows.getter(column) for column in bound.columns)
    names = " and ".join(bound.columns)

    def read(values: Any) -> Any:
        out, into = spent(values), received(values)
        if out != into and not is_nothing(out) and not is_nothing(into):
            raise ValueError(f"amount is in both {names} ({out!r} and {into!r}): one payment a row is expected")
        return bound.read(values)

    return read


def _amount_form(one: Alternative, raw: Read, rows: Rows, options: Options, notes: list[str]) -> AmountForm:
    """The form that is written in the mapping, and what it leaves open from the values; raises InputError, Ambiguous."""
    for form in one.forms:
        if form not in _AMOUNT_FORMS:
            raise InputError(f"amount={one}: {form!r} is no form of an amount: there are {', '.join(_AMOUNT_FORMS)}")
    sign: Any = "drop" if "abs" in one.forms else "flip" if "negative" in one.forms else "keep"
    decimal: Separator | None = "," if "comma" in one.forms else "." if "point" in one.forms else options.decimal
    values = [raw(row.values) for row in rows.sample]
    if "minor" in one.forms:
        notes.append("amount: in the smallest unit of its currency")
    if decimal is None:
        decimal = guess_decimal(values) or guess_decimal(all_values(rows, raw))
        if decimal is None:
            example = next(value for value in values if isinstance(value, str) and ("." in value or "," in value))
            raise Ambiguous(
                f"amount {example!r} in {rows.name} can be read in two ways, and no other value tells which: say "
                "--decimal . or --decimal ,",
                f"Is the amount {example!r} above a thousand (the sign in it separates thousands)?",
                "decimal",
                yes="," if "." in example else ".",
                no="." if "." in example else ",",
            )
        if decimal == ",":
            notes.append("amount: with a comma before the decimals")
    return AmountForm(decimal, "minor" in one.forms, sign)


def _code(read: Callable[[Any], tuple[Decimal, str | None]], value: Any) -> str | None:
    try:
        return read(value)[1]
    except ValueError:
        return None

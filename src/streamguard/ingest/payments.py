"""Rows become payments: a mapping is bound to a file once, and then reads row after row.

1. `bind` finds the column of each field, and for times and amounts without a form the form that its values have.
   What it found out is in `notes`, for a person; what can be read in two ways is an `Ambiguous`.
2. `PaymentReader.read` reads one row: the exact values, checked against the model `Transaction`, with which the consumer
   checks records too. What does not fit is a `BadRow`, and never another value.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from pydantic import ValidationError

from streamguard.ingest.columns import Bound, Options, amount_column, fixed, plain_column, time_column
from streamguard.ingest.errors import BadRow, Missing
from streamguard.ingest.ids import RowIds
from streamguard.ingest.mapping import FIELDS, MARKS, REQUIRED, Mapping
from streamguard.ingest.rows import Rows, one_row
from streamguard.models import Transaction, reason_of
from streamguard.models.iso import places
from streamguard.models.readings import currency_in_name
from streamguard.models.records import BadRecord, unify_names

_validate = Transaction.__pydantic_validator__.validate_python
_VALUES = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\(got .*?\)|\d[\d.,:]*""")


class Payment(NamedTuple):
    """The fields of a transaction, `amount` a Decimal and `event_time` epoch milliseconds, and its marks (label first)."""

    fields: dict[str, Any]
    marks: dict[str, str]


@dataclass
class PaymentReader:
    """Reads the rows of one file. `notes` say what was found out about it, field by field."""

    columns: dict[str, Bound]
    minor: bool = False
    keeps_rest: bool = False
    rounds: bool = False
    rounded: int = 0
    notes: list[str] = field(default_factory=list)
    unused: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        amount = self.columns["amount"].read
        currency = self.columns.get("currency")
        self._amount: Callable[[Any], tuple[Decimal, str | None]] = amount
        self._currency = currency.read if currency else None
        names = [name for name in FIELDS if name in self.columns or name == "currency"]
        names += [name for name in self.columns if name not in names and name not in MARKS]
        # In the order in which they are sent. Amount and currency are read together, and take their places afterwards.
        self._fields = [(n, _later if n in ("amount", "currency") else self.columns[n].read) for n in names]
        self._marks = [(name, self.columns[name].read) for name in MARKS if name in self.columns]

    def read(self, values: Any) -> Payment:
        """One row's payment; raises BadRow."""
        try:
            fields = {
                name: value for name, read in self._fields if (value := read(values)) is not None or self.keeps_rest
            }
            amount, beside = self._amount(values)
            currency = self._currency(values) if self._currency else beside
            marks = {name: mark for name, read in self._marks if (mark := read(values))}
        except ValueError as error:
            raise _bad(str(error)) from None
        if beside and currency and beside != currency:
            raise _bad(f"amount is written in {beside}, but currency is {currency}")
        if self.minor and currency:
            amount = amount.scaleb(-places(currency))
        if self.rounds and currency and (exact := round(amount, places(currency))) != amount:
            amount = exact
            self.rounded += 1
        fields["amount"], fields["currency"] = amount, currency
        if currency is None or len(fields) < len(self._fields) or self.keeps_rest:
            for name in REQUIRED:
                if fields.get(name) is None:
                    raise _bad(f"{name} is empty")
        try:
            _validate(fields)
        except ValidationError as error:
            raise BadRow(reason_of(error), reason_of(error, values=False)) from None
        return Payment(self._as_sent(fields, values) if self.keeps_rest else fields, marks)

    def _as_sent(self, fields: dict[str, Any], values: Any) -> dict[str, Any]:
        """The fields in the row's own order, with what else it has."""
        if not isinstance(values, dict):
            return fields
        kept = {name: value for name, value in values.items() if name.lower() not in MARKS}
        try:
            unify_names(kept, Transaction.model_fields)
        except BadRecord as error:
            raise BadRow(str(error), error.bare) from None
        return {**kept, **{name: value for name, value in fields.items() if name in kept or value is not None}}


def _later(_: Any) -> str:
    """What stands for a value until it is known."""
    return ""


def read_object(mapping: Mapping, values: dict[str, Any]) -> dict[str, Any]:
    """The fields of a transaction of one JSON object, each form found from its own values.

    Raises BadRow for what is no transaction, InputError for a mapping that does not fit or needs an option.
    """
    return bind(mapping, one_row(values)).read(values).fields


def bind(mapping: Mapping, rows: Rows, options: Options | None = None, required: bool = True) -> PaymentReader:
    """A reader of `rows`; raises InputError for columns that are missing, Ambiguous for what an option has to say."""
    options = options or Options()
    columns: dict[str, Bound] = {}
    notes: list[str] = []
    for name, expression in mapping.fields.items():
        if name == "event_time":
            bound = time_column(expression, rows, options)
        elif name == "amount":
            bound = amount_column(expression, rows, options)
        else:
            bound = plain_column(name, expression, rows)
        if bound is not None:
            columns[name] = bound
            notes += bound.notes
    if "currency" not in columns and not options.currency and (code := _in_header(mapping, rows)):
        columns["currency"] = fixed("currency", code)
        notes.append(f"currency: {code}, from the name of the amount's column")
    if options.currency and ("currency" not in columns or not columns["currency"].columns):
        columns["currency"] = fixed("currency", options.currency)
    if "transaction_id" not in columns:
        ids = RowIds()
        columns["transaction_id"] = Bound(ids, ("(made of the row)",))
    _check(columns, mapping, rows)
    used = {column for bound in columns.values() for column in bound.columns}
    unused = tuple(column for column in rows.columns if column and column not in used)
    minor = "minor" in columns["amount"].forms
    return PaymentReader(columns, minor, mapping.keeps_rest, options.rounds, 0, notes, unused)


def _in_header(mapping: Mapping, rows: Rows) -> str | None:
    """The currency in the name of the amount's column."""
    there = {column.strip().lower() for column in rows.columns}
    for column in mapping.fields["amount"].columns if "amount" in mapping.fields else ():
        if column.strip().lower() in there and (code := currency_in_name(column)):
            return code
    return None


_OPTIONS = {"currency": "--currency EUR", "account_id": "--map account_id='...' or the name of its column"}


def _check(columns: dict[str, Bound], mapping: Mapping, rows: Rows) -> None:
    """Raise InputError for a required field that no column gives."""
    for name in REQUIRED:
        if name in columns or (name == "currency" and "amount" in columns and columns["amount"].names_currency):
            continue
        if mapping.keeps_rest and not isinstance(rows.sample[0].values, list):
            # A recording may hold nothing but records that are no payments, and are sent as they are.
            columns[name] = Bound(lambda _: None)
            continue
        how = _OPTIONS.get(name, f"--map {name}=COLUMN")
        wanted = f" (none of {', '.join(mapping.fields[name].columns)})" if name in mapping.fields else ""
        raise Missing(
            f"{described(rows)} has no {name}{wanted}: say {how}; its columns are {shown_columns(rows)}", name
        )


def described(rows: Rows) -> str:
    """The name of the file and what it was found to be."""
    found = getattr(rows, "found", ())
    return f"{rows.name} ({', '.join(found)})" if found else rows.name


def shown_columns(rows: Rows, limit: int = 40) -> str:
    """The names of the columns, for a sentence."""
    names = [column or "(unnamed)" for column in rows.columns]
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def _bad(reason: str) -> BadRow:
    return BadRow(reason, _VALUES.sub("...", reason))

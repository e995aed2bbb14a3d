"""A mapping for a file that nobody described: from the names of its columns and from what stands in them.

Names are those of `data/guess.yaml`. A column is taken for a field if enough of its values can be read as it, so that a
`type` of numbers is no currency. A person sees the guess and the first payments before anything is sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from functools import cache
from typing import Any
from unicodedata import normalize

import yaml

from streamguard.config.resources import DATA
from streamguard.ingest.errors import InputError
from streamguard.ingest.expressions import Alternative, Column, Expression, Literal, Term
from streamguard.ingest.mapping import Mapping
from streamguard.ingest.rows import Rows
from streamguard.models.iso import COUNTRIES
from streamguard.models.readings import (
    AmountForm,
    amount_reader,
    currency_in_name,
    guess_time,
    is_negative,
    read_currency,
    read_label,
)

_ENOUGH = 0.5
_SIGNS = re.compile(r"[^a-z0-9]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


def guessed(rows: Rows, given: Collection[str] = ()) -> Mapping:
    """The fields that have a column. Required ones may be missing: `bind` says what to do then.

    `given` are fields that somebody has mapped. Raises InputError where one of the others can be seen in two ways.
    """
    taken: set[str] = set()
    fields: dict[str, Expression] = {}
    for name, words in _words()["fields"].items():
        if name in fields:
            continue
        if name == "currency" and "amount" in fields and currency_in_name(fields["amount"].columns[0]):
            continue
        if name == "currency" and "amount" in fields:
            # `Main Currency` is that of `Main Amount`.
            words = [fields["amount"].columns[0].lower().replace("amount", "currency"), *words]
        column = _best(name, words, rows, taken)
        if column is None and name == "amount":
            fields.update(_two_directions(rows, taken))
        if column is None:
            continue
        twins = [column] if name in given else _twins(column, rows)
        taken.update(twins)
        fields[name] = _each(twins)
        if name == "amount":
            forms = ("minor",) if _counts_cents(column) else ()
            fields[name] = _each(twins, forms)
            if _has_both_signs(rows, column):
                # A statement: what was spent is below 0.
                fields[name] = _each(twins, (*forms, "abs"))
                fields["transaction_type"] = _each(twins, ("debit_if_negative",))
        if name == "event_time":
            terms: tuple[Term, ...] = (Column(column),)
            if clock := _clock_beside(rows, column):
                taken.add(clock)
                terms = (Column(column), Literal(" "), Column(clock))
            if clock or len(twins) == 1:
                fields[name] = Expression((Alternative(terms, (), _zone_beside(rows, column)),))
    return Mapping(fields)


def guessed_label(rows: Rows) -> Expression | None:
    """The column that says whether a payment was fraud, None where none has such a name and such values."""
    column = _best("label", _words()["fields"]["label"], rows, set())
    return _each([column]) if column else None


def _each(columns: list[str], forms: tuple[str, ...] = ()) -> Expression:
    return Expression(tuple(Alternative((Column(column),), forms) for column in columns))


def _twins(column: str, rows: Rows) -> list[str]:
    """The column and those that differ from it in letter case alone.

    Raises InputError where a row has values in two of them that are not the same: which one holds cannot be seen.
    """
    same = [column, *(other for other in rows.columns if other != column and _is_same(other, column))]
    for row in rows.sample if len(same) > 1 else ():
        if len({str(value) for name in same if (value := rows.getter(name)(row.values)) not in (None, "")}) > 1:
            names = " and ".join(repr(name) for name in same)
            raise InputError(
                f"{rows.name} has {names} with two values in line {row.line}: say with --map which one holds"
            )
    return same


def _is_same(one: str, other: str) -> bool:
    return one.strip().lower() == other.strip().lower()


def _two_directions(rows: Rows, taken: set[str]) -> dict[str, Expression]:
    """Amount and direction of a statement with a column for what went out and one for what came in."""
    out, into = (_best(name, _words()[name], rows, taken, _FITS["amount"]) for name in ("spent", "received"))
    if out or into:
        # A short statement may have nothing in one direction.
        out, into = (
            found or next((c for word in _words()[name] for c in rows.columns if _bare(c) == _bare(word)), None)
            for name, found in (("spent", out), ("received", into))
        )
    if out is None or into is None or out == into:
        return {}
    taken.update((out, into))
    spent, received = Column(out), Column(into)
    amount = Expression((Alternative((spent,), ("abs",)), Alternative((received,), ("abs",))))
    direction = Expression((Alternative((spent,), ("debit",)), Alternative((received,), ("credit",))))
    return {"amount": amount, "transaction_type": direction}


def _counts_cents(column: str) -> bool:
    return bool(set(_SIGNS.split(_CAMEL.sub(" ", column).lower())) & set(_words()["minor"]))


@cache
def _words() -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load((DATA / "guess.yaml").read_text(encoding="utf-8"))
    return data


def _best(
    field: str, words: list[str], rows: Rows, taken: set[str], reads: Callable[[list[Any]], bool] | None = None
) -> str | None:
    """The first column, by the order of the words, whose values fit; a name in full before one that ends in a word.

    Where no values fit, a column with the very name of a required field all the same: its values are named then.
    """
    reads = reads or _FITS.get(field)
    free = [column for column in rows.columns if column not in taken and not (field in _OF_ONE and _is_other(column))]
    bare = [(_bare(column), column) for column in free]
    last = [(_bare(column.rsplit(".", 1)[-1]), column) for column in free]
    for names, same in ((bare, str.__eq__), (last, str.__eq__), (bare, _has_at_its_end)):
        for word in map(_bare, words):
            for name, column in names:
                if field == "transaction_id" and same is _has_at_its_end and not name.endswith(word):
                    continue  # The date of a transaction is not its id.
                if same(name, word) and (_fits(reads, rows, column) if reads else not _is_array(rows, column)):
                    return column
    if field == "event_time":
        times = [column for _, column in bare if _fits(_FITS["event_time"], rows, column)]
        if len(times) == 1:
            return times[0]
    if field in _OF_ONE or field == "label":
        # What is called fraud is a label, whatever it says.
        sure = [word for word in map(_bare, words) if field != "label" or "fraud" in word]
        return next((column for word in sure for name, column in bare if name == word), None)
    return None


def _is_array(rows: Rows, column: str) -> bool:
    """Whether it holds several things, such as all categories of a payment."""
    values = [rows.getter(column)(row.values) for row in rows.sample]
    return 2 * sum(isinstance(value, list) for value in values) > len(values)


_OF_ONE = ("amount", "currency", "event_time")


def _is_other(column: str) -> bool:
    """Whether it is the amount or currency of something else: before a conversion, of a fee, what is left."""
    return bool(set(_SIGNS.split(_CAMEL.sub(" ", column).lower())) & set(_words()["other"]))


def _bare(name: str) -> str:
    """A name without letter case, accents and signs."""
    return _SIGNS.sub("", normalize("NFKD", name).lower().replace("\u00df", "ss"))


def _has_at_its_end(name: str, word: str) -> bool:
    """`transactionamount` for `amount`, `amounteur` too: words long enough to mean something."""
    return len(word) > 4 and (name.endswith(word) or name.startswith(word))


def _fits(reads: Callable[[list[Any]], bool], rows: Rows, column: str) -> bool:
    get = rows.getter(column)
    values = [value for row in rows.sample if (value := get(row.values)) is not None and value != "" and value != " "]
    if reads is _FITS["transaction_id"] and 2 * len(values) < len(rows.sample):
        return False
    return bool(values) and reads(values)


def _most(read: Callable[[Any], Any]) -> Callable[[list[Any]], bool]:
    def fits(values: list[Any]) -> bool:
        good = 0
        for value in values:
            try:
                read(value)
            except (ValueError, TypeError):
                continue
            good += 1
        return good >= _ENOUGH * len(values)

    return fits


def _any_amount(value: Any) -> None:
    try:
        amount_reader(AmountForm("."))(value)
    except ValueError:
        amount_reader(AmountForm(","))(value)


def _country(value: Any) -> None:
    if str(value).strip().upper() not in COUNTRIES:
        raise ValueError


def _within(limit: float) -> Callable[[Any], None]:
    def read(value: Any) -> None:
        if not -limit <= float(value) <= limit:
            raise ValueError

    return read


_FITS: dict[str, Callable[[list[Any]], bool]] = {
    # A reference or a note that most rows lack or share is no id.
    "transaction_id": lambda values: 2 * len(set(map(str, values))) > len(values),
    "amount": _most(_any_amount),
    "currency": _most(read_currency),
    "event_time": lambda values: bool(guess_time(values)),
    "country": _most(_country),
    "latitude": _most(_within(90)),
    "longitude": _most(_within(180)),
    "label": _most(read_label),
}


def _has_both_signs(rows: Rows, column: str) -> bool:
    get = rows.getter(column)
    return any(is_negative(get(row.values)) for row in rows.sample)


def _zone_beside(rows: Rows, column: str) -> str | None:
    """The column with the zone of the times in `column`."""
    for word in (_bare(column) + "timezone", *map(_bare, _words()["zone"])):
        for other in rows.columns:
            if _bare(other) == word and any(rows.getter(other)(row.values) for row in rows.sample):
                return other
    return None


def _clock_beside(rows: Rows, column: str) -> str | None:
    """The column with the time of day, where `column` has nothing but dates."""
    dates = [str(get_value) for row in rows.sample if (get_value := rows.getter(column)(row.values)) not in (None, "")]
    if any(":" in text or (text.isdigit() and len(text) != 8) for text in dates):
        return None
    # `order_time` is that of `order_date`.
    words = {
        *map(_bare, _words()["clock"]),
        _bare(column).replace("date", "time"),
        _bare(column).replace("data", "hora"),
    }
    named = [other for other in rows.columns if other != column and _bare(other) in words]
    return next((other for other in named if any(rows.getter(other)(row.values) for row in rows.sample)), None)

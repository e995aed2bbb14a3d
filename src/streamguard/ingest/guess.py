"""A mapping for a file that nobody described: from the names of its columns and from what stands in them.

Names are those of `data/guess.yaml`. A column is taken for a field if enough of its values can be read as it, so that a
`type` of numbers is no currency. A person sees the guess and the first payments before anything is sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

import yaml

from streamguard.config.resources import DATA
from streamguard.ingest.expressions import Alternative, Column, Expression, Literal, Term
from streamguard.ingest.mapping import Mapping
from streamguard.ingest.rows import Rows
from streamguard.models.iso import COUNTRIES
from streamguard.models.readings import AmountForm, amount_reader, guess_time, read_currency, read_label

_ENOUGH = 0.5
_SIGNS = re.compile(r"[^a-z0-9]+")
_CLOCK = re.compile(r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?:\s*[aApP]\.?[mM]\.?)?")


def guessed(rows: Rows) -> Mapping:
    """The fields that have a column. Required ones may be missing: `bind` says what to do then."""
    taken: set[str] = set()
    fields: dict[str, Expression] = {}
    for name, words in _words().items():
        if name in fields:
            continue
        column = _best(name, words, rows, taken)
        if column is None:
            continue
        taken.add(column)
        fields[name] = _one((Column(column),))
        if name == "amount" and _has_both_signs(rows, column):
            # A statement: what was spent is below 0.
            fields[name] = _one((Column(column),), ("abs",))
            fields["transaction_type"] = _one((Column(column),), ("debit_if_negative",))
        if name == "event_time" and (clock := _clock_beside(rows, column)):
            taken.add(clock)
            fields[name] = _one((Column(column), Literal(" "), Column(clock)))
    return Mapping(fields)


def _one(terms: tuple[Term, ...], forms: tuple[str, ...] = ()) -> Expression:
    return Expression((Alternative(terms, forms),))


@cache
def _words() -> dict[str, list[str]]:
    data: dict[str, list[str]] = yaml.safe_load((DATA / "guess.yaml").read_text(encoding="utf-8"))
    return data


def _best(field: str, words: list[str], rows: Rows, taken: set[str]) -> str | None:
    """The first column, by the order of the words, whose values fit; a name in full before one that ends in a word."""
    reads = _FITS.get(field)
    bare = [(_SIGNS.sub("", column.lower()), column) for column in rows.columns if column not in taken]
    last = [
        (_SIGNS.sub("", column.lower().rsplit(".", 1)[-1]), column) for column in rows.columns if column not in taken
    ]
    for names, same in ((bare, str.__eq__), (last, str.__eq__), (bare, _has_at_its_end)):
        for word in (_SIGNS.sub("", word) for word in words):
            for name, column in names:
                if same(name, word) and (reads is None or _fits(reads, rows, column)):
                    return column
    if field == "event_time":
        times = [column for _, column in bare if _fits(_FITS["event_time"], rows, column)]
        return times[0] if len(times) == 1 else None
    return None


def _has_at_its_end(name: str, word: str) -> bool:
    """`transactionamount` for `amount`, `amounteur` too: words long enough to mean something."""
    return len(word) > 4 and (name.endswith(word) or name.startswith(word))


def _fits(reads: Callable[[list[Any]], bool], rows: Rows, column: str) -> bool:
    get = rows.getter(column)
    values = [value for row in rows.sample if (value := get(row.values)) not in (None, "")]
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
    signs = [str(get(row.values)).replace("\u2212", "-").strip() for row in rows.sample]
    return any(
        text.startswith(("-", "(")) or text.endswith("-") or "-" in text[:5] for text in signs if "e-" not in text
    )


def _clock_beside(rows: Rows, column: str) -> str | None:
    """The column with the time of day, where `column` has nothing but dates."""
    dates = [str(get_value) for row in rows.sample if (get_value := rows.getter(column)(row.values)) not in (None, "")]
    if any(":" in text or text.isdigit() for text in dates):
        return None
    for other in rows.columns:
        if _SIGNS.sub("", other.lower()) not in (
            "time",
            "hour",
            "hora",
            "uhrzeit",
            "heure",
            "timeofday",
            "transactiontime",
        ):
            continue
        values = [str(rows.getter(other)(row.values) or "") for row in rows.sample]
        if all(_CLOCK.fullmatch(value.strip()) for value in values if value.strip()):
            return other
    return None

"""How a file is going to be read: by a known layout, by a mapping that was given, or by a guess; and how that looks.

A guess is not acted upon before a person has seen it: `Plan.is_guess` says that somebody has to agree.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from streamguard.ingest.columns import Options, missing_columns
from streamguard.ingest.errors import BadRow, InputError
from streamguard.ingest.guess import guessed, guessed_label
from streamguard.ingest.layouts import Layout, known_layouts, layout_of, recognised
from streamguard.ingest.mapping import Mapping, mapping_of
from streamguard.ingest.payments import PaymentReader, bind, described, shown_columns
from streamguard.ingest.rows import Rows


@dataclass(frozen=True)
class Plan:
    """A file and the reader of its rows. `title` says what it was taken for."""

    rows: Rows
    mapping: Mapping
    reader: PaymentReader
    title: str
    is_guess: bool
    notes: tuple[str, ...] = field(default=())
    options: Options | None = None

    def new_reader(self) -> PaymentReader:
        """One more reader: ids made of rows count how often a row was seen, so each pass over a file needs its own."""
        return bind(self.mapping, self.rows, self.options)

    def preview(self, count: int = 5) -> tuple[list[dict[str, Any]], list[str]]:
        """The first payments as they would be stored, and why rows before them are none."""
        reader = self.new_reader()
        payments: list[dict[str, Any]] = []
        refused = []
        for row in islice(self.rows.sample, 100):
            try:
                payment = reader.read(row.values)
            except BadRow as error:
                refused.append(f"line {row.line}: {error}")
                continue
            payments.append({**payment.fields, **payment.marks})
            if len(payments) == count:
                break
        return payments, refused


def plan(rows: Rows, layout: str | None = None, mapping: str | None = None, options: Options | None = None) -> Plan:
    """Decide how to read `rows`: `layout` names one, `mapping` is the text of `--map` and goes over the layout's fields.

    Raises InputError for a layout, mapping or column that is not there, Ambiguous for what only the owner knows.
    """
    given = mapping_of(mapping) if mapping else Mapping()
    for name, expression in given.fields.items():
        if missing := missing_columns(expression, rows):
            raise InputError(
                f"--map {name}={expression}: {described(rows)} has no column {missing}; its columns are {shown_columns(rows)}"
            )
    known = layout_of(layout) if layout else recognised(rows)
    if layout and known:
        _check_columns(known, rows)
    if known is None:
        base = guessed(rows, given.fields.keys())
        complete = given.fields.keys() >= base.fields.keys() or _says_all(given)
        # What a mapping names in full is no guess: columns that it leaves out are left out.
        wanted = given if complete else base.changed_by(given)
        title, is_guess, notes = ("--map", False, ()) if complete else ("a guess from header and values", True, ())
        chosen = Plan(rows, wanted, bind(wanted, rows, options), title, is_guess, notes, options)
        if is_guess:
            _check_guess(chosen)
        return chosen
    wanted = known.mapping.changed_by(given)
    reader, said = bind(wanted, rows, options), known.notes
    is_ours = known in known_layouts() and not wanted.keeps_rest
    if is_ours and "label" not in reader.columns and (label := guessed_label(rows)):
        # Somebody has added what they know of the payments: that is never left out in silence.
        wanted = wanted.changed_by(Mapping({"label": label}))
        reader, said = bind(wanted, rows, options), (*said, f"label: from the column {label}")
    return Plan(rows, wanted, reader, known.title, False, said, options)


def _says_all(given: Mapping) -> bool:
    return {"account_id", "amount", "event_time"} <= given.fields.keys()


def _check_guess(chosen: Plan) -> None:
    """Raise InputError where the guess reads none of the first rows: it is wrong, or the file says what nobody can read."""
    payments, refused = chosen.preview(1)
    if not payments:
        raise InputError(
            f"{described(chosen.rows)}: no row can be read by the guess {chosen.mapping} ({refused[0]}): say which column "
            "holds what with --map"
        )


def _check_columns(layout: Layout, rows: Rows) -> None:
    """Raise InputError where a layout that was asked for does not fit; one that names no columns is left to `bind`."""
    if layout.columns and not layout.fits(rows):
        wanted = " or ".join(", ".join(one) for one in layout.columns)
        raise InputError(
            f"{described(rows)} is not the layout {layout.name}, which has {wanted}; its columns are {shown_columns(rows)}"
        )

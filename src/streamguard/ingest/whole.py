"""A file whose every row has to be a payment: for what cannot go on with a part of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from streamguard.ingest.columns import Options
from streamguard.ingest.errors import BadRow, InputError
from streamguard.ingest.files import Unreadable, open_source
from streamguard.ingest.payments import Payment
from streamguard.ingest.plan import Plan, plan
from streamguard.ingest.records import RowRecords
from streamguard.producer.record import Record

Read = TypeVar("Read")


def read_records(path: Path | str, options: Options | None = None) -> Iterator[Record]:
    """The records of a file of a known layout, or of one that can be guessed. Raises InputError, naming the line at fault."""
    return _each(path, options, lambda chosen: RowRecords(chosen.reader, chosen.mapping.keeps_rest))


def read_payments(path: Path | str, options: Options | None = None) -> Iterator[Payment]:
    """The payments of such a file, without records of other kinds. Raises InputError, naming the line at fault."""
    return _each(path, options, lambda chosen: chosen.reader.read)


def _each(path: Path | str, options: Options | None, reader: Callable[[Plan], Callable[[Any], Read]]) -> Iterator[Read]:
    with closing(open_source(str(path))) as source:
        read = reader(plan(source, options=options))
        for row in source.rows():
            if isinstance(row, Unreadable):
                raise InputError(f"{path} line {row.line}: {row.reason}")
            try:
                found = read(row.values)
            except BadRow as error:
                raise InputError(f"{path} line {row.line}: {error}") from None
            yield found

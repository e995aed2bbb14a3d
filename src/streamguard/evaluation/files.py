"""Labelled payments of a file or a folder, in whatever layout `streamguard import` reads."""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import replace
from functools import partial
from operator import attrgetter
from pathlib import Path

import msgspec

from streamguard.config import UserError
from streamguard.config.machine import processors
from streamguard.evaluation.data import DataError, Labelled, LabelledPayment
from streamguard.evaluation.workers import context
from streamguard.ingest.columns import Options
from streamguard.ingest.errors import BadRow
from streamguard.ingest.files import Row, open_source
from streamguard.ingest.payments import Payment, PaymentReader
from streamguard.ingest.plan import Plan, plan
from streamguard.ingest.records import value_of
from streamguard.ingest.refusals import Refusals
from streamguard.ingest.rows import Rows

LEAST_BYTES = 2_000_000
"""Files that are smaller together are read sooner than processes are started."""


def read(
    path: Path,
    layout: str | None = None,
    mapping: str | None = None,
    options: Options | None = None,
    *,
    labelled: bool = True,
) -> Labelled:
    """All payments of a file, or of all files of a folder, by time. Raises DataError, InputError.

    The other arguments are those of `plan`. No figure depends on the currency: files that name none are taken as euros.
    Without `labelled` files that have no labels are read too.
    """
    options = replace(options or Options(), currency=(options and options.currency) or "EUR")
    refusals = Refusals()
    said: list[str] = []
    plan_of = partial(plan, layout=layout, mapping=mapping, options=options)
    payments: list[LabelledPayment] = []
    for found in _read_files(_files(path), plan_of, labelled):
        payments += found.payments
        refusals.take(found.refusals)
        said += found.files
    if not payments:
        reasons = "; ".join(refusals.sentences())
        raise DataError(f"{path} has no row that is a payment: {reasons}")
    if labelled and not any(payment.is_fraud for payment in payments):
        raise DataError(
            f"{path}: none of its {len(payments):,} payments is labelled as fraud, so nothing can be measured"
        )
    payments.sort(key=attrgetter("at_ms"))
    return Labelled(payments, refusals, said)


def _files(path: Path) -> list[Path]:
    """The files to read; raises DataError for a folder without any."""
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith((".", "README")))
    if not files:
        raise DataError(f"no file of payments in {path}: put CSV, JSON or Parquet there, or name a file")
    return files


def _read_files(files: list[Path], plan_of: Callable[[Rows], Plan], labelled: bool) -> Iterator[Labelled]:
    """What each file has, in their order: several large ones are read side by side, each in a process of its own."""
    large = sum(file.stat().st_size for file in files if file.is_file()) >= LEAST_BYTES
    count = min(len(files), processors())
    if not large or count < 2:
        yield from (_read_file(file, plan_of, labelled) for file in files)
        return
    with ProcessPoolExecutor(count, context()) as pool:
        waiting = deque((file, pool.submit(_packed, file, plan_of, labelled)) for file in files)
        try:
            while waiting:
                file, future = waiting.popleft()
                # A file at fault is read once more here, for its error.
                yield _unpacked(future.result()) or _read_file(file, plan_of, labelled)
        except BrokenProcessPool:
            raise UserError(
                "a process that read files has ended, perhaps for want of memory: run it again, or name one file"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _packed(file: Path, plan_of: Callable[[Rows], Plan], labelled: bool) -> tuple[bytes, Refusals, list[str]] | None:
    """What a file has, as it goes from process to process; None where it cannot be read."""
    gc.disable()
    try:
        found = _read_file(file, plan_of, labelled)
    except UserError:
        return None
    return msgspec.msgpack.encode(found.payments), found.refusals, found.files


def _unpacked(content: tuple[bytes, Refusals, list[str]] | None) -> Labelled | None:
    if content is None:
        return None
    payments, refusals, files = content
    return Labelled(msgspec.msgpack.decode(payments, type=list[LabelledPayment]), refusals, files)


def _read_file(file: Path, plan_of: Callable[[Rows], Plan], labelled: bool) -> Labelled:
    """The payments of one file; raises DataError where it has no labels, InputError where it cannot be read."""
    found = Labelled([], Refusals(), [])
    payments, refusals = found.payments, found.refusals
    with closing(open_source(str(file))) as source:
        chosen = plan_of(source)
        reader = chosen.reader
        found.files.append(f"{source.name}: {chosen.title} ({', '.join(source.found)})")
        if labelled:
            _check_labels(file, reader)
        for row in source.rows():
            if not isinstance(row, Row):
                refusals.add(row.line, row.reason)
                continue
            try:
                payment = reader.read(row.values)
            except BadRow as error:
                refusals.add(row.line, str(error), error.kind)
                continue
            payments.append(_labelled(payment))
    return found


def _labelled(payment: Payment) -> LabelledPayment:
    fields = payment.fields
    return LabelledPayment(
        fields["event_time"],
        fields["account_id"],
        fields.get("merchant_id"),
        float(fields["amount"]),
        payment.marks.get("label", ""),
        # As long as it is: orjson leaves a kilobyte behind each of its texts, 5 GB for a million payments.
        bytes(memoryview(value_of(payment))),
    )


def _check_labels(file: Path, reader: PaymentReader) -> None:
    if "label" not in reader.columns:
        raise DataError(
            f"{file} has no column that says which payments are fraud, such as is_fraud: without labels there is nothing "
            "to measure"
        )

"""Labelled payments of a file or a folder, in whatever layout `streamguard import` reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from streamguard.config import UserError
from streamguard.ingest.columns import Options
from streamguard.ingest.errors import BadRow
from streamguard.ingest.files import Row, open_source
from streamguard.ingest.payments import PaymentReader
from streamguard.ingest.plan import Plan, plan
from streamguard.ingest.records import record_of
from streamguard.ingest.refusals import Refusals
from streamguard.ingest.rows import Rows

DAY_MS = 86_400_000


class DataError(UserError):
    """A folder or file without labelled payments, or with too few."""


@dataclass(frozen=True, slots=True)
class LabelledPayment:
    """One payment as a record of `transactions`; `at_ms` is its event time, `label` the truth: empty, or the kind of fraud.

    `amount` is in units of its currency.
    """

    at_ms: int
    account: str
    merchant: str | None
    amount: float
    label: str
    value: bytes

    @property
    def is_fraud(self) -> bool:
        return bool(self.label)

    @property
    def day(self) -> int:
        """Days since 1970, UTC."""
        return self.at_ms // DAY_MS


@dataclass(frozen=True)
class Labelled:
    """Payments by time, how many rows of the files are none, and what each file was taken for."""

    payments: list[LabelledPayment]
    refusals: Refusals
    files: list[str]


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
    payments = [payment for file in _files(path) for payment in _read_file(file, plan_of, refusals, said, labelled)]
    if not payments:
        reasons = "; ".join(refusals.sentences())
        raise DataError(f"{path} has no row that is a payment: {reasons}")
    if labelled and not any(payment.is_fraud for payment in payments):
        raise DataError(
            f"{path}: none of its {len(payments):,} payments is labelled as fraud, so nothing can be measured"
        )
    payments.sort(key=lambda payment: payment.at_ms)
    return Labelled(payments, refusals, said)


def _files(path: Path) -> list[Path]:
    """The files to read; raises DataError for a folder without any."""
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith((".", "README")))
    if not files:
        raise DataError(f"no file of payments in {path}: put CSV, JSON or Parquet there, or name a file")
    return files


def _read_file(
    file: Path, plan_of: Callable[[Rows], Plan], refusals: Refusals, said: list[str], labelled: bool
) -> Iterator[LabelledPayment]:
    """The payments of one file; raises DataError where it has no labels, InputError where it cannot be read."""
    with closing(open_source(str(file))) as source:
        chosen = plan_of(source)
        reader = chosen.reader
        said.append(f"{source.name}: {chosen.title} ({', '.join(source.found)})")
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
            record = record_of(payment)
            fields = payment.fields
            yield LabelledPayment(
                record.event_time,
                fields["account_id"],
                fields.get("merchant_id"),
                float(fields["amount"]),
                record.label,
                # As long as it is: orjson leaves a kilobyte behind each of its texts, 5 GB for a million payments.
                bytes(memoryview(record.value or b"")),
            )


def _check_labels(file: Path, reader: PaymentReader) -> None:
    if "label" not in reader.columns:
        raise DataError(
            f"{file} has no column that says which payments are fraud, such as is_fraud: without labels there is nothing "
            "to measure"
        )

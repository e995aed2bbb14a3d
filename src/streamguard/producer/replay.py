"""Replaying files: the card transactions of the Fraud Detection Handbook, and what `--to-file` wrote.

A CSV is recognised by its columns. Files of the handbook have customer_id, terminal_id and a timestamp (or the names
of its original tables, TX_DATETIME and the like); ours have account_id and event_time. JSON lines are ours.
"""

from __future__ import annotations

import calendar
import csv
import gzip
import io
import math
import time
import zlib
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

import orjson

from streamguard.producer.chargebacks import TOPIC as LABELS_TOPIC
from streamguard.producer.errors import InputError
from streamguard.producer.record import Record, encode
from streamguard.producer.sinks import COMMISSION_FIELDS, EXTRA_COLUMNS, FIELDS, file_kind

# The handbook, chapter 3, "Transaction data simulator": its three ways to inject fraud.
HANDBOOK_SCENARIOS = {"0": "", "1": "high_amount", "2": "compromised_terminal", "3": "leaked_card"}

_HANDBOOK_NEEDS = ("transaction_id", "timestamp", "customer_id", "terminal_id", "amount")
_HANDBOOK_ALIASES = {
    "tx_datetime": "timestamp",
    "tx_amount": "amount",
    "tx_fraud": "is_fraud",
    "tx_fraud_scenario": "fraud_scenario",
}
_OUR_NEEDS = ("transaction_id", "account_id", "amount", "currency", "event_time")


def _number(text: str) -> float:
    """A number as JSON has them: raises ValueError for nan and infinity too."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return value


def _whole(text: str) -> int:
    """A whole number of at most 63 bits; raises ValueError."""
    value = int(text)
    if abs(value) >= 2**63:
        raise ValueError
    return value


_NUMBERS: dict[str, Callable[[str], float]] = {
    "amount": _number,
    "latitude": _number,
    "longitude": _number,
    "commission": _number,
    "event_time": _whole,
}


class BadRow(ValueError):
    """A row that cannot be read; the caller adds the file and the line."""


def read_records(path: Path, currency: str = "EUR") -> Iterator[Record]:
    """The records of a file, in its order, labels as headers. `currency` is for files that name none.

    Raises InputError naming the file, and the line where a line is at fault.
    """
    kind = file_kind(path)
    read = 0
    try:
        with _open(path) as file:
            rows = _csv_records(path, file, currency) if kind == "csv" else _json_records(file)
            for read, record in rows:  # noqa: B007 - the position is reported when reading fails
                yield record
    except BadRow as error:
        raise InputError(f"{path} line {error.args[0]}: {error.args[1]}") from None
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot read {path}{f' after line {read}' if read else ''}: {reason}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} after line {read} is no readable text: {error}") from None


def span_ms(path: Path, limit: int | None) -> tuple[int, int]:
    """First and last event time of a file, of its first `limit` records."""
    first = last = 0
    for number, record in enumerate(read_records(path)):
        if limit is not None and number >= limit:
            break
        first = first or record.event_time
        last = max(last, record.event_time)
    return first, last


def shifted(records: Iterator[Record], by_ms: int) -> Iterator[Record]:
    """The records moved in time, in the value as well."""
    for record in records:
        try:
            fields = orjson.loads(record.value or b"")
        except orjson.JSONDecodeError:
            yield record
            continue
        if isinstance(fields, dict) and isinstance(fields.get("event_time"), int):
            fields["event_time"] += by_ms
            record = record._replace(value=orjson.dumps(fields))
        yield record._replace(event_time=record.event_time + by_ms)


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb")  # type: ignore[return-value]


def _csv_records(path: Path, file: IO[bytes], currency: str) -> Iterator[tuple[int, Record]]:
    """(line, record) of a CSV; raises InputError for its columns, BadRow for a line."""
    with io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
        reader = csv.reader(text)
        convert = _row_reader(path, [name.strip().lower() for name in next(reader, [])], currency)
        for row in reader:
            if not row:
                continue
            try:
                yield reader.line_num, convert(row)
            except (ValueError, IndexError) as error:
                reason = "fewer columns than the first line" if isinstance(error, IndexError) else str(error)
                raise BadRow(reader.line_num, reason) from None


def _row_reader(path: Path, names: list[str], currency: str) -> Callable[[list[str]], Record]:
    """What turns a row into a record, by the names of the columns; raises InputError for one that is missing."""
    header = [_HANDBOOK_ALIASES.get(name, name) for name in names]
    is_ours = "account_id" in header or "event_time" in header
    missing = [name for name in (_OUR_NEEDS if is_ours else _HANDBOOK_NEEDS) if name not in header]
    if missing:
        raise InputError(
            f"{path} lacks the column {', '.join(missing)}: a file to replay has {', '.join(_HANDBOOK_NEEDS)} "
            "(and is_fraud, fraud_scenario), or the columns that --to-file writes"
        )
    return _OurRows(header) if is_ours else _HandbookRows(header, currency)


class _HandbookRows:
    """Turns rows of the handbook into records."""

    def __init__(self, header: list[str], currency: str) -> None:
        self._at = [header.index(name) for name in _HANDBOOK_NEEDS]
        self._fraud = header.index("is_fraud") if "is_fraud" in header else None
        self._scenario = header.index("fraud_scenario") if "fraud_scenario" in header else None
        self._currency = currency
        self._time = _TimeReader()

    def __call__(self, row: list[str]) -> Record:
        transaction_id, timestamp, customer, terminal, amount = [row[n] for n in self._at]
        try:
            value = _number(amount)
        except ValueError:
            raise ValueError(f"amount {amount!r} is no number") from None
        fields = {
            "transaction_id": transaction_id,
            "account_id": customer,
            "amount": value,
            "currency": self._currency,
            "transaction_type": "card",
            "channel": "pos",
            "merchant_id": terminal,
            "event_time": self._time(timestamp),
        }
        return encode(fields, self._label(row))

    def _label(self, row: list[str]) -> str:
        scenario = row[self._scenario] if self._scenario is not None else "0"
        if scenario not in HANDBOOK_SCENARIOS:
            raise ValueError(f"fraud_scenario {scenario!r} is none of {', '.join(HANDBOOK_SCENARIOS)}")
        is_fraud = self._fraud is not None and row[self._fraud] not in ("0", "", "false", "False")
        return HANDBOOK_SCENARIOS[scenario] or ("fraud" if is_fraud else "")


class _TimeReader:
    """Epoch milliseconds of '2018-04-01T00:00:31Z' and its relatives; a time without a zone is UTC."""

    def __init__(self) -> None:
        self._days: dict[str, int] = {}

    def __call__(self, text: str) -> int:
        if len(text) == 20 and text[-1] == "Z" and text[10] == "T":
            day = self._days.get(text[:10])
            if day is None:
                day = self._days[text[:10]] = calendar.timegm(time.strptime(text[:10], "%Y-%m-%d"))
            return (day + int(text[11:13]) * 3600 + int(text[14:16]) * 60 + int(text[17:19])) * 1000
        return parse_time(text)


def parse_time(text: str) -> int:
    """Epoch milliseconds of an ISO 8601 date and time; raises ValueError naming the text."""
    try:
        moment = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        raise ValueError(f"{text!r} is no date and time such as 2026-01-05T12:00:00Z") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return round(moment.timestamp() * 1000)


class _OurRows:
    """Turns rows that `--to-file` wrote into the records they were."""

    def __init__(self, header: list[str]) -> None:
        known = (*FIELDS, *COMMISSION_FIELDS)
        self._columns = [(n, name, _NUMBERS.get(name, str)) for n, name in enumerate(header) if name in known]
        self._extra = [(n, name) for n, name in enumerate(header) if name in EXTRA_COLUMNS]

    def __call__(self, row: list[str]) -> Record:
        fields: dict[str, Any] = {}
        for n, name, convert in self._columns:
            text = row[n]
            try:
                fields[name] = convert(text) if text != "" else None
            except ValueError:
                raise ValueError(f"{name} {text!r} is no number") from None
        missing = [name for name in _OUR_NEEDS if fields[name] is None]
        if missing:
            raise ValueError(f"{', '.join(missing)} is empty")
        return _marked(encode(fields), {name: row[n] for n, name in self._extra})


def _json_records(file: IO[bytes]) -> Iterator[tuple[int, Record]]:
    """(line, record) of JSON lines; raises BadRow."""
    last_ms = 0
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        try:
            fields = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise BadRow(number, f"not JSON: {error}") from None
        if not isinstance(fields, dict):
            raise BadRow(number, "not a JSON object")
        extra = {name: str(fields.pop(name)) for name in EXTRA_COLUMNS if name in fields}
        topic = str(fields.pop("topic", ""))
        if topic:
            record = _label_record(number, fields, topic)
        elif "raw" in fields:
            raw = fields["raw"]
            try:
                value = None if raw is None else str(raw).encode("latin-1")
            except UnicodeEncodeError:
                raise BadRow(number, "raw has characters beyond Latin-1: it is made of bytes") from None
            record = Record(str(fields.get("key", "")).encode(), value, last_ms)
        else:
            record = _json_record(number, fields, last_ms, lenient="defect" in extra)
        last_ms = record.event_time
        yield number, _marked(record, extra)


def _label_record(number: int, fields: dict[str, Any], topic: str) -> Record:
    """A chargeback, the only record beside transactions that a file may hold; raises BadRow."""
    account, reported_at = fields.get("account_id"), fields.get("reported_at")
    if topic != LABELS_TOPIC:
        raise BadRow(number, f"topic is {topic!r}: only {LABELS_TOPIC} may be named")
    if not isinstance(account, str) or not isinstance(reported_at, int):
        raise BadRow(number, f"a record of {topic} needs account_id and reported_at")
    return Record(account.encode(), orjson.dumps(fields), reported_at, topic=topic)


def _marked(record: Record, extra: dict[str, str]) -> Record:
    """The record with what the columns beside the transaction say of it."""
    label, lookalike, incident, defect = (extra.get(name, "") for name in EXTRA_COLUMNS)
    return record._replace(label=label, lookalike=lookalike, incident=incident, defect=defect)


def _json_record(number: int, fields: dict[str, Any], last_ms: int, lenient: bool) -> Record:
    """A defective record is sent as it stands; any other one needs an account and a time to be sent at all."""
    account, event_time = fields.get("account_id"), fields.get("event_time")
    if not isinstance(account, str):
        raise BadRow(number, f"account_id is {account!r}: a string is expected")
    if not isinstance(event_time, int):
        if not lenient:
            raise BadRow(number, f"event_time is {event_time!r}: epoch milliseconds are expected")
        event_time = last_ms
    return Record(account.encode(), orjson.dumps(fields), event_time)

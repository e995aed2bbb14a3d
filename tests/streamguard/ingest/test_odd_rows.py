"""100,000 odd rows: each is stored exactly as it says, or refused with a reason, by every reader alike.

What a row says is known because the row is written from it: a value, and one of the ways in which people write it. Beside
those stand texts that mean nothing, or something else than they seem to.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamguard.evaluation.data import DataError
from streamguard.evaluation.files import read
from streamguard.ingest.feed import Feed
from streamguard.ingest.files import open_source
from streamguard.ingest.plan import plan
from streamguard.ingest.records import RowRecords
from streamguard.models import Transaction, places

ROWS, FILES = 500, 200
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
CURRENCIES = ("EUR", "USD", "BRL", "JPY", "KWD", "KES")
ODD_AMOUNTS = (
    "", " ", "-", ".", ",", "abc", "1..2", "1.2.3", "1,2,3", "NaN", "inf", "-Infinity", "1e400", "0", "0,00", "0.00", "-5", "(7)",
    "1e-9", "999999999999999", "1.23456", "12:30", "5 XYZ", "$", "5$$", "١٢", "0x10", "1_000",
    "\x00", "5\x005", "𝟓", "1/2", "--5",
)  # fmt: skip
ODD_TIMES = (
    "", "25:61", "2018-04-01T25:61:61Z", "2018-02-30", "yesterday", "1e400", "NaN", "-1", "99999999999999999999", "2018-13-01",
    "2018-04-01T00:00:00+99:00", "0000-00-00 00:00:00", "31/31/2020", "2018-04-01 00:00:00 XYZ", "now()", "1.5.2",
)  # fmt: skip
ODD_LABELS = ("maybe", "2", "0.5", "fraud?", "TRUE FALSE", "-1", "\x00", "1.0.0")
ODD_TEXTS = ("", " ", "x" * 300, 'O\'Neill; "Bob", Inc.', "\u202e", "😀", "a\nb", "-", "=1+1", "ß", "NULL", "None")
LABELS = {
    True: ("1", "1.0", "true", "TRUE", "True", "yes", "Y", "fraud", "t"),
    False: ("0", "0.0", "false", "No", "n", "f", ""),
}

Style = Callable[[Random, Any], str]


def plain(_: Random, amount: Decimal) -> str:
    return f"{amount:f}"


def grouped(_: Random, amount: Decimal) -> str:
    return f"{amount:,f}"


def comma(_: Random, amount: Decimal) -> str:
    return f"{amount:,f}".translate(str.maketrans(",.", ".,"))


def spaced(_: Random, amount: Decimal) -> str:
    return f"{amount:,f}".translate(str.maketrans(",.", "\u202f,"))


AMOUNTS: tuple[Style, ...] = (plain, grouped, comma, spaced)


def moment(time_ms: int) -> datetime:
    return EPOCH + timedelta(milliseconds=time_ms)


def iso(rng: Random, time_ms: int) -> str:
    at = moment(time_ms)
    style = rng.randrange(4)
    if style == 0:
        return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if style == 1:
        return at.strftime("%Y-%m-%d %H:%M:%S.") + f"{time_ms % 1000:03d}"
    if style == 2:
        zone = timezone(timedelta(hours=rng.randrange(-11, 13)))
        return at.astimezone(zone).isoformat(timespec="milliseconds")
    return at.isoformat(timespec="microseconds")


def day_first(_: Random, time_ms: int) -> str:
    return moment(time_ms).strftime("%d/%m/%Y %H:%M:%S") + f".{time_ms % 1000:03d}"


def month_first(_: Random, time_ms: int) -> str:
    return moment(time_ms).strftime("%m/%d/%Y %I:%M:%S") + f".{time_ms % 1000:03d}" + moment(time_ms).strftime(" %p")


TIMES: tuple[Style, ...] = (
    iso,
    day_first,
    month_first,
    lambda _, time_ms: f"{time_ms // 1000}.{time_ms % 1000:03d}",
    lambda _, time_ms: str(time_ms),
    lambda rng, time_ms: f"{time_ms}{rng.randrange(1000):03d}",
    lambda rng, time_ms: f"{time_ms}{rng.randrange(1_000_000):06d}",
)


def odd(rng: Random, texts: tuple[str, ...]) -> str | None:
    """Now and then a text that means nothing."""
    return rng.choice(texts) if rng.random() < 0.05 else None


def a_row(rng: Random, amount_style: Style, time_style: Style) -> tuple[list[str], tuple[Any, ...] | None]:
    """A row as it is written, and what it says; None where one of its texts is odd."""
    currency = rng.choice(CURRENCIES)
    amount = Decimal(rng.randrange(1, 10 ** rng.randrange(1, 12))).scaleb(-places(currency))
    time_ms = rng.randrange(1_000_000_000_000, 1_790_000_000_000)
    is_fraud = rng.random() < 0.1
    account = rng.choice(ODD_TEXTS) if rng.random() < 0.02 else f"A-{rng.randrange(50)}"
    texts = {
        "amount": odd(rng, ODD_AMOUNTS),
        "time": odd(rng, ODD_TIMES),
        "label": odd(rng, ODD_LABELS),
    }
    written = [
        account,
        amount_style(rng, amount) if texts["amount"] is None else texts["amount"],
        rng.choice((currency, currency.lower(), currency.title(), f" {currency} ")),
        time_style(rng, time_ms) if texts["time"] is None else texts["time"],
        rng.choice(LABELS[is_fraud]) if texts["label"] is None else texts["label"],
    ]
    said = (account.strip(), amount, currency, time_ms, "fraud" if is_fraud else "")
    return written, said if not any(text is not None for text in texts.values()) else None


def is_what_it_says(written: list[str], transaction: Transaction, label: str) -> bool:
    """Whether an odd row that was taken has no other value than one can read in it: the same digits, the same year."""
    _, amount, currency, time, truth = written
    digits = [character for character in amount if character.isdigit() or character in "eE"]
    found = [character for character in f"{transaction.amount.normalize():f}" if character.isdigit()]
    same_amount = "".join(str(int(d)) if d.isdigit() else d for d in digits).strip("0") == "".join(found).strip("0")
    same_label = (label == "fraud") == (truth in LABELS[True])
    return (
        (same_amount or "e" in amount)
        and same_label
        and transaction.currency == currency.strip().upper()
        and bool(time)
    )


a_file = given(seed=st.integers(0, 2**32), amounts=st.sampled_from(AMOUNTS), times=st.sampled_from(TIMES))


@settings(max_examples=FILES // 4, deadline=None, suppress_health_check=list(HealthCheck))
@a_file
def test_a_row_is_stored_exactly_or_refused(tmp_path_factory: Any, seed: int, amounts: Style, times: Style) -> None:
    check(tmp_path_factory, seed, amounts, times)


@pytest.mark.soak
@settings(max_examples=FILES, deadline=None, suppress_health_check=list(HealthCheck))
@a_file
def test_each_of_100_000_rows_is_stored_exactly_or_refused(
    tmp_path_factory: Any, seed: int, amounts: Style, times: Style
) -> None:
    check(tmp_path_factory, seed, amounts, times)


def check(tmp_path_factory: Any, seed: int, amounts: Style, times: Style) -> None:
    """A file of 500 odd rows: what `import` and `evaluate` read of it is what it says, the rest is refused."""
    rng = Random(seed)
    rows = [a_row(rng, amounts, times) for _ in range(ROWS)]
    path: Path = tmp_path_factory.getbasetemp() / "odd.csv"
    with path.open("w", encoding="utf-8", errors="surrogatepass", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["Customer", "Amount", "Currency", "Time", "is_fraud"])
        writer.writerows(written for written, _ in rows)
    source = open_source(str(path))
    chosen = plan(source)
    feed = Feed(source, RowRecords(chosen.reader, chosen.mapping.keeps_rest), None)
    lines: list[int] = []
    records = list(feed.records(lines.append))
    assert feed.rows_read == len(records) + feed.refusals.count == len(rows)
    stored = {
        line: (Transaction.from_record(record.value, record.key), record.label)
        for line, record in zip(lines, records, strict=True)
    }
    assert source.again is not None
    with closing(source.again()) as again:
        for (written, said), row in zip(rows, again.rows(), strict=True):
            transaction, label = stored.get(row.line, (None, ""))
            if said is not None and 0 < len(said[0]) <= 255:
                assert transaction is not None, written
                t = transaction
                assert (t.account_id, t.amount, t.currency, t.event_time, label) == said, written
            elif transaction is not None:
                assert is_what_it_says(written, transaction, label), (written, transaction)
    for reason in feed.refusals.kinds.values():
        assert reason.example and "Traceback" not in reason.example and "pattern" not in reason.example
    try:
        labelled = read(path)
    except DataError:
        assert not any(record.label for record in records)
        return
    assert labelled.refusals.count == feed.refusals.count
    assert sorted(payment.amount for payment in labelled.payments) == sorted(
        float(t.amount) for t, _ in stored.values()
    )

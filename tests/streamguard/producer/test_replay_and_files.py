"""Files out and in again; the handbook's columns; what is said of a file that cannot be used."""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from contextlib import closing
from itertools import islice
from pathlib import Path

import orjson
import pytest

from streamguard.config import UserError as InputError
from streamguard.ingest.columns import Options
from streamguard.ingest.records import shifted
from streamguard.ingest.whole import read_records
from streamguard.models import Transaction
from streamguard.models.readings import parse_time
from streamguard.producer.record import Record
from streamguard.producer.runs import Recipe, Run
from streamguard.producer.sinks import FileSink
from tests.support.cards import HANDBOOK, NO_HANDBOOK, write_months

HEADER = "transaction_id,timestamp,customer_id,terminal_id,amount,is_fraud,fraud_scenario\n"
ROW = "17,2018-04-01T00:00:31Z,596,3156,57.16,0,0\n"
NOW_MS = 1_790_000_000_000


def batch(count: int, **recipe: object) -> list[Record]:
    return list(Run(Recipe(seed=7, **recipe)).batch(count, None, None, NOW_MS))  # type: ignore[arg-type]


def written(path: Path, records: list[Record]) -> Path:
    sink = FileSink(path)
    with closing(sink):
        for record in records:
            sink.send(record)
        sink.finish()
    return path


def handbook(folder: Path, text: str) -> Path:
    path = folder / "cards.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz", "out.csv", "out.csv.gz"])
def test_what_is_written_is_read_again_as_it_was(tmp_path: Path, name: str) -> None:
    records = batch(2000, fraud_share=0.2)
    path = written(tmp_path / name, records)
    assert list(read_records(path)) == records
    assert path.read_bytes() == written(tmp_path / ("again-" + name), records).read_bytes()


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv"])
def test_commissions_are_written_and_read_again(tmp_path: Path, name: str) -> None:
    records = batch(300, profile="psp")
    assert {orjson.loads(r.value or b"")["commission_type"] for r in records} == {"flat", "tiered", "progressive"}
    assert list(read_records(written(tmp_path / name, records))) == records


def test_chargebacks_survive_json_lines_and_have_no_columns(tmp_path: Path) -> None:
    records = batch(300, fraud_share=0.3, chargebacks=True)
    assert sum(record.topic == "fraud_labels" for record in records) > 30
    path = written(tmp_path / "out.jsonl", records)
    assert list(read_records(path)) == records
    with pytest.raises(InputError, match=r"a record of fraud_labels has no columns: write \.jsonl"):
        written(tmp_path / "out.csv", records)
    path.write_bytes(path.read_bytes().replace(b'"fraud_labels"', b'"fraud_alerts"', 1))
    with pytest.raises(InputError, match="topic is 'fraud_alerts': only fraud_labels may be named"):
        list(read_records(path))


def test_bad_records_survive_json_lines(tmp_path: Path) -> None:
    records = batch(1000, bad={"malformed": 0.3, "duplicated": 0.1, "late": 0.1})
    again = list(read_records(written(tmp_path / "out.jsonl", records)))
    assert [record.value for record in again] == [record.value for record in records]
    assert [record.defect for record in again] == [record.defect for record in records]
    for record in records:
        if record.defect == "malformed":
            with pytest.raises(InputError, match=r"a malformed value has no columns: write \.jsonl"):
                written(tmp_path / "out.csv", [record])


def test_the_handbooks_rows_become_transactions(tmp_path: Path) -> None:
    path = handbook(tmp_path, HEADER + ROW + "18,2018-04-01T10:20:30Z,2,9,221.50,1,2\n")
    first, second = read_records(path, Options(currency="BRL"))
    transaction = Transaction.from_record(first.value, first.key)
    assert transaction.transaction_id == "17"
    assert transaction.account_id == "596"
    assert transaction.merchant_id == "3156"
    assert transaction.currency == "BRL"
    assert str(transaction.amount) == "57.16"
    assert transaction.event_time == first.event_time == 1_522_540_831_000
    assert (first.label, second.label) == ("", "compromised_terminal")


def test_the_handbooks_own_table_names_are_known(tmp_path: Path) -> None:
    text = "TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT,TX_FRAUD\n1,2018-04-01 00:00:31,5,6,7.10,1\n"
    (record,) = read_records(handbook(tmp_path, text))
    assert (record.event_time, record.label) == (1_522_540_831_000, "fraud")


def test_a_made_month_reads_as_it_is(tmp_path: Path) -> None:
    (path,) = write_months(tmp_path, "04")
    assert bursts_of_a_month_that_reads_as_it_is(path) > 10


@pytest.mark.shared
@pytest.mark.skipif(not HANDBOOK.exists(), reason=NO_HANDBOOK)
def test_the_recorded_month_reads_as_it_is() -> None:
    assert bursts_of_a_month_that_reads_as_it_is(HANDBOOK / "transactions-2018-04.csv.gz") == 144


def bursts_of_a_month_that_reads_as_it_is(path: Path) -> int:
    """Compare the records with the rows of the file; the number of account hours with more than 2 payments."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = list(islice(csv.DictReader(file), 50_000))
    records = list(islice(read_records(path), 50_000))
    assert [record.key.decode() for record in records] == [row["customer_id"] for row in rows]
    assert [orjson.loads(record.value or b"")["amount"] for record in records] == [float(row["amount"]) for row in rows]
    assert sum(bool(record.label) for record in records) == sum(row["is_fraud"] == "1" for row in rows)
    counts = Counter((record.key, record.event_time // 3_600_000) for record in records)
    return sum(count > 2 for count in counts.values())


def test_times_can_be_moved(tmp_path: Path) -> None:
    path = handbook(tmp_path, HEADER + ROW + ROW.replace("00:00:31", "01:00:31") + ROW.replace("00:00:31", "09:00:00"))
    moved = list(shifted(read_records(path), 1000))
    assert [record.event_time for record in moved] == [record.event_time + 1000 for record in read_records(path)]
    assert orjson.loads(moved[0].value or b"")["event_time"] == 1_522_540_832_000


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty: there is nothing to import"),
        (
            HEADER.replace("amount,", "") + ROW,
            "cards.csv has no line with the names of the columns: line 2 has values",
        ),
        ("account_id,amount\n", "holds no rows, only what precedes them"),
        (HEADER + ROW + ROW.replace("57.16", "much"), "line 3: amount 'much' is no number"),
        (HEADER + ROW.replace("57.16", "nan"), "line 2: amount 'nan' is no number"),
        (HEADER + ROW.replace("57.16", "1e400"), "line 2: amount: below 1000000000000 is expected (got 1E+400)"),
        ("transaction_id,account_id,amount,currency,event_time\nt,A,1,BRL,1" + 20 * "0", "event_time has '1000"),
        (
            HEADER + ROW.replace("2018-04-01T00:00:31Z", "yesterday"),
            "timestamp has 'yesterday': no date and time by any calendar",
        ),
        (HEADER + "1,2018-04-01T00:00:31Z\n", "line 2: it has 2 cells, the header has 7"),
        (HEADER + ROW.replace(",0,0", ",1,9"), "line 2: fraud_scenario '9' is none of 0, 1, 2, 3"),
    ],
)
def test_a_csv_that_cannot_be_used_is_named(tmp_path: Path, text: str, sentence: str) -> None:
    path = handbook(tmp_path, text)
    with pytest.raises(InputError) as refusal:
        list(read_records(path))
    assert path.name in str(refusal.value)
    assert sentence in str(refusal.value)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (b"{", "is neither a JSON document nor one JSON object per line"),
        ('{"key":"A","raw":"Ж"}'.encode(), "line 1: raw has characters beyond Latin-1"),
        (b"[]", "holds no rows"),
        (b'{"amount": 1}', "has no account_id: say --map account_id='...'"),
        (b'{"account_id": "A"}', "has no amount: say --map amount=COLUMN"),
    ],
)
def test_json_lines_that_cannot_be_used_are_named(tmp_path: Path, line: bytes, sentence: str) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(line + b"\n")
    with pytest.raises(InputError, match=sentence):
        list(read_records(path))


def test_files_that_cannot_be_read_or_written_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.csv cannot be opened: No such file or directory"):
        list(read_records(tmp_path / "none.csv"))
    plain = handbook(tmp_path, HEADER + ROW).rename(tmp_path / "plain.csv.gz")
    assert len(list(read_records(plain))) == 1, "content counts, not the name"
    with pytest.raises(InputError, match=r"cannot write .*: No such file or directory"):
        FileSink(tmp_path / "no" / "folder.csv")
    cut = tmp_path / "cut.csv.gz"
    cut.write_bytes(gzip.compress((HEADER + ROW * 5000).encode())[:-200])
    with pytest.raises(InputError, match=r"cut\.csv\.gz cannot be read: Compressed file ended"):
        list(read_records(cut))
    latin = tmp_path / "latin.csv"
    latin.write_bytes(HEADER.encode() + ROW.encode().replace(b"596", b"\xe9"))
    assert [record.key.decode() for record in read_records(latin)] == ["é"]


def test_times_in_words_of_iso_8601() -> None:
    assert parse_time("2026-01-05T12:00:00Z") == parse_time("2026-01-05 12:00") == parse_time("2026-01-05T09:00-03:00")
    with pytest.raises(ValueError, match="'noon' is no date and time"):
        parse_time("noon")

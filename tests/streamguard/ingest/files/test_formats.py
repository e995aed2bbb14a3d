"""Random tables in every format and packing come back as they were written; damage is named, nothing is left out."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard.ingest.files import InputError, RefusedFile, Row, Source, Unreadable, open_source


def _zip(data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("folder/rows.jsonl", data)
        archive.writestr("__MACOSX/._rows.jsonl", b"")
    return file.getvalue()


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gzip": gzip.compress,
    "zstandard": zstandard.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zip": _zip,
}

_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\x1a"), max_size=20)
_cell = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from('\r\n\t,;|"'), max_size=20).filter(
    lambda text: not text or not text.isspace()
)
_tables = st.integers(2, 5).flatmap(
    lambda width: st.lists(st.lists(_cell, min_size=width, max_size=width).filter(lambda row: bool(row[0])), min_size=1)
)


def _read(data: bytes, name: str = "payments", **options: Any) -> list[Row | Unreadable]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / name
        file.write_bytes(data)
        return list(open_source(str(file), **options).rows())


@given(
    _tables,
    st.sampled_from(",;\t|"),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.sampled_from(list(PACKINGS)),
)
@settings(max_examples=150, deadline=None)
def test_csv(table: list[list[str]], separator: str, encoding: str, packing: str) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator)
    writer.writerows([[f"name {at}" for at in range(len(table[0]))], *table])
    items = _read(PACKINGS[packing](text.getvalue().encode(encoding)), separator=separator)
    assert _rows(items) == table
    assert len(items) == len(table)


_number = st.one_of(
    st.integers(), st.decimals(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False)
)
_json_values = st.recursive(
    st.none() | st.booleans() | _number | _text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=6,
)
_objects = st.lists(
    st.dictionaries(_text.filter(lambda name: "refused" not in name), _json_values, max_size=4), min_size=1
).filter(any)


def _json(value: Any) -> str:
    """JSON with the digits of decimals, which the json module has no way to write."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(name)}:{_json(member)}" for name, member in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_json, value)) + "]"
    return str(value) if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False)


def _digits(value: Any) -> Any:
    """Numbers as their text."""
    if isinstance(value, dict):
        return {name: _digits(member) for name, member in value.items()}
    if isinstance(value, list):
        return list(map(_digits, value))
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    return str(Decimal(str(value)))


@given(
    _objects, st.sampled_from(["lines", "array", "document", "one after the other"]), st.sampled_from(list(PACKINGS))
)
@settings(max_examples=150, deadline=None)
def test_json(objects: list[dict[str, Any]], how: str, packing: str) -> None:
    parts = list(map(_json, objects))
    texts = {
        "lines": "\n".join(parts),
        "array": "[" + ",\n".join(parts) + "]",
        "document": '{"data": {"rows": [' + ", ".join(parts) + "]}}",
        "one after the other": "\n\n".join(parts),
    }
    name = "rows.jsonl" if how in ("lines", "one after the other") else "rows.json"
    at = "data.rows" if how == "document" else None
    items = _read(PACKINGS[packing](texts[how].encode()), name, at=at)
    assert [_digits(item.values) for item in items if isinstance(item, Row)] == _digits(objects)


_UTC = timezone(timedelta(0))
_times = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1))


@given(
    st.lists(st.tuples(_text, st.decimals(0, 10**9, places=4), _times, st.integers(0, 2**63 - 1)), min_size=1),
    st.sampled_from(["s", "ms", "us", "ns"]),
    st.sampled_from([None, "UTC", "America/Sao_Paulo"]),
)
@settings(max_examples=60, deadline=None)
def test_parquet(rows: list[tuple[Any, ...]], unit: str, zone: str | None) -> None:
    names, amounts, times, numbers = zip(*rows, strict=True)
    kept = {"s": 10**6, "ms": 1_000, "us": 1, "ns": 1}[unit]
    times = tuple(time - timedelta(microseconds=time.microsecond % kept) for time in times)
    nested = pa.array(
        [{"city": {"name": name}} for name in names], pa.struct([("city", pa.struct([("name", pa.string())]))])
    )
    table = pa.table(
        {
            "name": pa.array(names).dictionary_encode(),
            "amount": pa.array(amounts, pa.decimal128(19, 4)),
            "time": pa.array(times, pa.timestamp(unit, zone)),
            "number": pa.array(numbers),
            "place": nested,
        }
    )
    file = io.BytesIO()
    pq.write_table(table, file)
    items = _read(file.getvalue())
    assert [item.line for item in items] == list(range(1, len(rows) + 1))
    for item, (name, amount, _, number), time in zip(items, rows, times, strict=True):
        assert isinstance(item, Row)
        values = item.values
        assert (values["name"], values["amount"], values["number"]) == (name, amount, number)
        assert values["place"] == {"city": {"name": name}}
        assert values["time"] == (time if zone is None else time.replace(tzinfo=_UTC))


def test_an_hour_that_a_zone_has_twice_is_the_right_one(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    seconds = [793_152_000, 793_155_600]  # 1995-02-19 00:00 and 01:00 UTC, both 23:00 of the day before in Sao Paulo
    kind = pa.timestamp("ns", "America/Sao_Paulo")
    times = pa.array([at * 10**9 + 5 for at in seconds], pa.int64()).cast(kind)
    table = pa.table({"time": times, "nested": pa.StructArray.from_arrays([times], names=["time"])})
    table = table.append_column("list", pa.ListArray.from_arrays(pa.array([0, 1, 2], pa.int32()), times))
    pq.write_table(table, file)
    rows = _rows(open_source(str(file)).rows())
    assert [row["time"].timestamp() for row in rows] == seconds
    assert [row["nested"]["time"].timestamp() for row in rows] == seconds
    assert [row["list"][0].timestamp() for row in rows] == seconds


@pytest.mark.parametrize("packing", [name for name in PACKINGS if name])
def test_a_packed_file_that_is_cut_off_is_named_with_the_last_line_read(tmp_path: Path, packing: str) -> None:
    rows = b"".join(b"n%d,%d,%s\n" % (at, at * 7, os.urandom(20).hex().encode()) for at in range(60_000))
    data = PACKINGS[packing](b"id,amount,note\n" + rows)
    file = tmp_path / "payments"
    file.write_bytes(data[: len(data) * 3 // 4])
    with pytest.raises(InputError, match=r"cannot be read.*damaged or incomplete"):
        list(open_source(str(file)).rows())


@pytest.mark.parametrize("cut", [slice(0, -200), slice(200, None), slice(0, 0)])
def test_damaged_parquet_is_one_sentence(tmp_path: Path, cut: slice) -> None:
    file = tmp_path / "payments.parquet"
    pq.write_table(pa.table({"id": [f"n{at}" for at in range(2_000)]}), file)
    data = file.read_bytes()
    file.write_bytes(b"PAR1" + data[cut] + b"PAR1")
    with pytest.raises(InputError, match="damaged") as raised:
        open_source(str(file))
    assert "\n" not in str(raised.value)


def test_parquet_with_a_damaged_page_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "payments.parquet"
    pq.write_table(pa.table({"id": [f"n{at}" for at in range(2_000)]}), file, compression="zstd")
    data = bytearray(file.read_bytes())
    data[20:200] = bytes(180)
    file.write_bytes(data)
    with pytest.raises(InputError, match="damaged or incomplete"):
        open_source(str(file))


def test_parquet_of_single_precision_has_the_decimals_that_were_written(tmp_path: Path) -> None:
    file = tmp_path / "payments.parquet"
    pq.write_table(pa.table({"amount": pa.array([12.1, 3.3, None, 100_000.01], pa.float32())}), file)
    with closing(open_source(str(file))) as source:
        amounts = [row.values["amount"] for row in source.rows() if isinstance(row, Row)]
    assert amounts == [12.1, 3.3, None, 100_000.01]


def test_a_zip_of_several_files_asks_which(tmp_path: Path) -> None:
    file = tmp_path / "all.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.csv", "id,amount\nn1,5\n")
        archive.writestr("b.csv", "id,amount\nn2,6\n")
    with pytest.raises(InputError, match=r"holds a\.csv, b\.csv: --member NAME says which one"):
        open_source(str(file))
    source = open_source(str(file), member="b.csv")
    assert source.found == ("CSV", "separated by ','", "UTF-8", "zip")
    assert source.name == "all.zip/b.csv"
    assert [item.line for item in source.rows()] == [2]


def test_a_zip_that_is_packed_in_another_way_is_named(tmp_path: Path) -> None:
    """Windows packs large files by Deflate64, number 9."""
    file = tmp_path / "all.zip"
    file.write_bytes(_zip(b"id,amount\nn1,5\n").replace(b"\x08\x00", b"\x09\x00"))
    with pytest.raises(InputError, match="packed in a way that is not unpacked here: unpack it first"):
        open_source(str(file))


@pytest.mark.parametrize(("member", "expected"), [("xl/workbook.xml", "Excel"), ("word/document.xml", "text document")])
def test_office_documents_are_named(tmp_path: Path, member: str, expected: str) -> None:
    file = tmp_path / "payments.xlsx"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("[Content_Types].xml", "")
        archive.writestr(member, "")
    with pytest.raises(InputError, match=f"{expected}.*save i"):
        open_source(str(file))


def test_paths_that_are_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder: name one of the files in it"):
        open_source(str(tmp_path))
    with pytest.raises(InputError, match="cannot be opened: No such file"):
        open_source(str(tmp_path / "none.csv"))


@pytest.mark.parametrize("packing", list(PACKINGS))
def test_standard_input_is_read_once_and_stays_open(monkeypatch: pytest.MonkeyPatch, packing: str) -> None:
    data = PACKINGS[packing](b"id,amount\n" + b"".join(b"n%d,5\n" % at for at in range(3_000)))
    stdin = io.TextIOWrapper(io.BytesIO(data))
    monkeypatch.setattr(sys, "stdin", stdin)
    source = open_source("-")
    assert (source.name, source.total_bytes) == ("standard input", None) or packing == "zip"
    assert len(source.sample) == 1_000
    assert [item.line for item in source.rows()] == list(range(2, 3_002))
    assert not stdin.closed


def test_a_pipe_by_its_path(tmp_path: Path) -> None:
    pipe = tmp_path / "payments"
    os.mkfifo(pipe)
    writing = threading.Thread(target=pipe.write_bytes, args=(b"id,amount\nn1,5\n",))
    writing.start()
    source = open_source(str(pipe))
    writing.join()
    assert (_rows(source.rows()), source.total_bytes) == ([["n1", "5"]], None)


def test_progress_counts_the_bytes_of_the_file_as_it_is_stored(tmp_path: Path) -> None:
    file = tmp_path / "a.csv.gz"
    file.write_bytes(gzip.compress(b"id,amount\n" + b"".join(b"n%d,%d\n" % (at, at * at) for at in range(500_000))))
    source = open_source(str(file))
    assert source.total_bytes == file.stat().st_size
    seen = [source.bytes_read() for _ in source.rows()]
    assert 0 < seen[0] < seen[-1] // 2
    assert source.bytes_read() == source.total_bytes


def test_columns_by_name() -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "a.csv"
        file.write_text(" Amount ,id,ID,When\n5,a,b,c\n")
        source = open_source(str(file))
        (row,) = source.sample
        assert [source.getter(name)(row.values) for name in ("amount", "id", "ID", "when")] == ["5", "a", "b", "c"]
        for name in ("Id", "none"):
            with pytest.raises(KeyError):
                source.getter(name)
        source.close()


def test_columns_of_nested_json(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"a": {"b": {"c": 1}}, "d.e": 2}\n{"a": null}\n{"a": {"b": 5}}\n')
    source = open_source(str(file))
    assert source.columns == ("a.b.c", "d.e", "a", "a.b")
    assert [source.getter("A.B.c")(row.values) for row in source.sample] == [1, None, None]
    assert [source.getter("d.e")(row.values) for row in source.sample] == [2, None, None]
    source.close()


def _refused(source: Source, path: Path) -> list[Row | Unreadable]:
    items = list(source.rows())
    refused = RefusedFile(source, path)
    for item in items:
        refused.add(item, item.reason if isinstance(item, Unreadable) else 'the amount; is "wrong"')
    refused.close()
    return items


def _rows(items: Iterable[Row | Unreadable]) -> list[Any]:
    return [item.values for item in items if isinstance(item, Row)]


@given(_tables, st.sampled_from(",;\t|"))
@settings(max_examples=100, deadline=None)
def test_refused_rows_of_a_csv_are_read_again_as_they_were(table: list[list[str]], separator: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file, beside = Path(folder) / "a.csv", Path(folder) / "a.refused.csv"
        text = io.StringIO()
        csv.writer(text, delimiter=separator).writerows([[f"name {at}" for at in range(len(table[0]))], *table])
        file.write_text(text.getvalue(), encoding="utf-8", newline="")
        items = _refused(open_source(str(file), separator=separator), beside)
        again = open_source(str(beside))
        assert again.separator == separator
        assert _rows(again.rows()) == _rows(items)


def test_lines_that_are_no_rows_stay_refused_until_they_are_mended(tmp_path: Path) -> None:
    file, beside = tmp_path / "a.csv", tmp_path / "a.refused.csv"
    file.write_bytes(b'id,amount,note\nn1,5,a\nn2,6\nn3,7,b,c\nn4,"8,x\nn5,9,Jos\xe9\nn6,1,Jos\xc3\xa9\n')
    items = _refused(open_source(str(file), encoding="utf-8"), beside)
    assert [type(item) for item in items] == [Row, Unreadable, Unreadable, Unreadable, Unreadable, Row]
    again = list(open_source(str(beside)).rows())
    assert [type(item) for item in again] == [type(item) for item in items]
    beside.write_text(beside.read_text().replace("n2,6,", "n2,6,b,"))
    assert [type(item) for item in open_source(str(beside)).rows()][:2] == [Row, Row]


@given(_objects)
@settings(max_examples=100, deadline=None)
def test_refused_objects_are_read_again_as_they_were(objects: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file, beside = Path(folder) / "a.jsonl", Path(folder) / "a.refused.jsonl"
        file.write_text("\n".join([*map(_json, objects), '{"a":']), encoding="utf-8")
        items = _refused(open_source(str(file)), beside)
        again = list(open_source(str(beside)).rows())
        assert [_digits(item.values) for item in again if isinstance(item, Row)] == _digits(objects)
        assert [item.text for item in again if isinstance(item, Unreadable)] == ['{"a":']
        assert len(again) == len(items)


def test_refused_rows_of_parquet_are_json_lines(tmp_path: Path) -> None:
    file, beside = tmp_path / "a.parquet", tmp_path / "a.refused.jsonl"
    time = datetime(2025, 1, 2, 3, 4, 5, 678_000, timezone.utc)
    pq.write_table(
        pa.table({"amount": pa.array([Decimal("1.50")]), "time": pa.array([time], pa.timestamp("ms", "UTC"))}), file
    )
    _refused(open_source(str(file)), beside)
    (row,) = open_source(str(beside)).rows()
    assert isinstance(row, Row)
    assert row.values == {"amount": Decimal("1.50"), "time": "2025-01-02T03:04:05.678000+00:00"}


def test_a_date_that_python_does_not_have_is_a_line_at_fault(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    times = pa.array([0, 400_000_000_000, 1], pa.int64()).cast(pa.timestamp("s"))
    nested = pa.StructArray.from_arrays([times], names=["time"])
    pq.write_table(pa.table({"id": ["a", "b", "c"], "time": times, "nested": nested}), file)
    items = list(open_source(str(file)).rows())
    assert [type(item) for item in items] == [Row, Unreadable, Row]
    assert isinstance(items[1], Unreadable)
    assert (items[1].line, "cannot be represented" in items[1].reason) == (2, True)
    assert '"id": "b"' in items[1].text

"""The record beside its row: kept as it was, and never the reason why a payment is refused."""

from __future__ import annotations

import orjson
import pytest

from streamguard.consumer.store import Store
from tests.support.desk import Desk
from tests.support.records import T0_MS, Record, transaction, transaction_value

PLAIN = transaction_value("t", "A", 1.5, T0_MS)

ODD = {
    "a field we do not know": ({**PLAIN, "terminal": {"id": 7, "tags": ["a", None, True]}}, None),
    "escapes": ({**PLAIN, "note": 'a "quote", \\ a\tb\nc é \x01 \\N \\.'}, None),
    "NUL in a text": ({**PLAIN, "no\x00te": "a\x00b"}, {**PLAIN, "no\ufffdte": "a\ufffdb"}),
}


@pytest.mark.parametrize("case", ODD)
def test_the_record_is_kept(desk: Desk, case: str) -> None:
    value, wanted = ODD[case]
    assert desk.feed(Record("transactions", 0, 0, b"A", orjson.dumps(value))) == 0
    assert desk.rows("SELECT raw FROM transaction_records") == [(wanted or value,)]


@pytest.mark.parametrize(
    ("written", "kept"),
    [(b'"a\\ud800b"', "a\ufffdb"), (b'"\\ud83e\\udd80"', "\U0001f980")],
)
def test_json_that_jsonb_cannot_hold_is_kept_as_near_as_it_can_be(desk: Desk, written: bytes, kept: str) -> None:
    text = b"\xef\xbb\xbf" + orjson.dumps(PLAIN)[:-1] + b', "odd": ' + written + b"}"
    assert desk.feed(Record("transactions", 0, 0, b"A", text)) == 0
    assert desk.rows("SELECT raw FROM transaction_records") == [({**PLAIN, "odd": kept},)]


@pytest.mark.parametrize(
    "number", ["1e-99999", "1E-400", "0." + "0" * 17_000 + "1", "9" * 300, "1.7e308", "1e5", "-0.0"]
)
def test_numbers_that_postgres_cannot_hold_do_no_harm(desk: Desk, number: str) -> None:
    text = orjson.dumps(PLAIN)[:-1] + b', "odd": ' + number.encode() + b"}"
    assert desk.feed(Record("transactions", 0, 0, b"A", text)) == 0
    assert desk.rows("SELECT (raw ->> 'odd')::DOUBLE PRECISION = %s FROM transaction_records", float(number)) == [
        (True,)
    ]


def test_a_record_on_several_lines(desk: Desk) -> None:
    text = orjson.dumps(PLAIN, option=orjson.OPT_INDENT_2).replace(b"\n", b"\r\n\t")
    assert desk.feed(Record("transactions", 0, 0, b"A", text)) == 0
    assert desk.rows("SELECT raw FROM transaction_records") == [(PLAIN,)]


def test_records_need_not_be_kept(desk: Desk) -> None:
    desk.store = Store(desk.engine, desk.settings.model_copy(update={"keep_raw": False}))
    desk.feed(transaction(0, "t", "A", 1, T0_MS))
    assert desk.rows("SELECT transaction_id FROM transactions") == [("t",)]
    assert desk.rows("SELECT raw FROM transaction_records") == []

"""The record beside its row: kept as it was, and never the reason why a payment is refused."""

from __future__ import annotations

import orjson
import pytest

from streamguard.consumer.store import Store
from streamguard.models import Transaction
from streamguard.producer.runs import Recipe, Run
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


FULL = {name: PLAIN.get(name) for name in Transaction.model_fields}
RECEIVED = "SELECT raw = %s::JSONB, (SELECT count(*)::INT FROM transaction_records) FROM received_records"
SAYS_MORE = {
    "another field": {**FULL, "terminal": None},
    "a field that is missing": {name: value for name, value in FULL.items() if name != "city"},
    "a name in capitals": {name.upper(): value for name, value in FULL.items()},
    "a currency in small letters": {**FULL, "currency": str(FULL["currency"]).lower()},
    "an amount as text": {**FULL, "amount": "1.5"},
    "NUL in a text": {**FULL, "city": "a\x00b"},
}


@pytest.mark.parametrize("amount", [1.5, 4_000, 4_000.0, 0.01, 99_999_999_999.25])
@pytest.mark.parametrize("place", [None, -23.550_51, 1e-7, 90, 0.1 + 0.2])
def test_a_record_that_says_no_more_than_its_row_is_made_from_it(
    desk: Desk, amount: float, place: float | None
) -> None:
    value = orjson.dumps({**FULL, "amount": amount, "latitude": place, "merchant_name": 'é "quoted" \\ \t'})
    assert desk.feed(Record("transactions", 0, 0, b"A", value)) == 0
    assert desk.rows(RECEIVED, value.decode()) == [(True, 0)]


@pytest.mark.parametrize("case", SAYS_MORE)
def test_a_record_that_says_more_is_kept(desk: Desk, case: str) -> None:
    value = orjson.dumps(SAYS_MORE[case])
    assert desk.feed(Record("transactions", 0, 0, b"A", value)) == 0
    [(is_same, kept)] = desk.rows(RECEIVED, value.decode().replace("\\u0000", "\ufffd"))
    assert (is_same, kept) == (True, 1)


@pytest.mark.parametrize("digits", [b"-23.550510", b"-23.55051000000000001", b"-2.355051e1"])
def test_digits_that_no_column_has_are_kept(desk: Desk, digits: bytes) -> None:
    value = orjson.dumps({**FULL, "latitude": 7.25}).replace(b"7.25", digits)
    assert desk.feed(Record("transactions", 0, 0, b"A", value)) == 0
    assert desk.rows("SELECT count(*)::INT FROM transaction_records WHERE raw = %s::JSONB", value.decode()) == [(1,)]


def test_generated_records_are_received_as_they_were_sent(desk: Desk) -> None:
    made = [
        record for profile in ("br", "psp", "ke-mpesa") for record in Run(Recipe(profile, 7)).batch(40, None, None, 0)
    ]
    records = [Record("transactions", 0, number, one.key, one.value) for number, one in enumerate(made)]
    dead = desk.feed(*records)
    received = {str(name): raw for name, raw in desk.rows("SELECT transaction_id, raw FROM received_records")}
    sent = [orjson.loads(one.value or b"null") for one in made]
    assert len(received) == len(made) - dead
    assert all(received.get(one["transaction_id"], one) == one for one in sent)
    assert desk.rows("SELECT count(*) FROM transactions WHERE raw_is_row") >= [(40,)]


def test_nothing_is_made_up_where_records_are_not_kept(desk: Desk) -> None:
    desk.store = Store(desk.engine, desk.settings.model_copy(update={"keep_raw": False}))
    desk.feed(Record("transactions", 0, 0, b"A", orjson.dumps(FULL)))
    assert desk.rows("SELECT raw FROM received_records") == [(None,)]

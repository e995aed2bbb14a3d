"""What a transaction may lack, what it may not, and the reason that is given."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from streamguard.models import COUNTRIES, CURRENCIES, BadRecord, Transaction, places
from streamguard.models.iso import NO_PLACES, THREE_PLACES

CASES = yaml.safe_load((Path(__file__).parent / "bad_transactions.yaml").read_text(encoding="utf-8"))
LEAST = {"transaction_id": "t1", "account_id": "A1", "amount": 57.1, "currency": "BRL", "event_time": 1522540831000}


def value_of(case: dict[str, Any]) -> bytes:
    if "value" in case:
        return str(case["value"]).encode()
    fields = {**LEAST, **case.get("change", {})}
    fields.pop(case.get("drop"), None)
    return orjson.dumps(fields)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_bad_record_is_refused_with_its_reason(case: dict[str, Any]) -> None:
    with pytest.raises(BadRecord) as refusal:
        Transaction.from_record(value_of(case), b"A1")
    assert case["reason"] in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_the_least_a_transaction_can_be() -> None:
    transaction = Transaction.from_record(orjson.dumps(LEAST), b"A1")
    assert transaction.amount == Decimal("57.10")
    assert str(transaction.amount) == "57.10"
    assert transaction.city is None


def test_a_record_that_is_a_tombstone_is_refused() -> None:
    with pytest.raises(BadRecord, match="the value is null"):
        Transaction.from_record(None, b"A1")


def test_the_account_comes_from_the_key_where_the_value_lacks_it() -> None:
    fields = {key: value for key, value in LEAST.items() if key != "account_id"}
    assert Transaction.from_record(orjson.dumps(fields), b"A1").account_id == "A1"


def test_a_record_without_a_key_is_rejected() -> None:
    """ksqlDB groups by the key: without one a transaction is in no window, and no rule finds it."""
    with pytest.raises(BadRecord, match="the record has no key: it has to be the account id"):
        Transaction.from_record(orjson.dumps(LEAST), None)


@pytest.mark.parametrize("change", [str.upper, str.title, str.swapcase], ids=lambda change: change.__name__)
def test_names_are_read_in_any_letter_case(change: Callable[[str], str]) -> None:
    """ksqlDB reads the names of columns so; a record that the rules see is stored."""
    written = {change(name): value for name, value in LEAST.items()}
    assert Transaction.from_record(orjson.dumps(written), b"A1") == Transaction.from_record(orjson.dumps(LEAST), b"A1")


@pytest.mark.parametrize("name", ["AMOUNT", "Event_Time", "LATITUDE", "account_ID"])
def test_a_name_that_is_there_in_two_letter_cases_is_rejected(name: str) -> None:
    """Which of them ksqlDB reads is chance."""
    written = orjson.dumps({**LEAST, "latitude": 1.5, name: "abc"})
    with pytest.raises(BadRecord, match=f"^{name.lower()}: two fields have this name but for the letter case$"):
        Transaction.from_record(written, b"A1")


def test_a_key_that_is_no_text_is_refused() -> None:
    with pytest.raises(BadRecord, match="the key is not UTF-8"):
        Transaction.from_record(orjson.dumps(LEAST), b"\xff")


def test_bytes_that_are_no_utf8_are_refused() -> None:
    with pytest.raises(BadRecord, match="not UTF-8: Latin-1 perhaps"):
        Transaction.from_record(orjson.dumps(LEAST).replace(b"t1", b"\xff"), b"A1")


def test_a_field_of_megabytes_does_not_become_a_reason_of_megabytes() -> None:
    value = orjson.dumps({**LEAST, "currency": "x" * 5_000_000})
    with pytest.raises(BadRecord) as refusal:
        Transaction.from_record(value, b"A1")
    assert len(str(refusal.value)) < 200


def test_unknown_fields_are_ignored_and_records_are_frozen() -> None:
    transaction = Transaction.from_record(orjson.dumps({**LEAST, "loyalty_points": 3}), b"A1")
    assert not hasattr(transaction, "loyalty_points")
    with pytest.raises(ValidationError):
        transaction.amount = Decimal(1)


def test_both_ways_in_agree() -> None:
    value = orjson.dumps(LEAST)
    assert Transaction.model_validate_json(value) == Transaction.from_record(value, b"A1")


@pytest.mark.parametrize("currency", ["JPY", "BRL", "KWD"])
@given(st.data())
def test_every_amount_of_the_smallest_coins_survives_the_wire(currency: str, data: st.DataObject) -> None:
    coins = 10 ** places(currency)
    amount = Decimal(data.draw(st.integers(1, 10**12 * coins - 1))) / coins
    transaction = Transaction.from_record(orjson.dumps({**LEAST, "amount": float(amount), "currency": currency}), b"A1")
    assert transaction.amount == amount
    again = Transaction.from_record(transaction.model_dump_json().encode(), b"A1")
    assert again == transaction


def test_the_code_lists_have_what_they_should() -> None:
    assert {"BRL", "KES", "EUR", "USD", "GBP", "PLN"} <= CURRENCIES
    assert {"BR", "KE", "US", "GB", "DE"} <= COUNTRIES
    assert all(len(code) == 3 and code.isupper() for code in CURRENCIES)
    assert all(len(code) == 2 and code.isupper() for code in COUNTRIES)
    assert len(COUNTRIES) == 250


def test_each_currency_has_its_decimal_places() -> None:
    by_count = {0: "JPY KRW XOF CLP ISK", 3: "KWD BHD TND", 2: "USD EUR MGA HUF SLL"}
    assert {count: {places(code) for code in codes.split()} for count, codes in by_count.items()} == {
        count: {count} for count in by_count
    }
    assert NO_PLACES | THREE_PLACES <= CURRENCIES
    assert not NO_PLACES & THREE_PLACES


@pytest.mark.parametrize(
    ("field", "written", "read"),
    [
        ("transaction_id", "12", "12"),
        ("transaction_id", "true", "true"),
        ("transaction_id", "12.50", "12.50"),
        ("transaction_id", "1e21", "1E+21"),
        ("merchant_id", '{"id": [1, null, "\u00e9"]}', '{"id":[1,null,"\u00e9"]}'),
        ("merchant_name", '"' + "x" * 70_000 + '"', "x" * 70_000),
        ("city", '"a\\u0000b\\ud800c"', "a\ufffdb\ufffdc"),
        ("amount", '"12.50"', Decimal("12.50")),
        ("amount", '" 1e3 "', Decimal(1000)),
        ("amount", '"7.25d"', Decimal("7.25")),
        ("currency", '"brl"', "BRL"),
        ("currency", '"\u0131nr"', "INR"),
        ("latitude", '"-8.05"', -8.05),
        ("event_time", '"1522540831000"', 1522540831000),
        ("event_time", "1522540831000.9", 1522540831000),
        ("account_id", "41", "41"),
    ],
)
def test_values_are_read_as_ksqldb_reads_columns(field: str, written: str, read: object) -> None:
    fields = {name: orjson.dumps(value).decode() for name, value in LEAST.items()} | {field: written}
    text = "{" + ", ".join(f'"{name}": {value}' for name, value in fields.items()) + "}"
    key = b"41" if field == "account_id" else b"A1"
    assert getattr(Transaction.from_record(text.encode(), key), field) == read


def test_a_byte_order_mark_does_no_harm() -> None:
    assert Transaction.from_record(b"\xef\xbb\xbf" + orjson.dumps(LEAST), b"A1").transaction_id == "t1"


def test_an_identifier_ends_at_255_utf16_units_as_len_counts() -> None:
    def read(identifier: str) -> str:
        return Transaction.from_record(orjson.dumps({**LEAST, "transaction_id": identifier}), b"A1").transaction_id

    for longest in ("x" * 255, "\U0001f980" * 127 + "x"):
        assert read(longest) == longest
        with pytest.raises(BadRecord, match="transaction_id: at most 255 characters are expected"):
            read(longest + "x")

"""The short way through a record ends where the long way ends, or is not taken."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamguard.models import BadRecord, Transaction
from streamguard.models.fields import MAX_TIME_MS, MIN_TIME_MS
from streamguard.models.quick import quick_reader
from streamguard.models.records import _TRANSACTION_FIELDS, _read
from streamguard.producer.runs import Recipe, Run
from tests.support.records import T0_MS, transaction_value

QUICK = quick_reader(Transaction)
FULL: dict[str, Any] = dict.fromkeys(Transaction.model_fields) | transaction_value("t", "A", 1.5, T0_MS)


def both_ways_agree(value: bytes, key: bytes | None) -> bool:
    """Whether the short way was taken; fails where the long one ends elsewhere."""
    quick = QUICK(value, key)
    if quick is None:
        return False
    slow = _read(Transaction, value, key, _TRANSACTION_FIELDS)
    assert quick == slow
    assert list(quick.__dict__) == list(slow.__dict__)
    assert [repr(item) for item in quick.__dict__.values()] == [repr(item) for item in slow.__dict__.values()]
    return True


_ANYTHING = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=300)
    | st.sampled_from(
        ["BRL", "JPY", "KWD", "brl", "XXQ", "BR", "br", "\x00", "\ud83e\udd80" * 64, MIN_TIME_MS, MAX_TIME_MS]
    )
    | st.decimals(0, 10**12, places=2).map(float)
    | st.lists(st.integers(), max_size=2)
)


@given(
    st.dictionaries(st.sampled_from([*FULL, "Amount", "terminal"]), _ANYTHING, max_size=4),
    st.sets(st.sampled_from([*FULL])),
)
def test_any_record_ends_the_same_way(changes: dict[str, Any], missing: set[str]) -> None:
    fields = {name: item for name, item in (FULL | changes).items() if name not in missing - changes.keys()}
    try:
        value = orjson.dumps(fields)
    except orjson.JSONEncodeError:
        value = orjson.dumps(FULL)
    both_ways_agree(value, str(fields.get("account_id")).encode("utf-8", "replace"))


@given(
    st.decimals(0, 10**12, allow_nan=False, allow_infinity=False, places=4) | st.decimals(0, 10**13, allow_nan=False)
)
@example(0)
@example(10**12)
def test_any_amount_ends_the_same_way(amount: Any) -> None:
    value = orjson.dumps(FULL | {"amount": 7.125}).replace(b"7.125", str(amount).encode())
    try:
        both_ways_agree(value, b"A")
    except BadRecord as error:
        pytest.fail(f"taken the short way, and bad: {error}")


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xef\xbb\xbf{}",
        b'{"transaction_id": "\xff"}',
        b'{"account_id": "A", "account_id": "B"}',
    ],
)
@pytest.mark.parametrize("key", [None, b"A", b"\xff"])
def test_what_is_no_transaction_takes_the_long_way(value: bytes, key: bytes | None) -> None:
    assert not both_ways_agree(value, key)


@pytest.mark.parametrize("text", [rb"\ud800", rb"\u0000", rb"\ud83e\udd80"])
def test_escapes(text: bytes) -> None:
    value = orjson.dumps(FULL | {"city": "CITY"}).replace(b"CITY", text)
    assert both_ways_agree(value, b"A") == (text == rb"\ud83e\udd80")


def test_generated_records_take_the_short_way() -> None:
    records = list(Run(Recipe("br", 7)).batch(500, None, None, 0))
    assert all(both_ways_agree(record.value or b"", record.key) for record in records)

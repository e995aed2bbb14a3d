"""A record is stored as a transaction if and only if the SQL rules see it (docs/sql-rules.md)."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import orjson
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard.config import load_settings
from streamguard.consumer.records import Batch, Decoder
from streamguard.models.fields import MIN_TIME_MS
from streamguard.models.iso import COUNTRIES, CURRENCIES, NO_PLACES, THREE_PLACES
from streamguard.sqldeploy.script import Item, read
from streamguard_ksql import ast
from streamguard_ksql.ast import ColumnRef, Join, Logical, Source
from streamguard_ksql.operators.record import InputRecord
from streamguard_ksql.testing.harness import Harness
from streamguard_ksql.transform import rewrite
from tests.support.project import PROJECT_ROOT
from tests.support.records import Record

FILES = [file for file in sorted((PROJECT_ROOT / "ksqldb").glob("*.sql")) if not file.stem.endswith("-values")]
QUERIES = PROJECT_ROOT / "ksqldb" / "queries.sql"
MINUTE_MS = 60_000


def now_ms() -> int:
    return time.time_ns() // 1_000_000


# --- one condition in all the rules -------------------------------------------------------------------------------------


def conditions(item: Item) -> set[Any]:
    """What a query's WHERE asks for, AND by AND."""

    def parts(node: Any) -> Iterator[Any]:
        if isinstance(node, Logical) and node.op.upper() == "AND":
            yield from parts(node.left)
            yield from parts(node.right)
        elif node is not None:
            yield node

    alias = source_of(item).alias

    def unqualified(node: ast.Expression, bound: frozenset[str]) -> ast.Expression | None:
        return ColumnRef(node.name) if isinstance(node, ColumnRef) and node.source == alias else None

    return {rewrite(part, unqualified) for part in parts(item.statement.query.where)}  # type: ignore[attr-defined]


def readers() -> list[Item]:
    """The queries that read the transactions themselves, alone or joined with a table."""
    items = [item for file in FILES for item in read(file)]
    return [item for item in items if hasattr(item.statement, "query") and source_of(item).name == "TRANSACTIONS"]


def source_of(item: Item) -> Source:
    relation = item.statement.query.source  # type: ignore[attr-defined]
    return relation.left if isinstance(relation, Join) else relation  # type: ignore[return-value]


def test_each_query_over_the_transactions_has_the_whole_condition() -> None:
    found = {item.name: conditions(item) for item in readers()}
    assert len(found) > 10
    common = found["ACCOUNT_VELOCITY"]
    assert len(common) > 8
    lacking = {name: common - asked for name, asked in found.items() if not common <= asked}
    assert lacking == {}


def test_the_page_shows_the_condition() -> None:
    page = (PROJECT_ROOT / "docs" / "sql-rules.md").read_text()
    [shown] = re.findall(r"```sql\n(WHERE .*?)\n```", page, re.DOTALL)
    assert shown in QUERIES.read_text()


def test_the_code_lists_of_the_files_are_those_of_the_consumer() -> None:
    codes = {"currencies": CURRENCIES, "countries": COUNTRIES, "no_places": NO_PLACES, "three_places": THREE_PLACES}
    expected = {name: " ".join(sorted(values)) for name, values in codes.items()}
    for item in readers():
        assert {name: item.variables[name] for name in expected} == expected, item.file


def test_the_time_limit_of_the_files_is_that_of_the_consumer() -> None:
    limit = str(load_settings().max_ahead_s * 1_000)
    assert {item.variables["max_ahead_ms"] for item in readers()} == {limit}
    assert {item.variables["max_ahead_ms"] for item in read(QUERIES, {"max_ahead_ms": "5"})} == {"5"}


# --- both readers -------------------------------------------------------------------------------------------------------


class Both:
    """The consumer's decoder beside the two core rules, whose limits are 0: each sees every record it takes."""

    def __init__(self) -> None:
        self._decoder = Decoder(load_settings())
        self._harness = Harness()
        for item in read(QUERIES, {"high_amount": "0", "velocity_count": "0"}):
            self._harness.execute(item.statement)
        running = self._harness.running.values()
        self._rules = [topology for _, topology in running if "transactions" in topology.sources]
        assert len(self._rules) == 2
        self._numbers = count()

    def stored(self, key: bytes | None, value: bytes | None) -> bool:
        batch = Batch()
        self._decoder.add(batch, 0, [Record("transactions", 0, 0, key, value)])
        assert len(batch) == 1
        return len(batch.transactions) == 1

    def seen(self, key: bytes | None, value: bytes | None) -> list[bool]:
        """By each rule. A partition of its own, so that no record is late because of another."""
        number = next(self._numbers)
        found = []
        for rule in self._rules:
            before = len(self._harness.written)
            rule.feed(number, [InputRecord("transactions", number, 0, key, value, now_ms(), [])])
            found.append(len(self._harness.written) > before)
        return found


@pytest.fixture(scope="module")
def both() -> Both:
    return Both()


GOOD: dict[str, Any] = {
    "transaction_id": "t-1",
    "amount": 12.5,
    "currency": "BRL",
    "country": "BR",
    "latitude": -8.05,
    "longitude": -34.9,
    "merchant_name": "Loja",
}

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(
        ["", " ", "NaN", "1e3", "-5", "12d", "0x1p3", "1_000", "١٢", "+7", "\x00", "\ud800", "true", "x" * 300]
    ),
)
anything = st.one_of(scalars, st.lists(scalars, max_size=2), st.dictionaries(st.text(max_size=3), scalars, max_size=2))
amounts = st.one_of(
    st.integers(-10, 10**13),
    st.integers(-(10**4), 10**14).map(lambda cents: cents / 100),
    st.integers(1, 10**15).map(lambda thousandths: thousandths / 1_000),
    st.integers(1, 10**9).map(lambda thousandths: f"{thousandths / 1_000}"),
    st.floats(0.0001, 1e6),
    st.sampled_from(
        [
            0,
            0.01,
            0.001,
            0.0005,
            1.005,
            500,
            500.5,
            500.55,
            500.555,
            999_999_999_999.999,
            1e11 + 0.5,
            999_999_999_999.99,
            10**12,
            -0.0,
            1e-320,
            0.1 + 0.2,
            "12.50",
            "7,5",
        ]
    ),
)
times = st.one_of(
    st.integers(0, 2**41).map(lambda ago: now_ms() - ago % now_ms()),
    # Both sides of the limit of an hour, by half an hour: how long the test takes has no part in it.
    st.sampled_from([30 * MINUTE_MS, 90 * MINUTE_MS, 30 * 24 * 60 * MINUTE_MS]).map(lambda ahead: now_ms() + ahead),
    st.sampled_from([0, -1, 1.5, "1700000000000", 253_402_300_800_000, 2**63 - 1, float("inf")]),
    # The border of the seconds, and the other units of today.
    st.integers(MIN_TIME_MS - 3, MIN_TIME_MS + 3),
    st.sampled_from([1e-3, 1_000, 1_000_000]).map(lambda factor: int(now_ms() * factor)),
)
currencies = st.one_of(
    st.sampled_from(sorted(CURRENCIES)),
    st.sampled_from(sorted(NO_PLACES)),
    st.sampled_from(sorted(THREE_PLACES)),
)
codes = st.one_of(
    currencies,
    st.sampled_from([str.lower, str.title, str.swapcase]).flatmap(currencies.map),
    st.sampled_from(sorted(COUNTRIES)),
    st.sampled_from(["brl", "XXX", "ZZ", "D A", "AED AFN", " BR", "BR ", "R", "", "EURO", "aed afn", "e", "eur "]),
    # Letters whose upper case is a letter of ASCII, two of them, or none: dotless i, long s, sharp s, ligatures, Kelvin.
    st.sampled_from(["ınr", "ışk", "uſd", "ſſp", "ßP", "ßp ", "ﬆn", "Kes", "İNR", "i̇nr"]),
    st.text("aeurUDSßıſﬀ ", min_size=2, max_size=4),
)
places = st.one_of(st.floats(-200, 200), st.sampled_from([90, -90, 90.0001, 180, -180, "12", "east", float("nan")]))
ids = st.one_of(
    st.text(max_size=4),
    st.sampled_from(["x" * 255, "x" * 256, "\U0001f980" * 127, "\U0001f980" * 128, "a\x00b", 12, 1.5, True, "\ud83d"]),
)
VALUES = {
    "transaction_id": ids,
    "amount": amounts,
    "currency": codes,
    "country": st.one_of(st.none(), codes),
    "latitude": st.one_of(st.none(), places),
    "longitude": st.one_of(st.none(), places),
    "merchant_name": st.one_of(st.text(), anything),
    "event_time": times,
    "city": anything,
}
ODD_BYTES = st.one_of(st.none(), st.binary(max_size=20), st.sampled_from([b"null", b"[]", b"7", b"{}", b'"x"']))
cased = st.sampled_from([str, str, str.upper, str.title])


def within_64_bits(value: Any) -> bool:
    return (
        isinstance(value, str) or not isinstance(value, int | float) or not math.isfinite(value) or abs(value) < 2**63
    )


@st.composite
def values(draw: Callable[..., Any]) -> bytes | None:
    """The bytes of a record: a good one, with some fields changed, left out or spelt otherwise; now and then no JSON."""
    fields = {**GOOD, "event_time": now_ms() - draw(st.integers(0, 10**7))}
    for name in draw(st.lists(st.sampled_from(sorted(VALUES)), max_size=3, unique=True)):
        fields[name] = draw(
            st.one_of(VALUES[name], anything).filter(within_64_bits) if name == "event_time" else VALUES[name]
        )
    for name in draw(st.lists(st.sampled_from(sorted(fields)), max_size=1)):
        del fields[name]
    spell = draw(cased)
    text = dumps({spell(name): value for name, value in fields.items()})
    kind = draw(st.integers(0, 30))
    if kind == 0:
        odd: bytes | None = draw(ODD_BYTES)
        return odd
    if kind == 1:
        return text[: draw(st.integers(0, len(text)))]
    return b"\xef\xbb\xbf" + text if kind == 2 else text


def dumps(fields: dict[str, Any]) -> bytes:
    """JSON as Python's own module writes it, with NaN and unpaired surrogates."""
    return json.dumps(fields).encode()


keys = st.one_of(
    st.just(b"A1"),
    st.sampled_from([None, b"", b"x" * 255, b"x" * 256, "é🦀".encode(), b"a\x00b"]),
    st.text(min_size=1).map(str.encode),
)


@settings(max_examples=300)
@given(records=st.lists(st.tuples(keys, values()), min_size=20, max_size=20))
def test_what_is_stored_is_seen_and_what_is_seen_is_stored(
    both: Both, records: list[tuple[bytes | None, bytes | None]]
) -> None:
    for key, value in records:
        stored = both.stored(key, value)
        assert both.seen(key, value) == [stored, stored], (key, value)


@pytest.mark.parametrize(
    ("change", "stored"),
    [
        ({}, True),
        ({"amount": 0.01}, True),
        ({"amount": 0.001}, False),
        ({"amount": -5}, False),
        ({"transaction_id": None}, False),
        ({"transaction_id": ""}, False),
        ({"event_time": 0}, False),
        ({"event_time": 1_700_000_000}, False),
        ({"event_time": MIN_TIME_MS}, True),
        ({"event_time": MIN_TIME_MS - 1}, False),
        ({"currency": "JPY", "amount": 500}, True),
        ({"currency": "JPY", "amount": 500.5}, False),
        ({"currency": "jpy", "amount": "500.0"}, True),
        ({"currency": "jpy", "amount": 0.5}, False),
        ({"currency": "KWD", "amount": 1.005}, True),
        ({"currency": "kwd", "amount": 1.0005}, False),
        ({"currency": "usd", "amount": 1.005}, False),
        ({"currency": "Usd", "amount": 1.05}, True),
        ({"currency": "\u0131nr"}, True),
        ({"currency": "u\u017fd"}, True),
        ({"currency": "\u212aes"}, False),
        ({"currency": "\u00dfp "}, False),
        ({"currency": "eur "}, False),
        ({"currency": "EURO"}, False),
        ({"country": "ZZ"}, False),
        ({"latitude": 91}, False),
        ({"city": "a\x00b"}, True),
        ({"unknown": {"field": 1}}, True),
    ],
)
def test_both_readers_by_hand(both: Both, change: dict[str, Any], stored: bool) -> None:
    value = orjson.dumps({**GOOD, "event_time": now_ms(), **change})
    assert (both.stored(b"A1", value), both.seen(b"A1", value)) == (stored, [stored, stored])


BYTES = yaml.safe_load((PROJECT_ROOT / "tests/streamguard/models/bytes.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", BYTES, ids=lambda case: case["name"])
def test_odd_bytes_are_stored_and_seen_or_neither(both: Both, case: dict[str, Any]) -> None:
    """So that no alert waits for a transaction that is a dead letter."""
    value = (bytes.fromhex(case.get("hex", "")) + case.get("text", "").encode()) * case.get("repeat", 1)
    stored = "stored" in case
    assert (both.stored(b"A1", value), both.seen(b"A1", value)) == (stored, [stored, stored])


@pytest.mark.parametrize("ahead_ms", [90 * MINUTE_MS, 30 * 24 * 60 * MINUTE_MS, 10**15])
def test_a_time_far_ahead_closes_no_window(ahead_ms: int) -> None:
    """Without the guard all that follow in the partition are late, for ever."""
    harness = Harness()
    for item in read(QUERIES):
        harness.execute(item.statement)
    start = now_ms() // MINUTE_MS * MINUTE_MS
    times = [start + ahead_ms, start, start + 1, start + 2, start + 3]
    velocity = next(topology for query, topology in harness.running.values() if query.target.name == "ACCOUNT_VELOCITY")
    for offset, at in enumerate(times):
        value = orjson.dumps({**GOOD, "transaction_id": f"t{offset}", "event_time": at})
        velocity.feed(0, [InputRecord("transactions", 0, offset, b"A1", value, at, [])])
    changes = [orjson.loads(record.value or b"{}") for record in harness.written if record.topic == "account_velocity"]
    assert [change["TX_COUNT"] for change in changes] == [4]


def test_the_reason_of_a_dead_letter_says_how_far_ahead_it_is() -> None:
    at_ms = 1_700_000_000_000
    decoder = Decoder(load_settings(), clock_ms=lambda: at_ms)
    batch = Batch()
    times = [at_ms + 3_600_000, at_ms + 3_600_001, at_ms + 93_600_000, 150_000_000_000_000]
    values = [orjson.dumps({**GOOD, "event_time": at}) for at in times]
    decoder.add(batch, 0, [Record("transactions", 0, n, b"A1", value) for n, value in enumerate(values)])
    assert len(batch.transactions) == 1
    assert [dead.reason for dead in batch.dead] == [
        "event_time: at most 1:00:00 ahead of the clock is expected (got 1700003600001, 1:00:00 ahead)",
        "event_time: at most 1:00:00 ahead of the clock is expected (got 1700093600000, 1 day, 2:00:00 ahead)",
        "event_time: looks like microseconds: epoch milliseconds are expected (got 150000000000000)",
    ]


# --- what SQL cannot tell -----------------------------------------------------------------------------------------------


def differing() -> dict[str, tuple[bytes, bytes]]:
    good = {**GOOD, "event_time": now_ms()}
    return {
        "the value names another account": (b"A1", orjson.dumps({**good, "account_id": "B2"})),
        "a key that is no UTF-8": (b"A\xff", orjson.dumps(good)),
        "a name twice but for the letter case": (b"A1", orjson.dumps({**good, "AMOUNT": 7})),
        "an event_time beyond 64 bits": (b"A1", dumps({**good, "event_time": 2**64 + now_ms()})),
        "a record above the limit": (b"A1", orjson.dumps({**good, "note": "x" * 1_048_576})),
    }


@pytest.mark.parametrize("kind", differing())
def test_what_sql_cannot_tell_is_seen_though_it_is_a_dead_letter(both: Both, kind: str) -> None:
    """The page names these kinds; each is a dead letter, so that its alert is explained."""
    page = (PROJECT_ROOT / "docs" / "sql-rules.md").read_text()
    assert f"| {kind}" in page
    key, value = differing()[kind]
    assert not both.stored(key, value)
    assert both.seen(key, value) == [True, True]

"""Reasons of dead letters: in words, whatever the bytes are; nothing of pydantic's or of a regular expression."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard.models import BadRecord, FraudAlert, Transaction

CASES = yaml.safe_load((Path(__file__).parent / "bytes.yaml").read_text(encoding="utf-8"))


def value_of(case: dict[str, Any]) -> bytes:
    text: str = case.get("text", "")
    return (bytes.fromhex(case.get("hex", "")) + text.encode()) * int(case.get("repeat", 1))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_bytes_are_stored_or_refused_in_words(case: dict[str, Any]) -> None:
    if "stored" in case:
        transaction = Transaction.from_record(value_of(case), b"A1")
        assert {name: getattr(transaction, name) for name in case["stored"]} == case["stored"]
        return
    with pytest.raises(BadRecord) as refusal:
        Transaction.from_record(value_of(case), b"A1")
    reason = str(refusal.value)
    assert reason == case["reason"] if "reason" in case else reason.startswith(case["begins"])


def test_the_reason_of_an_alert_speaks_of_an_alert() -> None:
    with pytest.raises(BadRecord, match=r"^a JSON array: one alert per record is expected$"):
        FraudAlert.from_record(b"[]", b"A1")


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["", "\x00", "x" * 400]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)
PYDANTIC = re.compile(r"Input should|should (have|match)|valid |pattern|Value error|\[type=|\x00|\n")


@settings(max_examples=500)
@given(
    st.sampled_from([Transaction, FraudAlert]),
    st.data(),
)
def test_no_reason_is_that_of_a_library(model: type[Transaction] | type[FraudAlert], data: st.DataObject) -> None:
    names = sorted(model.model_fields)
    fields = data.draw(st.dictionaries(st.sampled_from(names), anything, min_size=1))
    try:
        model.from_record(orjson.dumps(fields, option=orjson.OPT_PASSTHROUGH_SUBCLASS), b"A1")
    except orjson.JSONEncodeError:
        return
    except BadRecord as error:
        assert not PYDANTIC.search(re.sub(r"\(got .*?\)", "", error.bare)), error.bare
        assert len(str(error)) < 3_000
        assert "(got " not in error.bare


@settings(max_examples=500)
@given(st.binary(max_size=40) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_refused_in_one_line(value: bytes) -> None:
    with pytest.raises(BadRecord) as refusal:
        Transaction.from_record(value, b"A1")
    assert str(refusal.value) and not re.search(r"[\x00-\x1f]", str(refusal.value))

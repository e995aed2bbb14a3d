"""LIKE: what it matches, and that its time does not grow with the ways to divide the text."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from streamguard_ksql.expressions.like import like_matcher


@given(
    st.text(alphabet="ab%_\n\\", max_size=8), st.text(alphabet="ab\n%", max_size=10), st.sampled_from([None, "\\", "a"])
)
def test_like_is_what_the_regular_expression_says(pattern: str, text: str, escape: str | None) -> None:
    expected = ""
    characters = iter(pattern)
    for c in characters:
        expected += re.escape(next(characters, "")) if c == escape else {"%": ".*", "_": "."}.get(c) or re.escape(c)
    assert like_matcher(pattern, escape)(text) is bool(re.fullmatch(expected, text, re.DOTALL))


def test_many_percent_signs_over_a_long_text() -> None:
    assert not like_matcher("%a" * 50 + "b", None)("a" * 10_000)
    assert like_matcher("%a" * 50 + "%", None)("a" * 10_000)

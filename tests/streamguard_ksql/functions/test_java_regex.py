"""Java's regular expressions in Python's clothes."""

from __future__ import annotations

import re
import threading
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard_ksql.errors import EvaluationError, LimitExceeded
from streamguard_ksql.functions.java_regex import compile_java, replacement

MATCHES = [
    (r"(?<year>\d{4})-\k<year>", "2020-2020", "2020-2020"),
    (r"\p{Lu}\p{Ll}+", "élan Árbol", "Árbol"),
    (r"\P{L}+", "ab12", "12"),
    (r"[\p{Alpha}_]+", "1_ab", "_ab"),
    (r"[a-d&&[^bc]]+", "bcda", "da"),
    (r"[a-c[x-z]]+", "mxbz", "xbz"),
    (r"[^a-c[x-z]]+", "axmn", "mn"),
    (r"[]a]+", "x]a", "]a"),
    (r"\Q(a.b)\E+", "(a.b)))", "(a.b)))"),
    (r"a(?i)b(c)", "xaBC", "aBC"),
    (r"(?i:a)b", "Ab", "Ab"),
    (r"(a(?i)b)c", "aBc", "aBc"),
    (r"\x{1F600}", "😀", "😀"),
    (r"\0101", "A", "A"),
    (r"a.c", "a\rc abc", "abc"),
    (r"(?s)a.c", "a\nc", "a\nc"),
    (r"\h+", "a \t b", " \t "),
    (r"b\z", "ab", "b"),
    (r"b\Z", "ab\n", "b"),
    (r"[|&~-]+", "a|&~-", "|&~-"),
    (r"\w+", "ñandú", "and"),
    (r"(?<=a)b", "ab", "b"),
    (r"a*+b", "aab", "aab"),
    (r"(?>a+)b", "aab", "aab"),
    (r"\v+", "a\r\n", "\r\n"),
    (r"\V+", "\nab", "ab"),
    (r"(?<=a{1,3})b", "aab", "b"),
    (r"(?:ab){2}", "ababab", "abab"),
]


@pytest.mark.parametrize(("pattern", "text", "found"), MATCHES)
def test_match(pattern: str, text: str, found: str) -> None:
    match = compile_java(pattern).search(text)
    assert match is not None and match.group() == found


@pytest.mark.parametrize(
    "pattern", ["(", "a)", "[a", "*a", r"\p{Nope}", "a{2,1}", "[a&&", "a{e}", "{", r"\m", "(?P<n>a)", "(?|a)", "(?R)"]
)
def test_what_is_no_pattern(pattern: str) -> None:
    with pytest.raises(EvaluationError, match="not a regular expression"):
        compile_java(pattern)


@pytest.mark.parametrize("pattern", ["a{999999999}", "(?:a{1000}){1000}", "((a{50}){50}b){50}", "a" * 20_000])
def test_a_pattern_that_would_take_all_memory_is_refused(pattern: str) -> None:
    with pytest.raises(EvaluationError, match="more than"):
        compile_java(pattern)


SLOW = r"(a|aa)+$"
"""With it, the time doubles with each character of a text that does not match."""


def test_a_match_that_takes_too_long_is_ended() -> None:
    pattern = compile_java(SLOW, limit_s=0.1)
    for call in (pattern.search, pattern.fullmatch, pattern.find_all):
        with pytest.raises(LimitExceeded, match=r"'\(a\|aa\)\+\$' took longer than 100 ms on a text of 101 characters"):
            call("a" * 100 + "!")
    assert pattern.search("aaa")


def test_other_threads_run_while_a_match_takes_long() -> None:
    done = threading.Event()

    def match() -> None:
        with suppress(LimitExceeded):
            compile_java(SLOW, limit_s=1).search("a" * 200 + "!")
        done.set()

    threading.Thread(target=match).start()
    turns = 0
    while not done.wait(0.01):
        turns += 1
    assert turns > 2


@given(st.text(max_size=20))
def test_quoted_text_matches_itself(text: str) -> None:
    quoted = text.replace("\\E", "")
    assert compile_java(f"\\Q{quoted}\\E").fullmatch(quoted)


@given(st.text(alphabet=r"ab.*+?()[]{}|\^$&-", max_size=12))
def test_no_pattern_is_an_accident(pattern: str) -> None:
    with suppress(EvaluationError):
        compile_java(pattern)


def test_replacements() -> None:
    match = re.match(r"(?P<name>a)(b)?", "a")
    assert match is not None
    assert replacement(r"<$1${name}$2\$\\>")(match) == "<aa$\\>"
    with pytest.raises(EvaluationError, match="Illegal group reference"):
        replacement("$x")

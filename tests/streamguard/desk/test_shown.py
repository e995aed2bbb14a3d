"""Bytes of records for people: laid out without changing a token, or in hexadecimal with the reason."""

from __future__ import annotations

import json
import struct

import pytest

from streamguard.desk.shown import MOST_HEX, hints, laid_out, preview, read_headers, show


@pytest.mark.parametrize(
    ("data", "form", "problem"),
    [
        (None, "none", ""),
        (b"", "text", ""),
        (b"plain", "text", ""),
        ("São".encode(), "text", ""),
        (b'{"a": 1}', "json", ""),
        (b"[1, 2]", "json", ""),
        (b"{", "text", "not JSON: Expecting property name"),
        (b'{"a": 1} x', "text", "not JSON: Extra data"),
        (b"\xff", "hex", "not UTF-8: byte 0xff at position 0"),
        (b"ab\xc3", "hex", "position 2"),
        (b"\x00", "hex", "control character 0x00 at position 0"),
        (b"a\x00b", "hex", "control character 0x00 at position 1"),
        (b"[" * 100_000, "text", "not JSON"),
    ],
)
def test_what_it_is_and_why(data: bytes | None, form: str, problem: str) -> None:
    found = show(data)
    assert found.form == form and problem in found.problem and bool(problem) == bool(found.problem)


def test_layout_keeps_every_token() -> None:
    text = '{"a":1.10,"a":1e400,"b":[],"c":{},"d":[1,{"e":"x\\u00e9, {[:"}],"f":null}'
    expected = (
        '{\n  "a": 1.10,\n  "a": 1e400,\n  "b": [],\n  "c": {},\n  "d": [\n    1,\n    {\n'
        '      "e": "x\\u00e9, {[:"\n    }\n  ],\n  "f": null\n}'
    )
    assert laid_out(text) == expected
    assert json.loads(laid_out(text)) == json.loads(text)


def test_hexadecimal_says_what_it_leaves_out() -> None:
    found = show(b"\xff" * (MOST_HEX + 1))
    assert (
        len(found.text.splitlines()) == MOST_HEX // 16
        and f"the first {MOST_HEX:,} of {MOST_HEX + 1:,}" in found.problem
    )


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (None, ("null", False)),
        (b"a\nb", ("a\nb", False)),
        (b"\x00\x01", ("00 01", True)),
        ("é".encode() * 2_000, ("é" * 240, False)),
    ],
)
def test_a_line_of_a_list(data: bytes | None, line: tuple[str, bool]) -> None:
    assert preview(data) == line


def test_binary_has_hints() -> None:
    assert hints(struct.pack(">q", -5)) == ["as a BIGINT: -5"]
    assert hints(struct.pack(">i", 7)) == ["as an INT: 7"]
    assert hints(b"\0" + struct.pack(">i", 9) + b"x") == ["perhaps of a schema registry: schema 9"]
    window = b"ACC-1" + struct.pack(">q", 1_700_000_000_000)
    assert hints(window) == ["perhaps the key of a window: ACC-1 from 1,700,000,000,000 ms on"]
    assert hints(None) == hints(b"plain text") == []


def test_headers_are_lines() -> None:
    assert read_headers("a: 1\r\n\r\nb:x:y\nc") == [("a", b"1"), ("b", b"x:y"), ("c", b"")]

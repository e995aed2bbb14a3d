"""What a record has in it never reaches a terminal raw, and JSON stays the JSON that it was."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.config.visible import VisibleFormatter, VisibleOutput, one_line, visible

ANY_TEXT = st.text(st.characters(), max_size=60)
ATTACKS = {
    "colour": "\x1b[31mred",
    "link": "\x1b]8;;http://example.org\x1b\\text",
    "clipboard": "\x1b]52;c;ZXZpbA==\x07",
    "C1": "\x9b2J",
    "line": "ACC-1\r\nPROBLEM: all is lost",
    "bidi": "a\u202eb\u2066c",
    "no width": "a\u200bb\u2060c\ufeff",
    "lone surrogate": "a\ud800b",
    "tag": "a\U000e0041b",
    "separator": "a\u2028b\x85c",
}


def harmful(text: str) -> list[str]:
    """The characters that a terminal would act on, or that cannot be seen."""
    return [c for c in text if not c.isprintable() and unicodedata.category(c) != "Zs"]


@pytest.mark.parametrize("text", ATTACKS.values(), ids=ATTACKS)
def test_control_characters_are_escaped(text: str) -> None:
    shown = one_line(text)
    assert not harmful(shown) and "\\" in shown


@pytest.mark.parametrize("text", ["João 日本 مرحبا", "café\u00a0bar\u3000", "😀 👍🏽", ""])
def test_what_can_be_read_stays(text: str) -> None:
    assert one_line(text) == visible(text) == text


@given(ANY_TEXT)
def test_nothing_harmful_is_left_in_any_text(text: str) -> None:
    assert not harmful(one_line(text))
    assert set(harmful(visible(text))) <= {"\n", "\t"}


@given(st.recursive(ANY_TEXT, lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner), max_leaves=8))
def test_json_stays_the_json_that_it_was(value: object) -> None:
    text = json.dumps(value, ensure_ascii=False, indent=1)
    assert json.loads(visible(text)) == json.loads(json.dumps(value))


@given(ANY_TEXT)
def test_a_stream_and_a_log_line_have_nothing_harmful(text: str) -> None:
    below = io.StringIO(newline="")
    assert VisibleOutput(below).write(text) == len(text)
    assert below.getvalue() == visible(text)
    record = logging.LogRecord("x", logging.INFO, "", 0, "the record %s is wrong", (text,), None)
    assert not harmful(VisibleFormatter("%(levelname)s %(message)s").format(record))


PROGRAM = """
import sys
from streamguard.config.visible import protect_output
protect_output()
print(sys.argv[1])
sys.exit(sys.argv[1])
"""


@pytest.mark.parametrize(
    ("encoding", "out"),
    [("utf-8", "é € \\u001b[2J"), ("latin-1", "é \\u20ac \\u001b[2J"), ("ascii", "\\u00e9 \\u20ac \\u001b[2J")],
)  # fmt: skip
def test_a_terminal_of_any_encoding(encoding: str, out: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "é € \x1b[2J"],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
    )
    assert (done.stdout.decode(encoding), done.stderr.decode(encoding)) == (f"{out}\n", f"{out}\n")

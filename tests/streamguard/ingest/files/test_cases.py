"""Files of every kind that people have, as cases: what is found in them, every row, every line that is none."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from streamguard.ingest.files import InputError, Row, Unreadable, open_source

CASES = [
    pytest.param(case, id=f"{file.stem}: {case['name']}")
    for file in sorted((Path(__file__).parent / "cases").glob("*.json"))
    for case in json.loads(file.read_text(encoding="utf-8"))
]


def _written(folder: Path, case: dict[str, Any]) -> Path:
    data = bytes.fromhex(case["hex"]) if "hex" in case else case["text"].encode(case.get("encoding", "utf-8"))
    text, times = case.get("append_text_times", ("", 0))
    data += bytes.fromhex(case.get("append_hex", "")) + text.encode() * times
    file = folder / str(case.get("file", "a.csv"))
    file.write_bytes(data)
    return file


def _plain(value: Any) -> Any:
    """As JSON has it; a number that kept its digits as text."""
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items()}
    return str(value) if isinstance(value, Decimal) else value


@pytest.mark.parametrize("case", CASES)
def test_a_file_is_read_as_its_case_says(tmp_path: Path, case: dict[str, Any]) -> None:
    file, options = _written(tmp_path, case), case.get("options", {})
    if "error" in case:
        with pytest.raises(InputError) as raised:
            list(open_source(str(file), **options).rows())
        assert case["error"] in str(raised.value)
        return
    source = open_source(str(file), **options)
    items = list(source.rows())
    rows = [[item.line, _plain(item.values)] for item in items if isinstance(item, Row)]
    if "rows" in case:
        assert rows == case["rows"]
    if "texts" in case:
        assert [[str(value) for value in item.values.values()] for item in items if isinstance(item, Row)] == case[
            "texts"
        ]
    for name in ("found", "columns"):
        if name in case:
            assert list(getattr(source, name)) == case[name]
    expected = case.get("unreadable", [])
    unreadable = [item for item in items if isinstance(item, Unreadable)]
    assert [item.line for item in unreadable] == [line for line, _, _ in expected]
    for item, (_, reason, text) in zip(unreadable, expected, strict=True):
        assert reason in item.reason
        assert text is None or item.text == text

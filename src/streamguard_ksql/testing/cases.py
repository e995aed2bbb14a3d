"""Cases: what a case file has, in ksqlDB's own layout.

A file is `{"tests": [case, ...]}`. A case has `statements`, `inputs`, and either `outputs` or `expectedException`;
`properties` are settings, `post` says what sources exist afterwards. Numbers keep their text (as Decimals), so that
what is fed and compared is what was written.

Source: docs/how-to-guides/test-an-app.md of the ksqlDB manual.
"""

from __future__ import annotations

import decimal
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streamguard_ksql.errors import KsqlError


@dataclass(frozen=True)
class Case:
    """One case; `path` is the file it comes from."""

    path: Path
    name: str
    statements: tuple[str, ...]
    inputs: tuple[Mapping[str, Any], ...] = ()
    outputs: tuple[Mapping[str, Any], ...] | None = None
    expected_message: str | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)
    sources: tuple[Mapping[str, Any], ...] = ()
    topics: tuple[Any, ...] = ()

    @property
    def is_refusal(self) -> bool:
        return self.expected_message is not None


class CaseFileError(KsqlError):
    """A case file that cannot be read: says which, where and why."""


def load(path: Path) -> list[Case]:
    """The cases of one file; CaseFileError if it is no case file."""
    data = load_json(path)
    if not isinstance(data, dict) or not isinstance(data.get("tests"), list):
        raise CaseFileError(f'{path}: not a case file: an object with a list "tests" is expected')
    return [_case(path, entry) for entry in data["tests"]]


def load_json(path: Path) -> Any:
    """A JSON file with its numbers exact; CaseFileError if it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_float=decimal.Decimal)
    except OSError as error:
        raise CaseFileError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise CaseFileError(f"{path}: not valid JSON: {error}") from error


def load_records(path: Path, field: str) -> tuple[Mapping[str, Any], ...]:
    """The records of an input or output file of one script: an object with a list under `field`."""
    data = load_json(path)
    if not isinstance(data, dict) or field not in data:
        raise CaseFileError(f'{path}: an object with a list "{field}" is expected')
    return _records(path, field, data[field])


def _records(path: Path, what: str, data: Any) -> tuple[Mapping[str, Any], ...]:
    """Records, each with a topic; CaseFileError that counts from 1 where one has none."""
    if not isinstance(data, list):
        raise CaseFileError(f'{path}: "{what}" is no list')
    for number, record in enumerate(data, 1):
        if not isinstance(record, dict) or not isinstance(record.get("topic"), str):
            raise CaseFileError(f'{path}: record {number} of "{what}" has no "topic"')
    return tuple(data)


def _case(path: Path, entry: Any) -> Case:
    if not isinstance(entry, dict):
        raise CaseFileError(f"{path}: a case is an object, not {json.dumps(entry, default=str)[:60]}")
    statements = entry.get("statements", ())
    if not isinstance(statements, (list, tuple)) or not all(isinstance(s, str) for s in statements):
        raise CaseFileError(f"{path}: the statements of the case {entry.get('name', '?')!r} are no list of texts")
    expected = entry.get("expectedException")
    post = entry.get("post") or {}
    try:
        return Case(
            path,
            entry["name"],
            tuple(entry["statements"]),
            _records(path, "inputs", entry.get("inputs") or []),
            _records(path, "outputs", entry["outputs"]) if entry.get("outputs") is not None else None,
            None if expected is None else str(expected.get("message") or ""),
            entry.get("properties") or {},
            tuple(post.get("sources") or ()),
            tuple(entry.get("topics") or ()),
        )
    except KeyError as error:
        raise CaseFileError(f"{path}: the case {entry.get('name', '?')!r} has no {error.args[0]!r}") from None


def find_files(paths: list[Path]) -> Iterator[Path]:
    """The case files among files and folders (a folder: every .json below it); CaseFileError for what is not there."""
    for path in paths:
        if path.is_dir():
            yield from sorted(path.rglob("*.json"))
        elif path.exists():
            yield path
        else:
            raise CaseFileError(f"{path}: no such file or folder")

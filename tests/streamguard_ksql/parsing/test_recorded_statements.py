"""Statements recorded from ksqlDB: read, printed back unchanged in meaning, refused as ksqlDB refused them."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from streamguard_ksql.errors import KsqlError
from streamguard_ksql.formatter import format_statement
from streamguard_ksql.parser import parse_statement, parse_statements
from tests.support.recordings import KSQLDB_CASES, needs_ksqldb_cases, recording


def _own_cases() -> Iterator[dict[str, Any]]:
    """The statements that ksqlDB accepted; refusals are compared where the cases are run."""
    for name in ("streamguard.json", "queries.json"):
        yield from (case for case in recording(name)["tests"] if "expectedException" not in case)


def _ksqldb_cases() -> Iterator[dict[str, Any]]:
    for path in sorted(KSQLDB_CASES.glob("*.json")):
        yield from json.loads(path.read_text(encoding="utf-8"))["tests"]


def _refused_by_parser(case: dict[str, Any]) -> bool:
    return str(case.get("expectedException", {}).get("type", "")).endswith("ParseFailedException")


def _requests() -> Iterator[tuple[str, dict[str, Any]]]:
    for exchange in recording("rest.json"):
        body = exchange["request"]["body"]
        if isinstance(body, dict) and ("ksql" in body or "sql" in body):
            yield body.get("ksql") or body["sql"], exchange["response"]


def test_our_recorded_statements_survive_being_printed() -> None:
    _check_printed(_own_cases())


@needs_ksqldb_cases
def test_ksqldbs_own_statements_survive_being_printed() -> None:
    _check_printed(_ksqldb_cases())


def _check_printed(cases: Iterable[dict[str, Any]]) -> None:
    for case in cases:
        if _refused_by_parser(case):
            continue
        try:
            statements = parse_statements("\n".join(case["statements"]))
        except KsqlError as error:
            assert error.message in case["expectedException"]["message"], case["name"]
            continue
        for statement in statements:
            assert parse_statement(format_statement(statement)) == statement


@needs_ksqldb_cases
def test_refusals() -> None:
    """ksqlDB's test runner reads all statements of a case as one script and adds the statement to the message."""
    refused = [case for case in _ksqldb_cases() if _refused_by_parser(case)]
    assert len(refused) >= 14
    for case in refused:
        with pytest.raises(KsqlError) as refusal:
            parse_statements("\n".join(case["statements"]))
        said = f"{refusal.value.message}\nStatement: {refusal.value.statement}"
        assert case["expectedException"]["message"] in said


def test_requests_of_the_rest_recording() -> None:
    for text, response in _requests():
        try:
            parse_statements(text.replace("${limit_amount}", "4000"))
        except KsqlError as error:
            assert json.loads(response["body"])["message"] == error.message


def _printed_by_ksqldb(node: Any) -> Iterator[str]:
    """Statements in the answers that ksqlDB printed from its own tree: they name properties nobody typed."""
    if isinstance(node, dict):
        for value in node.values():
            yield from _printed_by_ksqldb(value)
    elif isinstance(node, list):
        for value in node:
            yield from _printed_by_ksqldb(value)
    elif isinstance(node, str) and node.startswith("CREATE ") and "CLEANUP_POLICY" in node:
        yield node


def test_printed_as_ksqldb_prints() -> None:
    printed = set()
    for _, response in _requests():
        for line in (response["body"] or "").splitlines():
            try:
                printed |= set(_printed_by_ksqldb(json.loads(line)))
            except json.JSONDecodeError:
                continue
    assert len(printed) >= 10
    for text in printed:
        assert format_statement(parse_statement(text)) == text

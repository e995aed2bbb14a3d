"""Own statements: what each is printed as, and what each refusal says.

`cases/printed.json` lists statements, `cases/printed.sql` what they are printed as, in the same order.
STREAMGUARD_TEST_REWRITE_CASES=1 writes the latter again, to be read before it is committed.
"""

import json
import os
from pathlib import Path

import pytest

from streamguard_ksql.errors import KsqlError
from streamguard_ksql.formatter import format_statement
from streamguard_ksql.parser import parse_statement, parse_statements, split_statements

CASES = Path(__file__).parent / "cases"
PRINTED = CASES / "printed.sql"
STATEMENTS: list[str] = json.loads((CASES / "printed.json").read_text(encoding="utf-8"))
REFUSED: list[tuple[str, str]] = json.loads((CASES / "refused.json").read_text(encoding="utf-8"))


def _expected() -> list[str]:
    if os.environ.get("STREAMGUARD_TEST_REWRITE_CASES"):
        printed = (format_statement(parse_statement(sql)) for sql in STATEMENTS)
        PRINTED.write_text("\n".join(printed) + "\n", encoding="utf-8")
    return [text for text, _ in split_statements(PRINTED.read_text(encoding="utf-8"))]


@pytest.mark.parametrize(("sql", "printed"), list(zip(STATEMENTS, _expected(), strict=True)), ids=STATEMENTS)
def test_printed(sql: str, printed: str) -> None:
    statement = parse_statement(sql)
    assert format_statement(statement) == printed
    assert parse_statement(printed) == statement


@pytest.mark.parametrize(("sql", "message"), REFUSED, ids=[sql for sql, _ in REFUSED])
def test_refused(sql: str, message: str) -> None:
    with pytest.raises(KsqlError) as refusal:
        parse_statements(sql)
    assert refusal.value.message == message
    assert refusal.value.statement in (split_statements(sql)[-1][0], sql)

"""What the shell sends: variables are in queries and PRINT already, for which ksqlDB's server puts none in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from streamguard_ksql.shell.session import Session


class Recorder:
    """A client that keeps what it is asked, and answers nothing."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, str]]] = []

    def execute(self, text: str, properties: Mapping[str, str], variables: Mapping[str, str]) -> list[dict[str, Any]]:
        self.sent.append((text, dict(variables)))
        return []

    def query(
        self, text: str, properties: Mapping[str, str], variables: Mapping[str, str], timeout_s: float | None = None
    ) -> Iterator[Any]:
        self.sent.append((text, dict(variables)))
        yield from ()


@pytest.mark.parametrize(
    ("statement", "sent", "variables"),
    [
        ("SELECT '${word}' FROM ${SRC} EMIT CHANGES;", "SELECT '${src}' FROM s EMIT CHANGES;", {}),
        ("PRINT '${src}' LIMIT 1;", "PRINT 's' LIMIT 1;", {}),
        ("DROP STREAM ${src};", "DROP STREAM ${src};", {"src": "s", "word": "${src}"}),
    ],
)
def test_variables(statement: str, sent: str, variables: dict[str, str]) -> None:
    client = Recorder()
    session = Session(client, lambda line: None, lambda: None, lambda *_: False)  # type: ignore[arg-type]
    session.variables = {"src": "s", "word": "${src}"}
    session.run_statement(statement)
    assert client.sent == [(sent, variables)]

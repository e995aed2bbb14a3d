"""What DESCRIBE shows of a source can be sent again."""

from __future__ import annotations

import pytest

from streamguard.sqldeploy.state import repeatable

COLUMNS = "(ID STRING PRIMARY KEY, V INTEGER)"


@pytest.mark.parametrize(
    ("shown", "sent"),
    [
        (
            f"CREATE TABLE T {COLUMNS} WITH (CLEANUP_POLICY='compact', KAFKA_TOPIC='t', KEY_FORMAT='KAFKA');",
            f"CREATE TABLE T {COLUMNS} WITH (KAFKA_TOPIC='t', KEY_FORMAT='KAFKA');",
        ),
        (
            f"CREATE OR REPLACE TABLE T {COLUMNS} WITH (CLEANUP_POLICY='compact,delete', KAFKA_TOPIC='t');",
            f"CREATE OR REPLACE TABLE T {COLUMNS} WITH (KAFKA_TOPIC='t');",
        ),
        *(
            (same, same)
            for same in (
                "CREATE STREAM S (V INTEGER) WITH (CLEANUP_POLICY='delete', KAFKA_TOPIC='s');",
                "CREATE TABLE T WITH (CLEANUP_POLICY='compact', KAFKA_TOPIC='t') AS SELECT * FROM U EMIT CHANGES;",
                f"CREATE TABLE T {COLUMNS} WITH (KAFKA_TOPIC='t');",
            )
        ),
    ],
)
def test_repeatable(shown: str, sent: str) -> None:
    assert repeatable(shown) == sent

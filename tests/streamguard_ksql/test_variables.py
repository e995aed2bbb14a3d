"""`${name}` in SQL text."""

import pytest

from streamguard_ksql.variables import substitute

VARIABLES = {"limit": "3000", "Topic": "fraud", "quoted": "'x'", "nested": "${limit}", "_a1": "b"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT * FROM t WHERE a > ${limit};", "SELECT * FROM t WHERE a > 3000;"),
        ("${LIMIT} ${Limit}", "3000 3000"),
        ("WITH (kafka_topic='${topic}_v1')", "WITH (kafka_topic='fraud_v1')"),
        ("${quoted}", "'x'"),
        ("$${limit}", "${limit}"),
        ("'$${limit}' ${limit}", "'${limit}' 3000"),
        ("${nested}", "${limit}"),
        ("${unknown}", "${unknown}"),
        ("${} $limit {limit} ${1a}", "${} $limit {limit} ${1a}"),
        ("${_a1}", "b"),
        ("", ""),
    ],
)
def test_substitute(text: str, expected: str) -> None:
    assert substitute(text, VARIABLES) == expected

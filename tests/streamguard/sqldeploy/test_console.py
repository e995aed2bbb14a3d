"""SQL that a person types: what only reads is told from what changes, and nothing gets past that."""

from __future__ import annotations

import pytest

from streamguard.sqldeploy.console import SqlRefused, first_word, parts_of, refusal

READS = [
    "SHOW STREAMS;",
    "list topics;",
    "DESCRIBE x EXTENDED;",
    "EXPLAIN SELECT ';' FROM x;",
    "select * from x emit changes;",
    "PRINT 'topic';",
    "-- DROP STREAM x;\nSHOW TABLES;",
    "/* DROP STREAM x; */ SHOW TABLES",
    "SELECT '; DROP STREAM x;' FROM y;",
    'SELECT `a;b`, "c;d" FROM y;',
]
CHANGES = [
    "DROP STREAM x;",
    "create stream a (b int) with (kafka_topic='a', value_format='json');",
    "INSERT INTO a VALUES (1);",
    "TERMINATE ALL;",
    "PAUSE q;",
    "ALTER SYSTEM 'a'='b';",
    "RUN SCRIPT 'x';",
    "ASSERT TOPIC x;",
    "",
    "'SHOW';",
    "`SHOW`;",
    "(SELECT 1);",
    "SHOWDROP x;",
    "/**/DROP STREAM x;",
    "--\rDROP STREAM x;",
    "-- c\r\nDROP STREAM x;",
]


@pytest.mark.parametrize("text", READS)
def test_reads(text: str) -> None:
    assert [part.reads_only for part in parts_of(text, {})] == [True]


@pytest.mark.parametrize("text", CHANGES)
def test_changes(text: str) -> None:
    assert not any(part.reads_only for part in parts_of(text, {}))
    behind = parts_of(f"SHOW STREAMS; {text}", {})
    assert [part.reads_only for part in behind] == [True, False][: 1 + bool(text)]


def test_a_carriage_return_ends_a_comment_as_in_ksqldb() -> None:
    parts = parts_of("SHOW TOPICS; -- harmless\rDROP STREAM x;", {})
    assert [part.word for part in parts] == ["SHOW", "DROP"]


def test_the_session_is_evaluated_and_not_sent() -> None:
    text = """SET 'auto.offset.reset' = 'earliest'; DEFINE s = 'it''s';
    SELECT '${s}' FROM x; UNSET 'auto.offset.reset'; -- a comment before
    SHOW TOPICS"""
    first, second = parts_of(text, {"a": "b"})
    assert first.sent.strip() == "SELECT 'it's' FROM x;" and first.properties == {
        "a": "b",
        "auto.offset.reset": "earliest",
    }
    assert second.sent.strip() == "SHOW TOPICS;" and second.properties == {"a": "b"}
    assert (second.line, second.column) == (3, 5)


@pytest.mark.parametrize(
    ("text", "said", "line"),
    [
        ("SHOW STREAMS;\nSHOW ${what};", "what is not DEFINEd", 2),
        ("DEFINE v = 'TOPICS; DROP STREAM x';\nSHOW ${v};", "would begin another statement", 2),
        ("DEFINE v = 'DROP';\nDEFINE v 1;", "the forms are", 2),
        ("SET a=b;", "the forms are", 1),
        ("x" * 1_000_001, "1,000,000 are read", None),
    ],
)
def test_what_is_refused_has_its_place(text: str, said: str, line: int | None) -> None:
    with pytest.raises(SqlRefused, match=said) as refused:
        parts_of(text, {})
    assert refused.value.line == line


def test_a_variable_cannot_turn_a_read_into_a_change() -> None:
    [part] = parts_of("DEFINE v = 'DROP STREAM'; ${v} x;", {})
    assert part.word == "DROP" and not part.reads_only


def test_places_in_messages_are_places_in_the_text() -> None:
    text = "SHOW STREAMS;\n\n   SELECT x FROM;"
    _, part = parts_of(text, {})
    assert part.sent == "\n\n   SELECT x FROM;"
    assert (refusal("line 3:17: Syntax Error", part).line, refusal("line 3:17: Syntax Error", part).column) == (3, 17)
    assert refusal("Line: 3, Col: 11: SELECT column 'X' cannot be resolved.", part).column == 11
    assert (refusal("no place", part).line, refusal("no place", part).column) == (3, 4)


def test_first_words() -> None:
    assert first_word("  -- c\n /* d */ Show x") == "SHOW"
    assert first_word("/* never ends SHOW x") == ""

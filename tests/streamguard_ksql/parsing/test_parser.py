"""Trees, places in the text, and the parts that are not whole statements."""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from streamguard_ksql import ast, types
from streamguard_ksql.ast import ColumnDef, ColumnRef, Location
from streamguard_ksql.errors import SqlSyntaxError
from streamguard_ksql.formatter import format_expression, format_properties, format_value, quote
from streamguard_ksql.parser import (
    parse_expression,
    parse_schema,
    parse_statement,
    parse_statements,
    parse_type,
    split_statements,
)
from streamguard_ksql.parsing import driver, keywords
from streamguard_ksql.statements.sources import ListTables


def test_script_keeps_text_and_place_of_each_statement() -> None:
    script = "-- first\nSHOW TOPICS;;\n  /* ; */ SELECT a, -- x;\n b FROM `s;t` WHERE c = ';';\n"
    shown, selected = parse_statements(script)
    assert (shown.text, shown.location) == ("SHOW TOPICS;", Location(2, 1))
    assert selected.text == "SELECT a, -- x;\n b FROM `s;t` WHERE c = ';';"
    assert selected.location == Location(3, 11)
    assert [(s.text, s.location) for s in (shown, selected)] == split_statements(script)


def test_nodes_know_their_place() -> None:
    statement = parse_statement("SELECT a,\n  b.c + LEN(d)\nFROM s JOIN t ON s.a = t.a")
    assert isinstance(statement, ast.QueryStatement)
    first, second = statement.query.select
    assert isinstance(first, ast.SelectItem) and isinstance(second, ast.SelectItem)
    assert first.expression.location == Location(1, 8)
    assert second.expression.location == Location(2, 3)
    assert isinstance(second.expression, ast.Arithmetic)
    assert second.expression.right.location == Location(2, 9)
    join = statement.query.source
    assert isinstance(join, ast.Join)
    assert join.right.location == Location(3, 13)


def test_statement_tree() -> None:
    statement = parse_statement(
        "CREATE TABLE velocity WITH (partitions=3, value_format='JSON') AS SELECT account_id, COUNT(*) AS n "
        "FROM tx t WINDOW TUMBLING (SIZE 1 MINUTE) WHERE t.amount > 1.5 GROUP BY account_id EMIT CHANGES;"
    )
    assert statement == ast.CreateAsSelect(
        "TABLE",
        "VELOCITY",
        {"PARTITIONS": 3, "VALUE_FORMAT": "JSON"},
        ast.Query(
            (ast.SelectItem(ColumnRef("ACCOUNT_ID")), ast.SelectItem(ast.FunctionCall("COUNT", ()), "N")),
            ast.Source("TX", "T"),
            window=ast.Window("TUMBLING", ast.Duration(1, "MINUTES")),
            where=ast.Comparison(">", ColumnRef("AMOUNT", "T"), ast.Literal(Decimal("1.5"), types.Decimal(2, 1))),
            group_by=(ColumnRef("ACCOUNT_ID"),),
            emit="CHANGES",
        ),
    )


def test_explained_statement_has_its_own_text() -> None:
    statement = parse_statement("EXPLAIN SELECT a FROM s;")
    assert isinstance(statement, ast.Explain) and statement.statement is not None
    assert statement.statement.text == "SELECT a FROM s;"
    assert statement.statement.location == Location(1, 9)


@pytest.mark.parametrize(
    ("text", "value", "sql_type"),
    [
        ("1", 1, types.INTEGER),
        ("-2147483648", -(2**31), types.INTEGER),
        ("2147483648", 2**31, types.BIGINT),
        ("00012", 12, types.INTEGER),
        ("-9223372036854775808", -(2**63), types.BIGINT),
        ("1.50", Decimal("1.50"), types.Decimal(3, 2)),
        (".05", Decimal("0.05"), types.Decimal(2, 2)),
        ("1.", Decimal("1"), types.Decimal(1, 0)),
        ("1.5E0", 1.5, types.DOUBLE),
        ("1e3", 1000.0, types.DOUBLE),
        ("'it''s'", "it's", types.STRING),
        ("TRUE", True, types.BOOLEAN),
    ],
)
def test_literals(text: str, value: object, sql_type: types.SqlType) -> None:
    literal = parse_expression(text)
    assert literal == ast.Literal(value, sql_type)
    assert isinstance(literal, ast.Literal) and type(literal.value) is type(value)


def test_schema() -> None:
    assert parse_schema("A INT KEY, b VARCHAR, `c` ARRAY<INT>, h BYTES HEADER('x'), p INT PRIMARY KEY") == (
        ColumnDef("A", types.INTEGER, "KEY"),
        ColumnDef("B", types.STRING),
        ColumnDef("c", types.Array(types.INTEGER)),
        ColumnDef("H", types.BYTES, "HEADER", "x"),
        ColumnDef("P", types.INTEGER, "PRIMARY KEY"),
    )
    assert parse_schema("") == ()


def test_types() -> None:
    parsed = parse_type("STRUCT<F INT, `g` MAP<VARCHAR, DECIMAL(4, 2)>, H my_type>")
    decimals = types.Map(types.STRING, types.Decimal(4, 2))
    assert parsed == types.Struct((("F", types.INTEGER), ("g", decimals), ("H", types.Named("MY_TYPE"))))


def test_one_statement_only() -> None:
    assert parse_statement("SHOW TABLES -- all of them") == ListTables()
    for text, found in (("", 0), ("SHOW TABLES; SHOW TOPICS;", 2)):
        with pytest.raises(SqlSyntaxError, match=f"found {found} instead"):
            parse_statement(text)


def test_refusal_names_the_statement_that_is_wrong() -> None:
    for wrong in ("SELECT FROM a;", "SELECT 'a;", "SELECT 99999999999999999999 FROM a;"):
        with pytest.raises(SqlSyntaxError) as refusal:
            parse_statements(f"SHOW TOPICS;\n{wrong}")
        assert refusal.value.statement == wrong.strip()


def test_split_needs_no_sense() -> None:
    assert split_statements("") == []
    assert split_statements(" ;; -- x\n/* ; ") == []
    assert [text for text, _ in split_statements("a # ';' ` ;` ; b 'open ;")] == ["a # ';' ` ;` ;", "b 'open ;"]


def test_words_with_two_meanings_have_a_rule() -> None:
    """Where the parser could take a word as keyword or as name, keywords.RULES must say which."""
    words = {terminal.name for terminal in driver.grammar().terminals if str(terminal.pattern.value).isalpha()}
    ruled = {terminal for rules in keywords.RULES.values() for terminal, _ in rules}
    table = driver.grammar().parse_interactive(None, driver.STATEMENT).parser_state.parse_conf.parse_table
    for state in table.states.values():
        if "NAME" in state:
            assert {word for word in words & set(state) if word not in keywords.RESERVED} <= ruled


def test_deep_nesting_is_no_problem_to_read() -> None:
    assert parse_expression("(" * 5000 + "1" + ")" * 5000) == ast.Literal(1, types.INTEGER)


def test_long_chains_are_no_problem_to_print() -> None:
    text = " + ".join(["a"] * 2000)
    assert format_expression(parse_expression(text)).count(" + ") == 1999


def test_a_megabyte_of_text_is_read() -> None:
    assert parse_expression("'" + "x''" * 350_000 + "'") == ast.Literal("x'" * 350_000, types.STRING)


def test_threads_may_parse_at_once() -> None:
    texts = [f"SELECT a{i} FROM s WHERE b > {i};" for i in range(200)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(parse_statement, texts)) == [parse_statement(text) for text in texts]


def test_formatter_parts() -> None:
    assert quote("A_1") == "A_1" and quote("select") == "`select`" and quote("SELECT") == "`SELECT`"
    assert format_value(Decimal("1E-7")) == "0.0000001"
    assert format_properties({"B": 1, "A": "x'y", "connector.class": True}) == (
        " WITH (A='x''y', B=1, 'connector.class'=true)"
    )

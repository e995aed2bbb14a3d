"""`deploy --replace`: from now or from the beginning; and what it refuses before anything is taken down."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from kafka import KafkaAdminClient

from streamguard.database.locks import Lock
from streamguard.rules import replacements
from streamguard.rules.replacements import NOW, Change
from streamguard.sqldeploy.state import Server
from streamguard.stack.health import Context, rules
from tests.streamguard.cli.test_commands import Line
from tests.streamguard.sqldeploy.test_promote import LOWER, differs, limits_of
from tests.support.broker import free_port
from tests.support.desk import Desk
from tests.support.engine import produce
from tests.support.ksqldb import KsqlServerProcess
from tests.support.processes import Program, eventually
from tests.support.project import PROJECT_ROOT
from tests.support.records import T0_MS, transaction_value
from tests.support.topics import read_topic

QUERIES = (PROJECT_ROOT / "ksqldb" / "queries.sql").read_text()
VELOCITY = QUERIES[QUERIES.index("INSERT INTO fraud_alerts WITH (QUERY_ID='high_velocity')") :]


def pay(server: KsqlServerProcess, *payments: tuple[str, float]) -> None:
    """Payments of (id, amount), each of an account of its own."""
    records = [(f"A-{name}", transaction_value(name, f"A-{name}", amount, T0_MS)) for name, amount in payments]
    produce(server.bootstrap_servers, "transactions", records)


def stored(desk: Desk) -> list[object]:
    return [row[0] for row in desk.rows("SELECT transaction_id FROM fraud_alerts WHERE outcome IS NOT NULL ORDER BY 1")]


def raised(server: KsqlServerProcess) -> set[str]:
    values = [orjson.loads(record.value) for record in read_topic(server.bootstrap_servers, "fraud_alerts")]
    return {value["TRANSACTION_ID"] for value in values}


def statements(server: KsqlServerProcess) -> dict[str, str]:
    return Server(server.url).queries()


def reported(desk: Desk) -> list[str]:
    with desk.engine.connect() as connection:
        context = Context(desk.settings.model_copy(update={"status_limit_s": 0.0}), database=connection)
        checks = (rules.replacement_open, rules.shadow_left, rules.shadow_runs, rules.left_out, rules.held)
        return [finding.sentence for check in checks for finding in check(context)]


def test_from_now_leaves_earlier_alerts_out_and_from_the_beginning_adds_them(
    line: Line, desk: Desk, server: KsqlServerProcess, consumer: Program
) -> None:
    consumer.start()
    line("deploy", "queries.sql")
    pay(server, ("old-low", 2_000), ("old-high", 4_000))
    eventually(lambda: stored(desk), lambda found: found == ["old-high"])
    said = line(
        "deploy", "--replace", "queries.sql", "--define", "high_amount=1000", "--reason", "small ones", "--by", "ana"
    )
    assert "HIGH_AMOUNT: alerts on transactions from now on" in said and "replaced   query   HIGH_AMOUNT" in said
    pay(server, ("new-low", 2_000))
    eventually(lambda: stored(desk), lambda found: found == ["new-low", "old-high"])
    eventually(lambda: raised(server), lambda found: found == {"old-low", "old-high", "new-low"})
    assert ["left out: 1 of HIGH_AMOUNT" in sentence for sentence in reported(desk)] == [True]

    said = line("deploy", "--replace", "--from", "beginning", "queries.sql", "--define", "high_amount=500")
    assert "HIGH_AMOUNT: alerts on all transactions of the topic" in said
    eventually(lambda: stored(desk), lambda found: found == ["new-low", "old-high", "old-low"])
    history = line("rules", "history", "HIGH_AMOUNT")
    assert "replaced from now, 1 earlier alerts left out ana: small ones" in history
    assert "replaced from the beginning" in history
    texts = desk.rows("SELECT sql_before, sql_after FROM rule_replacements ORDER BY replacement_no")
    assert [("> 3000" in str(before), "> 1000" in str(after)) for before, after in texts] == [
        (True, True),
        (False, False),
    ]


def test_a_stricter_rule_raises_nothing_from_rows_of_the_old_one(
    line: Line, desk: Desk, server: KsqlServerProcess, consumer: Program
) -> None:
    """The table of the old rule goes on after the limit is stored; its topic is filled anew for the new one."""
    line("deploy", "queries.sql")
    for count in range(5):
        produce(
            server.bootstrap_servers, "transactions", [("A", transaction_value(f"t{count}", "A", 10, T0_MS + count))]
        )
    line("deploy", "--replace", *LOWER[:-1], "velocity_count=7")
    assert all(limits_of(desk).values()) or sum(limits_of(desk).values()) == 5
    for count in range(5, 9):
        produce(
            server.bootstrap_servers, "transactions", [("A", transaction_value(f"t{count}", "A", 10, T0_MS + count))]
        )
    consumer.start()
    alert = f"HIGH_VELOCITY:A:{T0_MS}"
    expected = {(alert, 4, "t3"), (alert, 5, "t4"), (alert, 8, "t7"), (alert, 9, "t8")}
    eventually(lambda: differs(desk, expected), lambda found: not any(found.values()))


def test_a_new_rule_counts_from_where_it_is_asked_to(
    line: Line, desk: Desk, server: KsqlServerProcess, consumer: Program
) -> None:
    consumer.start()
    line("deploy", "queries.sql")
    pay(server, ("old", 15_000))
    line("deploy", "--from", "now", "account-rules.sql", "--define", "spend_amount=9000")
    pay(server, ("new", 16_000))
    statement = "SELECT transaction_id FROM fraud_alerts WHERE rule = 'WINDOW_AMOUNT'"
    eventually(lambda: desk.rows(statement), lambda found: found == [("new",)])


@pytest.mark.parametrize(
    ("options", "text", "said"),
    [
        (["--shadow"], "CREATE STREAM x AS SELECT * FROM transactions;", "no rule is in it"),
        (
            ["--shadow"],
            "INSERT INTO fraud_alerts WITH (QUERY_ID='mine') SELECT * FROM transactions;",
            "the query MINE into fraud_alerts has no line in ksqldb/rules.yaml: add its rule there first",
        ),
        (
            ["--shadow"],
            "INSERT INTO transactions WITH (QUERY_ID='more') SELECT * FROM transactions;" + VELOCITY,
            "the query MORE writes into transactions, which is no part of a shadow",
        ),
        (["--shadow"], VELOCITY.replace("tx_count,", "nothing AS tx_count,"), "NOTHING"),
        (["--shadow"], "SELEC 1;", "f.sql: line 1:1"),
        (
            ["--replace"],
            VELOCITY.replace("tx_count,", "nothing AS tx_count,"),
            "HIGH_VELOCITY cannot be planned",
        ),
        (
            ["--replace"],
            QUERIES[
                QUERIES.index("CREATE STREAM account_velocity_changes") : QUERIES.index("-- ...become alerts")
            ].replace("total_amount DECIMAL(38, 4),", ""),
            "the query HIGH_VELOCITY uses ACCOUNT_VELOCITY_CHANGES, which is to be replaced: deploy its file too",
        ),
    ],
)
def test_what_cannot_be_is_one_sentence_and_nothing_changes(
    line: Line, desk: Desk, server: KsqlServerProcess, tmp_path: Path, options: list[str], text: str, said: str
) -> None:
    line("deploy", "queries.sql")
    before = statements(server)
    file = tmp_path / "f.sql"
    file.write_text(text)
    assert said in line("deploy", *options, str(file), code=1)
    assert statements(server) == before
    assert "there is no shadow" in line("rules", "compare", code=1)
    assert desk.rows("SELECT count(*) FROM rule_replacements") == [(0,)]


def test_a_rule_that_another_file_raises_too_is_not_replaced_alone(
    line: Line, server: KsqlServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "project" / "ksqldb"
    folder.mkdir(parents=True)
    catalogue = (PROJECT_ROOT / "ksqldb" / "rules.yaml").read_text()
    more = "more_amount: {name: HIGH_AMOUNT, version: 1, file: more.sql, finds: the same, severity: low}"
    (folder / "rules.yaml").write_text(f"{catalogue}\n{more}\n")
    (folder / "queries.sql").write_text(QUERIES)
    high_amount = QUERIES[QUERIES.index("INSERT INTO fraud_alerts WITH (QUERY_ID='high_amount')") :]
    defines = QUERIES[QUERIES.index("DEFINE") : QUERIES.index("CREATE STREAM transactions")]
    text = defines + high_amount[: high_amount.index("-- Rule 2")].replace("'high_amount'", "'more_amount'")
    (folder / "more.sql").write_text(text)
    monkeypatch.chdir(folder.parent)
    line("deploy", "queries.sql", "more.sql")
    before = statements(server)
    said = line("deploy", "--replace", "queries.sql", "--define", "high_amount=5", code=1)
    assert "the query MORE_AMOUNT raises alerts of HIGH_AMOUNT too and is not replaced: deploy more.sql as well" in said
    assert statements(server) == before


def test_a_rule_of_several_queries_is_replaced_whole(
    line: Line, desk: Desk, server: KsqlServerProcess, tmp_path: Path
) -> None:
    text = (PROJECT_ROOT / "ksqldb" / "blacklist.sql").read_text()
    file = tmp_path / "blacklist.sql"
    line("deploy", "queries.sql", "blacklist.sql")
    file.write_text(text.replace("CONCAT('account:', t.account_id)", "CONCAT('account:', UCASE(t.account_id))", 1))
    said = line("deploy", "--replace", str(file))
    assert [part.split()[-1] for part in said.splitlines() if part.startswith("replaced")] == [
        *("BLACKLISTED_ACCOUNT", "BLACKLISTED_MERCHANT", "BLACKLISTED_DEVICE")
    ]
    assert desk.rows("SELECT rule, finished_at IS NOT NULL FROM rule_replacements") == [("BLACKLISTED", True)]


def test_a_rule_of_several_queries_that_was_replaced_in_part_is_replaced_whole(
    line: Line, desk: Desk, server: KsqlServerProcess
) -> None:
    """Killed when one of the three was taken down."""
    files = ("queries.sql", "blacklist.sql")
    line("deploy", *files)
    with desk.engine.begin() as connection:
        changes = {"BLACKLISTED": Change("x", "ana", "before", "after")}
        replacements.begin(connection, changes, NOW, lambda: {0: 0, 1: 0, 2: 0})
    server.ksql("TERMINATE BLACKLISTED_DEVICE;")
    assert "the replacement of BLACKLISTED was begun and is not finished" in line("deploy", *files, code=1)
    assert line("deploy", "--replace", *files).count("replaced   query   BLACKLISTED") == 2
    assert desk.rows("SELECT rule, finished_at IS NOT NULL FROM rule_replacements") == [("BLACKLISTED", True)]
    assert {query for query in statements(server) if "BLACKLISTED" in query} == {
        *("BLACKLISTED_ACCOUNT", "BLACKLISTED_MERCHANT", "BLACKLISTED_DEVICE")
    }


def test_without_a_database_from_now_is_refused_and_from_the_beginning_is_not(
    line: Line, server: KsqlServerProcess
) -> None:
    line("deploy", "queries.sql")
    before = statements(server)
    line.url = f"postgresql://streamguard:x@127.0.0.1:{free_port()}/streamguard"
    said = line("deploy", "--replace", "queries.sql", "--define", "high_amount=5", code=1)
    assert "from where on the rules count is stored in the database (DATABASE_URL)" in said
    assert statements(server) == before
    assert "replaced   query   HIGH_AMOUNT" in line(
        "deploy", "--replace", "--from", "beginning", "queries.sql", "--define", "high_amount=5"
    )


def test_a_replacement_that_was_left_is_named_and_taken_back_by_the_files_that_run(
    line: Line, desk: Desk, server: KsqlServerProcess
) -> None:
    line("deploy", "queries.sql")
    with desk.engine.begin() as connection:
        changes = {"HIGH_AMOUNT": Change("x", "ana", "before", "after")}
        replacements.begin(connection, changes, NOW, lambda: {0: 0, 1: 0, 2: 0})
    [sentence] = reported(desk)
    assert "the replacement of HIGH_AMOUNT from now on was begun and is not finished" in sentence
    line("deploy", "queries.sql")
    assert reported(desk) == []


def test_a_rule_that_is_off_is_replaced_and_stays_off(line: Line, desk: Desk, server: KsqlServerProcess) -> None:
    line("deploy", "queries.sql")
    line("rules", "set", "HIGH_AMOUNT", "off", "--reason", "noisy")
    pay(server, ("a", 5_000))
    assert "off        query   HIGH_AMOUNT" in line(
        "deploy", "--replace", "queries.sql", "--define", "high_amount=1000"
    )
    assert "HIGH_AMOUNT" not in statements(server) and reported(desk) == []


def test_topics_of_the_old_rows_are_filled_anew(line: Line, server: KsqlServerProcess) -> None:
    line("deploy", "queries.sql")
    line("deploy", "--replace", *LOWER)
    admin = KafkaAdminClient(bootstrap_servers=server.bootstrap_servers)
    try:
        assert "account_velocity" in admin.list_topics()
    finally:
        admin.close()


def test_two_deployments_at_once_are_one_after_the_other(line: Line, desk: Desk) -> None:
    connection = desk.postgres.connect()
    try:
        connection.cursor().execute("SELECT pg_advisory_lock(%s)", (int(Lock.DEPLOYMENT),))
        for command in (
            ("deploy", "queries.sql"),
            ("deploy", "--shadow", "queries.sql"),
            ("rules", "promote", "--reason", "x"),
        ):
            assert "another deployment is going on: wait until it has ended" in line(*command, code=1)
    finally:
        connection.close()

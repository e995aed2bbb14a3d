"""`ksql -e`, `-f` and standard input: the output and the exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.streamguard_ksql.shell.conftest import CODE, Run, shell_environment
from tests.support.ksqldb import KsqlServerProcess

EARLIEST = "SET 'auto.offset.reset'='earliest';"


def test_show_topics(ksql: Run) -> None:
    shown = ksql("-e", "SHOW TOPICS;")
    assert (shown.returncode, shown.stderr) == (0, "")
    header, ruler, *rows, _ = shown.stdout.splitlines()
    assert header.split("|")[0].strip() == "Kafka Topic"
    assert set(ruler) == {"-"}
    assert "payments" in [row.split("|")[0].strip() for row in rows]


def test_rows_are_drawn_with_what_is_too_wide_wrapped(ksql: Run) -> None:
    shown = ksql("-e", f"{EARLIEST} SELECT * FROM payments EMIT CHANGES LIMIT 2;", COLUMNS="46")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.splitlines()[1:] == [
        "+--------------+--------------+--------------+",
        "|ID            |AMOUNT        |NOTE          |",
        "+--------------+--------------+--------------+",
        "|a             |10.5          |short         |",
        "|b             |3.0E10        |a note that i>|",
        "|              |              |s far too lon>|",
        "|              |              |g for one lin>|",
        "|              |              |e of a narrow>|",
        "|              |              | column       |",
        "Limit Reached",
        "Query terminated",
    ]


def test_json_output_is_for_programs(ksql: Run) -> None:
    shown = ksql("--output", "json", "-e", f"{EARLIEST} SELECT id, amount FROM payments EMIT CHANGES LIMIT 2;")
    lines = [json.loads(line) for line in shown.stdout.splitlines()]
    assert [line["row"]["columns"] for line in lines[1:3]] == [["a", 10.5], ["b", 3e10]]
    assert '"3.0E10"' not in shown.stdout and "3.0E10" in shown.stdout
    listed = ksql("--output", "JSON", "-e", "SHOW TABLES;")
    assert json.loads(listed.stdout)["tables"][0]["name"] == "TOTALS"


ATTACK = "\x1b]52;c;eA==\x07\n\x1b[2J\u202e\u200b\x9b1m€"
SHOWN = r"\u001b]52;c;eA==\u0007\n\u001b[2J\u202e\u200b\u009b1m€"


@pytest.fixture(scope="module")
def attacked(ksqldb: KsqlServerProcess) -> None:
    ksqldb.ksql("CREATE STREAM odd (id STRING KEY, note STRING) WITH (KAFKA_TOPIC='odd', VALUE_FORMAT='JSON', PARTITIONS=1);"
                f"INSERT INTO odd VALUES ('{ATTACK}', '{ATTACK}');")  # fmt: skip


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_record_cannot_act_on_the_terminal(ksql: Run, attacked: None, encoding: str) -> None:
    told = SHOWN if encoding == "utf-8" else SHOWN.replace("€", r"\u20ac")
    for statement in ("SELECT id FROM odd EMIT CHANGES LIMIT 1;", "PRINT odd FROM BEGINNING LIMIT 1;", f"'{ATTACK}';"):
        shown = ksql("-e", f"{EARLIEST} {statement}", PYTHONIOENCODING=encoding, COLUMNS="90")
        assert statement[0] == "'" or told in shown.stdout, shown
        assert not set(ATTACK) & set(shown.stdout + shown.stderr) - set("]52;c;eA==\n[2J1m€")


def test_a_script_goes_to_its_end(ksql: Run, tmp_path: Path) -> None:
    (tmp_path / "inner.sql").write_text("-- from inside\nSHOW VARIABLES;\n")
    script = tmp_path / "script.sql"
    script.write_text(
        "/* first */ DEFINE who = 'payments';\nRUN SCRIPT 'inner.sql';\nSPOOL 'out.txt';\n"
        "DESCRIBE ${who};\nSPOOL OFF;\nprint ${who} from beginning limit 1;\nDESCRIBE FUNCTION abs;\n"
    )
    shown = ksql("-f", str(script), "-d", "other=it's")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert " other         | it's" in shown.stdout
    spooled = (tmp_path / "out.txt").read_text()
    assert " NOTE   | VARCHAR(STRING)" in spooled and "Value format" not in spooled
    assert "Value format: JSON or KAFKA_STRING" in shown.stdout
    assert "Variation   : ABS(" in shown.stdout


def test_standard_input_is_a_script(ksql: Run) -> None:
    shown = ksql(stdin="SHOW STREAMS;\nexit;\nSELECT nonsense;\n")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "PAYMENTS" in shown.stdout


FAILING: list[tuple[str, list[str]]] = [
    ("SHOW TABLES;\n\n  SELECT x FROM;\nSHOW TOPICS;", ["line 3: SELECT x FROM;", "line 3:16: Syntax Error"]),
    ("SHOW TABLES;\nDESCRIBE nothing;", ["line 2: DESCRIBE nothing;", "Could not find STREAM/TABLE 'NOTHING'"]),
    ("SELECT * FROM nothing;", ["line 1:", "NOTHING does not exist."]),
    ("SET 'no.such.thing'='1';", ["line 1:", "Not recognizable as ksql"]),
    ("UNSET 'ksql.x';", ["which was never set"]),
    ("RUN SCRIPT 'nowhere.sql';", ["Cannot read the script nowhere.sql: No such file"]),
    ("SPOOL '/nowhere/at/all';", ["Cannot write to /nowhere/at/all"]),
    ("SHOW TOPICS", ["missing ';' at '<EOF>'"]),
]


@pytest.mark.parametrize(("script", "messages"), FAILING, ids=[f[0] for f in FAILING])
def test_a_failing_statement_is_named_and_ends_the_script(
    ksql: Run, tmp_path: Path, script: str, messages: list[str]
) -> None:
    (tmp_path / "bad.sql").write_text(script)
    shown = ksql("-f", "bad.sql")
    assert shown.returncode == 1
    assert "bad.sql" in shown.stderr
    assert not [c for c in messages if c not in shown.stderr], shown.stderr
    assert "Kafka Topic" not in shown.stdout.split("Windowed")[-1]
    assert "Traceback" not in shown.stderr


def test_a_failure_in_a_script_of_a_script_is_named_where_it_stands(ksql: Run, tmp_path: Path) -> None:
    (tmp_path / "outer.sql").write_text("SHOW TABLES;\nRUN SCRIPT 'inner.sql';")
    (tmp_path / "inner.sql").write_text("\n\nDESCRIBE nothing;")
    assert "inner.sql, line 3: DESCRIBE nothing;" in ksql("-f", "outer.sql").stderr
    (tmp_path / "inner.sql").write_text("RUN SCRIPT 'outer.sql';")
    assert "nested too deeply" in ksql("-f", "outer.sql").stderr


def test_nobody_answers(ksql: Run) -> None:
    shown = ksql("http://127.0.0.1:1", "-e", "SHOW TOPICS;")
    assert shown.returncode == 1
    assert shown.stderr == (
        "No ksqlDB server answers at http://127.0.0.1:1: is it running, and is the address right?\n"
    )


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["ftp://x", "-e", "SHOW TOPICS;"], 1, "is not the address of a server"),
        (["--output", "xml", "-e", "SHOW TOPICS;"], 1, "Invalid output format: 'xml'"),
        (["-d", "novalue", "-e", "SHOW TOPICS;"], 1, "is not of the form name=value"),
        (["--config-file", "nowhere", "-e", "SHOW TOPICS;"], 1, "Cannot read nowhere"),
        (["-f", "nowhere"], 1, "Cannot read the script nowhere"),
        (["--query-row-limit", "0"], 2, "not a positive number"),
        (["--no-such-option"], 2, "unrecognized arguments"),
    ],
)
def test_wrong_arguments(ksql: Run, arguments: list[str], code: int, message: str) -> None:
    shown = ksql(*arguments)
    assert shown.returncode == code
    assert message in shown.stderr


def test_a_config_file_sets_properties(ksql: Run, tmp_path: Path) -> None:
    (tmp_path / "ksql.properties").write_text("# all of it\nauto.offset.reset = earliest\n\n")
    shown = ksql("--config-file", "ksql.properties", "-e", "SELECT id FROM payments EMIT CHANGES LIMIT 1;")
    assert "|a " in shown.stdout


def test_limits_end_a_query_that_would_go_on(ksql: Run) -> None:
    shown = ksql("--query-row-limit", "1", "-e", f"{EARLIEST} SELECT id FROM payments EMIT CHANGES;")
    assert shown.returncode == 0
    assert ("|a " in shown.stdout, "|b " in shown.stdout) == (True, False)
    before = time.monotonic()
    assert ksql("--query-timeout", "700", "-e", "SELECT id FROM payments EMIT CHANGES;").returncode == 0
    assert time.monotonic() - before < 10


def test_ctrl_c_ends_a_script(ksqldb: KsqlServerProcess, tmp_path: Path) -> None:
    shell = subprocess.Popen(
        [sys.executable, "-c", CODE, "-e", "SELECT id FROM payments EMIT CHANGES; SHOW TOPICS;"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=shell_environment(ksqldb, tmp_path),
    )
    assert shell.stdout is not None
    assert shell.stdout.readline().startswith("+--")
    os.kill(shell.pid, signal.SIGINT)
    out, err = shell.communicate(timeout=20)
    assert (shell.returncode, err) == (130, "")
    assert "Kafka Topic" not in out


def test_output_that_cannot_be_written_is_one_sentence(ksqldb: KsqlServerProcess, tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        shown = subprocess.run(
            [sys.executable, "-c", CODE, "-e", "SHOW TOPICS;"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            env=shell_environment(ksqldb, tmp_path),
        )
    sentence = "The output cannot be written: No space left on device."
    assert (shown.returncode, shown.stderr) == (1, f"line 1: SHOW TOPICS;\n{sentence}\n")

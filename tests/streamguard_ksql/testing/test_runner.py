"""`ksql-test-runner` as a person types it: its arguments, what it prints and what it exits with."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from streamguard_ksql.testing.runner import app

SCRIPT = """
CREATE STREAM payments (account STRING KEY, amount DOUBLE) WITH (kafka_topic='payments', value_format='JSON');
CREATE STREAM large AS SELECT * FROM payments WHERE amount > 100;
"""
INPUTS = [
    {"topic": "payments", "key": "a", "value": {"amount": 50}},
    {"topic": "payments", "key": "b", "value": {"amount": 500}},
]
OUTPUTS = [{"topic": "LARGE", "key": "b", "value": {"AMOUNT": 500}}]
CASE = {"name": "large payments", "statements": [SCRIPT], "inputs": INPUTS, "outputs": OUTPUTS}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def write(path: Path, data: Any) -> Path:
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return path


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return write(tmp_path / "statements.sql", SCRIPT)


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    return write(tmp_path / "input.json", {"inputs": INPUTS})


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    return write(tmp_path / "output.json", {"outputs": OUTPUTS})


# --- one script -------------------------------------------------------------------------------------------------------


def test_a_script_that_does_as_expected(script: Path, inputs: Path, outputs: Path) -> None:
    outcome = run("-s", script, "-i", inputs, "-o", outputs)
    assert (outcome.exit_code, outcome.stdout) == (0, "\t >>> Test passed!\n")


@pytest.mark.parametrize(
    ("statements", "passes"),
    [
        ("DEFINE topic = 'payments'; DEFINE least = '100';", True),
        ("DEFINE LEAST = '100'; DEFINE Topic = 'payments';", True),
        ("DEFINE topic = 'payments'; DEFINE least = '1'; DEFINE least = '100';", True),
        ("DEFINE topic = 'payments'; DEFINE least = '500';", False),
        ("DEFINE topic = 'payments'; DEFINE least = '100'; UNDEFINE least;", False),
    ],
)
def test_variables_are_filled_in(tmp_path: Path, inputs: Path, outputs: Path, statements: str, passes: bool) -> None:
    text = statements + SCRIPT.replace("'payments'", "'${topic}'").replace("100", "${least}")
    outcome = run("-s", write(tmp_path / "variables.sql", text), "-i", inputs, "-o", outputs)
    assert (outcome.exit_code == 0) == passes, outcome.stdout


def test_an_error_below_a_define_has_the_line_of_the_script(tmp_path: Path, outputs: Path) -> None:
    text = "DEFINE a = '1';\n\nCREATE STREAM s (k STRING KEY) WITH;\n"
    outcome = run("-s", write(tmp_path / "wrong.sql", text), "-o", outputs)
    assert (outcome.exit_code, "line 3:" in outcome.stdout) == (1, True), outcome.stdout


def test_the_long_names_of_the_arguments(script: Path, inputs: Path, outputs: Path) -> None:
    outcome = run("--sql-file", script, "--input-file", inputs, "--output-file", outputs)
    assert outcome.exit_code == 0


def test_a_script_that_does_something_else(script: Path, inputs: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "other.json", {"outputs": [{"topic": "LARGE", "key": "b", "value": {"AMOUNT": 1}}]})
    outcome = run("-s", script, "-i", inputs, "-o", other)
    assert outcome.exit_code == 1
    assert outcome.stdout.startswith("\t >>>>> Test failed: LARGE, record 0: value")


def test_a_script_with_an_error_names_the_line(inputs: Path, outputs: Path, tmp_path: Path) -> None:
    broken = write(tmp_path / "broken.sql", "CREATE STREAM payments (amount DOUBLE)\n WIBBLE;")
    outcome = run("-s", broken, "-i", inputs, "-o", outputs)
    assert outcome.exit_code == 1
    assert "line 2:" in outcome.stdout


def test_inputs_may_be_statements(outputs: Path, tmp_path: Path) -> None:
    script = write(tmp_path / "inserts.sql", SCRIPT + "INSERT INTO payments VALUES ('b', 500);")
    assert run("-s", script, "-o", outputs).exit_code == 0


# --- case files and folders -------------------------------------------------------------------------------------------


def test_a_line_per_file_and_a_closing_line(tmp_path: Path) -> None:
    wrong = {**CASE, "name": "wrong", "outputs": []}
    one = write(tmp_path / "one.json", {"tests": [CASE]})
    two = write(tmp_path / "two.json", {"tests": [CASE, wrong]})
    outcome = run(tmp_path)
    assert outcome.exit_code == 1
    lines = outcome.stdout.splitlines()
    assert lines[:2] == [f"{one} 1/1", f"{two} 1/2"]
    assert lines[2] == "FAILED two.json: wrong"
    assert lines[-1] == "2 passed, 1 failed"
    assert run(one).exit_code == 0


def test_a_refusal_is_expected_by_its_message(tmp_path: Path) -> None:
    refused = {
        "name": "no such column",
        "statements": [SCRIPT, "CREATE STREAM x AS SELECT account, nope FROM payments;"],
        "expectedException": {"message": "SELECT column 'NOPE' cannot be resolved."},
    }
    other = {**refused, "name": "another reason", "expectedException": {"message": "because"}}
    accepted = {**CASE, "name": "accepted", "expectedException": {"message": "because"}}
    outcome = run(write(tmp_path / "refusals.json", {"tests": [refused, other, accepted]}))
    assert outcome.exit_code == 1
    assert "1 passed, 2 failed" in outcome.stdout
    assert "expected: because" in outcome.stdout
    assert "expected to be refused with: because" in outcome.stdout


def test_a_report_with_a_reason_per_failed_case(tmp_path: Path) -> None:
    wrong = {**CASE, "name": "wrong", "outputs": []}
    cases = write(tmp_path / "cases.json", {"tests": [CASE, wrong]})
    report = tmp_path / "report.json"
    run(cases, "--report", report)
    content = json.loads(report.read_text())
    assert (content["passed"], content["failed"]) == (1, 1)
    failure = content["failures"][0]
    assert (failure["file"], failure["name"]) == ("cases.json", "wrong")
    assert failure["reason"].startswith("no records expected, came: ")


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ({"post": {"sources": [{"name": "NOPE"}]}}, "source NOPE is not there"),
        ({"post": {"sources": [{"name": "LARGE", "type": "table"}]}}, "source LARGE is a stream, not a table"),
        (
            {"post": {"sources": [{"name": "LARGE", "schema": "ACCOUNT STRING KEY, AMOUNT INT"}]}},
            "has the schema `ACCOUNT` STRING KEY, `AMOUNT` DOUBLE, not ACCOUNT STRING KEY, AMOUNT INT",
        ),
        ({"post": {"sources": [{"name": "LARGE", "valueFormat": "DELIMITED"}]}}, "has valueFormat JSON, not DELIMITED"),
        ({"outputs": [{**OUTPUTS[0], "key": "z"}]}, "key 'b' is not 'z'"),
        ({"outputs": [{**OUTPUTS[0], "timestamp": 5}]}, "timestamp 0 is not 5"),
        ({"outputs": OUTPUTS * 2}, "2 records expected, 1 came"),
    ],
)
def test_what_a_difference_says(case: dict[str, Any], reason: str, tmp_path: Path) -> None:
    outcome = run(write(tmp_path / "cases.json", {"tests": [{**CASE, **case}]}))
    assert outcome.exit_code == 1
    assert reason in outcome.stdout


def source(name: str, partitions: int, topic: str | None = None) -> str:
    return (
        f"CREATE STREAM {name} (k STRING KEY, v INT) "
        f"WITH (KAFKA_TOPIC='{topic or name}', VALUE_FORMAT='JSON', PARTITIONS={partitions});"
    )


JOIN = "CREATE STREAM j AS SELECT a.k, a.v, b.v AS w FROM a JOIN b WITHIN 1 HOUR ON a.k = b.k;"
MISMATCH = "Can't join `A` with `B` since the number of partitions don't match. `A` partitions = 3; `B` partitions = 2."


@pytest.mark.parametrize(
    ("statements", "topics", "said"),
    [
        ([source("a", 3), source("b", 2), JOIN], [], MISMATCH),
        ([source("a", 3), source("b", 3), JOIN], [], None),
        ([source("a", 3)], [{"name": "a", "partitions": 4}], "KSQL expects 3 partitions (topic has 4)"),
        ([source("a", 4)], [{"name": "a", "partitions": 4}], None),
        ([source("a", 1, "a b")], [], "Failed to check if exists for topic: a b"),
        ([source("a", 1, "..")], [], "Failed to check if exists for topic: .."),
    ],
)
def test_topics_have_the_partitions_and_names_that_kafka_takes(
    statements: list[str], topics: list[Any], said: str | None, tmp_path: Path
) -> None:
    case: dict[str, Any] = {"name": "topics", "statements": statements, "topics": topics}
    expected: dict[str, Any] = {"outputs": []} if said is None else {"expectedException": {"message": said}}
    outcome = run(write(tmp_path / "cases.json", {"tests": [{**case, **expected}]}))
    assert outcome.exit_code == 0, outcome.stdout


# --- files that are none ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("{", "not valid JSON"),
        ("[]", 'an object with a list "tests" is expected'),
        ({"tests": {}}, 'an object with a list "tests" is expected'),
        ({"tests": ["x"]}, "a case is an object"),
        ({"tests": [{"name": "n"}]}, "the case 'n' has no 'statements'"),
        ({"tests": [{"statements": []}]}, "has no 'name'"),
        ({"tests": [{"name": "n", "statements": "SELECT"}]}, "the statements of the case 'n' are no list of texts"),
        ({"tests": [{**CASE, "inputs": [{"key": 1}]}]}, 'record 1 of "inputs" has no "topic"'),
        ({"tests": [{**CASE, "outputs": {}}]}, '"outputs" is no list'),
    ],
)
def test_a_bad_case_file_is_named_with_what_is_wrong(content: Any, word: str, tmp_path: Path) -> None:
    path = write(tmp_path / "bad.json", content)
    outcome = run(path)
    assert outcome.exit_code == 1
    assert str(path) in outcome.stderr
    assert word in outcome.stderr


def test_files_that_are_not_there(script: Path, outputs: Path, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    assert f"{missing}: no such file or folder" in run(missing).stderr
    assert f"{missing}: cannot be read" in run("-s", missing, "-o", outputs).stderr
    assert f"{missing}: cannot be read" in run("-s", script, "-o", missing).stderr
    assert "expected records are missing" in run("-s", script).stderr
    assert "Nothing to test" in run().stderr


def test_a_bad_output_file_of_a_script(script: Path, tmp_path: Path) -> None:
    for content, word in (([], 'an object with a list "outputs" is expected'), ({"outputs": [1]}, 'has no "topic"')):
        outcome = run("-s", script, "-o", write(tmp_path / "output.json", content))
        assert outcome.exit_code == 1
        assert word in outcome.stderr


def test_a_report_that_cannot_be_written(tmp_path: Path) -> None:
    cases = write(tmp_path / "cases.json", {"tests": [CASE]})
    outcome = run(cases, "--report", tmp_path / "no" / "report.json")
    assert outcome.exit_code == 1
    assert "cannot be written" in outcome.stderr


def test_the_console_script(tmp_path: Path) -> None:
    cases = write(tmp_path / "cases.json", {"tests": [CASE]})
    command = Path(sys.executable).with_name("ksql-test-runner")
    done = subprocess.run([command, cases], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, f"{cases} 1/1\n1 passed, 0 failed\n")


def test_output_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    cases = write(tmp_path / "cases.json", {"tests": [CASE]})
    command = [Path(sys.executable).with_name("ksql-test-runner"), cases]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, "The output cannot be written: No space left on device.\n")

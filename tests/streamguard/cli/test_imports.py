"""`streamguard import`: what is agreed upon, what is asked, what is refused, and how it ends. Into a file: no stack is needed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner, Result

from streamguard.cli.imports import app
from streamguard.config import UserError
from streamguard.ingest.mapping import mapping_of
from streamguard.ingest.payments import read_object
from tests.support.project import PROJECT_ROOT

EXAMPLES = PROJECT_ROOT / "examples"
OWN = "transaction_id,account_id,amount,currency,event_time\n"


def run(*arguments: object, stdin: str | bytes | None = None) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)


def code_of(result: Result) -> int:
    """The exit code; outside of a runner `cli.usage.run` takes it from the error."""
    return result.exception.exit_code if isinstance(result.exception, UserError) else result.exit_code


def into(folder: Path, *arguments: object, stdin: str | bytes | None = None) -> tuple[Result, list[dict[str, object]]]:
    out = folder / "out.jsonl"
    result = run(*arguments, "--to-file", out, stdin=stdin)
    rows = [orjson.loads(line) for line in out.read_bytes().splitlines()] if out.exists() else []
    return result, rows


def write(folder: Path, text: str, name: str = "payments.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_text(text, encoding=encoding)
    return path


def test_a_guess_is_not_sent_unless_somebody_agrees(tmp_path: Path) -> None:
    result, rows = into(tmp_path, EXAMPLES / "shop.csv")
    assert (code_of(result), rows) == (2, [])
    assert "this mapping is a guess and nothing was sent" in str(result.exception or result.stderr)
    assert "1,249.90 EUR" in result.stdout, "it is shown all the same"
    result, rows = into(tmp_path, EXAMPLES / "shop.csv", "--yes")
    assert result.exit_code == 0
    assert [row["amount"] for row in rows] == [1249.9, 19.0, 3480.0]
    assert [row.get("label", "") for row in rows] == ["", "", "fraud"]


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    result, rows = into(tmp_path, EXAMPLES / "paysim.csv", "--dry-run")
    assert (result.exit_code, rows) == (0, [])
    assert "hours from 2017-01-01 on" in result.stderr
    assert "transaction_id     = #   (made of what the row says)" in result.stdout
    assert "not used: oldbalanceOrg" in result.stdout


def test_a_mapping_in_full_is_no_guess_and_can_be_kept(tmp_path: Path) -> None:
    mapping = "account_id=Customer,amount=Total,event_time=Paid at,currency=Currency"
    layout = tmp_path / "shop.yaml"
    result, first = into(tmp_path, EXAMPLES / "shop.csv", "--map", mapping, "--save-layout", layout)
    assert result.exit_code == 0, result.output
    again, second = into(tmp_path, EXAMPLES / "shop.csv", "--layout", layout)
    assert again.exit_code == 0, again.output
    assert first == second and len(first) == 3
    assert not {"country", "label"} & first[2].keys(), "what the mapping leaves out is left out"


def test_ids_made_of_rows_are_the_same_again_and_tell_equal_rows_apart(tmp_path: Path) -> None:
    _, first = into(tmp_path, EXAMPLES / "creditcard.csv")
    (tmp_path / "out.jsonl").unlink()
    _, again = into(tmp_path, shutil.copy(EXAMPLES / "creditcard.csv", tmp_path / "other-name.csv"))
    ids = [row["transaction_id"] for row in first]
    assert [row["transaction_id"] for row in again] == ids
    assert len(set(ids)) == 4 and ids[2] == f"{ids[1]}-2"


@pytest.mark.parametrize("name", ["paysim.csv", "plaid.json", "darooghe.jsonl", "stripe.csv"])
def test_standard_input_is_a_file_too(tmp_path: Path, name: str) -> None:
    _, wanted = into(tmp_path, EXAMPLES / name)
    result, rows = into(tmp_path, "-", stdin=(EXAMPLES / name).read_bytes())
    assert result.exit_code == 0, result.output
    assert rows == wanted and rows


def test_refused_rows_are_counted_kept_and_sent_once_they_are_mended(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        OWN + "a,A,5.10,EUR,1762330530\nb,A,much,EUR,1762330531\nc,A,5.005,EUR,1762330532\n,A,5,EUR,1762330532\n",
    )
    result, rows = into(tmp_path, path)
    assert result.exit_code == 1
    assert [row["transaction_id"] for row in rows] == ["a"]
    assert re.search(r"4 rows read\n +1 sent, all written, .*\n +3 refused", result.stdout)
    for reason in ("1 x amount 'much' is no number", "(line 3)", "(line 4)", "1 x transaction_id is empty (line 5)"):
        assert reason in result.stdout
    refused = tmp_path / "payments.refused.csv"
    text = refused.read_text()
    assert text.splitlines()[0] == OWN.strip() + ",refused_because"
    assert len(text.splitlines()) == 4
    refused.write_text(text.replace("much", "7").replace("5.005", "5.00").replace("\n,A", "\nd,A"))
    (tmp_path / "out.jsonl").unlink()
    result, rows = into(tmp_path, refused)
    assert result.exit_code == 0, result.output
    assert [(row["transaction_id"], row["amount"]) for row in rows] == [("b", 7.0), ("c", 5.0), ("d", 5.0)]
    assert refused.exists() and not (tmp_path / "payments.refused.refused.csv").exists()


def test_a_file_that_is_refused_to_the_last_row_says_so(tmp_path: Path) -> None:
    path = write(tmp_path, OWN + "a,A,0,EUR,1762330530\nb,A,-5,EUR,1762330531\n")
    result, rows = into(tmp_path, path)
    assert (result.exit_code, rows) == (1, [])
    assert re.search(r"2 rows read\n +0 sent, .*\n +2 refused", result.stdout)
    assert "%" not in result.stdout


@pytest.mark.parametrize(("allowed", "code"), [("0", 1), ("24%", 1), ("25%", 0), ("100", 0)])
def test_a_share_of_refused_rows_can_be_allowed(tmp_path: Path, allowed: str, code: int) -> None:
    rows = "".join(f"{n},A,{0 if n == 3 else 5},EUR,1762330530\n" for n in range(4))
    assert into(tmp_path, write(tmp_path, OWN + rows), "--allow", allowed)[0].exit_code == code


def test_earlier_refused_rows_are_not_written_over(tmp_path: Path) -> None:
    path = write(tmp_path, OWN + "a,A,0,EUR,1762330530\n")
    into(tmp_path, path)
    into(tmp_path, path)
    assert (tmp_path / "payments.refused.csv").exists() and (tmp_path / "payments.refused-2.csv").exists()


def test_amounts_are_rounded_only_where_asked(tmp_path: Path) -> None:
    path = write(tmp_path, OWN + "a,A,37.098,USD,1762330530\nb,A,12,USD,1762330531\nc,A,1.5,JPY,1762330531\n")
    result, rows = into(tmp_path, path)
    assert [row["amount"] for row in rows] == [12.0] and result.exit_code == 1
    assert "USD has 2 decimal places (got 37.098)" in result.stdout
    (tmp_path / "out.jsonl").unlink()
    result, rows = into(tmp_path, path, "--round")
    assert [row["amount"] for row in rows] == [37.1, 12.0, 2.0] and result.exit_code == 0
    assert "2 of them with an amount rounded" in result.stdout


TIMED = "account,amount,currency,time\nA,5,EUR,1762330530\n"


@pytest.mark.parametrize(
    ("text", "options", "sentence"),
    [
        ("account,amount,currency,date\nA,5,EUR,01/02/2026\n", [], "say --day-first or --month-first"),
        ("account,amount,currency,date\nA;1.234;EUR\n", [], "it has 1 cell, the header has 4"),
        ("account,amount,currency,time\nA,1.234,KWD,1762330530\n", [], "say --decimal . or --decimal ,"),
        ("account,amount,time\nA,5,1762330530\n", [], "has no currency: say --currency EUR"),
        (
            "account,amount,currency,step\nA,5,EUR,3\n",
            ["--map", "event_time=step"],
            "say what they count, such as --unit hours",
        ),
        ("account,amount,currency,step\nA,5,EUR,3\n", ["--map", "event_time=step:hours"], "say --origin 2026-01-01"),
        (
            "account,amount,currency,time\nA,5,EUR,1762330530\n",
            ["--map", "amount=amt"],
            "has no column 'amt' (perhaps 'amount'?)",
        ),
        (TIMED, ["--map", "amout=amount"], "did you mean amount?"),
        (TIMED, ["--map", "amount="], "ends where a column"),
        (TIMED, ["--layout", "paysm"], "did you mean paysim?"),
        (
            "account,amount,currency,time\nA,5,EUR,1762330530\n",
            ["--layout", "paysim"],
            "is not the layout paysim, which has step",
        ),
        (TIMED, ["--decimal", ";"], "--decimal is ';': it is . or ,"),
        (TIMED, ["--allow", "some"], "--allow is 'some'"),
        (TIMED, ["--zone", "Mars/Base"], "'Mars/Base' is no time zone"),
        ("account,amount,currency,time\nA,5,EUR,yesterday\n", ["--yes"], "'yesterday': no date and time by any"),
    ],
)
def test_what_cannot_be_decided_is_one_sentence(tmp_path: Path, text: str, options: list[str], sentence: str) -> None:
    result, rows = into(tmp_path, write(tmp_path, text), *options)
    assert (code_of(result), rows) == (2, [])
    assert sentence in f"{result.exception} {result.stderr}"


@pytest.mark.parametrize(("option", "time"), [("--day-first", 1_769_904_000_000), ("--month-first", 1_767_312_000_000)])
def test_what_is_ambiguous_is_as_the_option_says(tmp_path: Path, option: str, time: int) -> None:
    path = write(tmp_path, "account,amount,currency,date\nA,5,EUR,01/02/2026\n")
    assert into(tmp_path, path, "--yes", option)[1][0]["event_time"] == time


def test_a_later_row_settles_what_the_first_thousand_leave_open(tmp_path: Path) -> None:
    rows = "A,5,EUR,01/02/2026\n" * 3000 + "A,5,EUR,13/02/2026\n"
    result, found = into(tmp_path, write(tmp_path, "account,amount,currency,date\n" + rows), "--yes")
    assert result.exit_code == 0, result.output
    assert (found[0]["event_time"], len(found)) == (1_769_904_000_000, 3001)


def test_a_zone_is_given_or_said_to_be_missing(tmp_path: Path) -> None:
    path = write(tmp_path, "account,amount,currency,date\nA,5,BRL,2026-01-05 12:00:00\n")
    result, rows = into(tmp_path, path, "--yes")
    assert rows[0]["event_time"] == 1_767_614_400_000
    assert "UTC (the times name no zone: --zone for another)" in result.stderr
    (tmp_path / "out.jsonl").unlink()
    assert into(tmp_path, path, "--yes", "--zone", "America/Sao_Paulo")[1][0]["event_time"] == 1_767_625_200_000


def test_a_mapping_reads_a_single_record() -> None:
    mapping = mapping_of("amount=amt,account_id=who,event_time=at,currency='EUR',transaction_id=no")
    fields = read_object(mapping, {"amt": "12,50", "who": "A", "at": "2026-01-05T12:00:00Z", "no": 7})
    assert {name: str(value) for name, value in fields.items()} == {
        "transaction_id": "7",
        "account_id": "A",
        "amount": "12.50",
        "currency": "EUR",
        "event_time": "1767614400000",
    }


def test_nested_json_is_mapped_by_dotted_names(tmp_path: Path) -> None:
    record = {"payload": {"after": {"id": "x", "amt": 1550, "ccy": "usd", "who": {"id": "A"}}, "ts_ms": 1762330530123}}
    path = write(tmp_path, json.dumps(record), "cdc.jsonl")
    mapping = (
        "transaction_id=payload.after.id,account_id=payload.after.who.id,amount=payload.after.amt:minor,"
        "currency=payload.after.ccy,event_time=payload.ts_ms:ms"
    )
    result, rows = into(tmp_path, path, "--map", mapping)
    assert result.exit_code == 0, result.output
    assert rows == [
        {"transaction_id": "x", "account_id": "A", "amount": 15.5, "currency": "USD", "event_time": 1762330530123}
    ]


def test_what_is_left_open_is_asked_at_a_terminal(tmp_path: Path) -> None:
    path = write(tmp_path, "who,amount,on\nA,1.234,01/02/2026\n")
    out = tmp_path / "out.jsonl"
    asker, terminal = os.openpty()
    try:
        # Thousands yes, day first no, the account's column, the currency itself, send them.
        os.write(asker, b"y\nn\nWHO\nbrl\ny\n")
        command = [sys.executable, "-m", "streamguard.cli", "import", str(path), "--to-file", str(out)]
        done = subprocess.run(command, stdin=terminal, capture_output=True, text=True, timeout=60, check=False)
    finally:
        os.close(asker)
        os.close(terminal)
    assert done.returncode == 0, done.stderr
    [row] = [orjson.loads(line) for line in out.read_bytes().splitlines()]
    assert (row["account_id"], row["amount"], row["currency"]) == ("A", 1234.0, "BRL")
    assert row["event_time"] == 1_767_312_000_000

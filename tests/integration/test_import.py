"""From a person's file to rows in Postgres: every example with what a person reads in it, and the inputs after fault reports.

The expected values are those of tests/streamguard/ingest/cases/examples.yaml, written down by eye.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.stackrun import BIN, StackRun
from tests.support.project import PROJECT_ROOT

pytestmark = pytest.mark.integration

EXAMPLES = PROJECT_ROOT / "examples"
SHARED = PROJECT_ROOT.parent / "shared" / "cases" / "files"
CASES: dict[str, dict[str, Any]] = yaml.safe_load(
    (PROJECT_ROOT / "tests" / "streamguard" / "ingest" / "cases" / "examples.yaml").read_text("utf-8")
)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackRun]:
    run = StackRun(tmp_path_factory.mktemp("import") / "state")
    run.start_core()
    yield run
    run.run("./stop.sh", "--wipe", check=False)


def stored(stack: StackRun, account: str | None, amount: object, time: str) -> list[dict[str, Any]]:
    """The rows of an account, amount and time, with what their records hold beside."""
    rows = stack.query(
        "SELECT t.account_id, t.amount, t.currency, to_jsonb(t) || r.raw FROM transactions t"
        f" JOIN received_records r USING (transaction_id) WHERE t.event_time = TIMESTAMPTZ '{time}Z'"
    )
    return [
        {**more, "account_id": found, "amount": exact, "currency": currency}
        for found, exact, currency, more in rows
        if exact == Decimal(str(amount)) and account in (None, found)
    ]


@pytest.mark.parametrize("name", sorted(CASES))
def test_an_example_becomes_rows(stack: StackRun, tmp_path: Path, name: str) -> None:
    case = CASES[name]
    mapping = ["--map", case["options"]["mapping"]] if "options" in case else []
    refused = tmp_path / "refused"
    done = stack.run(BIN / "streamguard", "import", EXAMPLES / name, *mapping, "--yes", "--refused", refused)
    count = len(case["payments"])
    assert f"{count:>12,} rows read\n{count:>12,} sent, all acknowledged" in done.stdout
    assert f"{count:>12,} stored\n{0:>12,} refused" in done.stdout
    assert not refused.exists()
    for account, amount, currency, time, _, others in case["payments"]:
        [row, *equal] = stored(stack, account, amount, time)
        assert row["currency"] == currency
        assert {key: row.get(key) for key in others} == others
        assert len(equal) == (1 if name == "creditcard.csv" and amount == 2.69 else 0)


def test_the_label_travels_in_the_header(stack: StackRun, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    labels = ("True", "FALSE", "0.0", "no", "1", "yes", "")
    rows = "".join(f"label-{n},L-1,5,EUR,{1762330530 + n * 900},{label}\n" for n, label in enumerate(labels))
    path.write_text("transaction_id,account_id,amount,currency,event_time,is_fraud\n" + rows)
    done = stack.run(BIN / "streamguard", "import", path)
    assert (
        "  ordinary                         4    57.14 %\n  fraud                            3    42.86 %"
        in done.stdout
    )


def test_what_is_sent_twice_is_stored_once(stack: StackRun, tmp_path: Path) -> None:
    path = tmp_path / "twice.csv"
    path.write_text(
        "transaction_id,account_id,amount,currency,event_time\ntw-1,TW,5,EUR,1762330530\ntw-2,TW,6,EUR,1762330531\n"
    )
    stack.run(BIN / "streamguard", "import", path)
    again = stack.run(BIN / "streamguard", "import", path, check=False)
    assert again.returncode == 1
    assert f"{0:>12,} stored\n{2:>12,} refused" in again.stdout
    assert "2 x transaction_id tw-1 was stored before" in again.stdout and "(lines 2, 3)" in again.stdout
    refused = (tmp_path / "twice.refused.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in refused] == ["transaction_id", "tw-1", "tw-2"]
    assert stack.query("SELECT count(*) FROM transactions WHERE account_id = 'TW'") == [(2,)]


def test_without_a_consumer_it_is_said_that_nothing_is_known(stack: StackRun, tmp_path: Path) -> None:
    path = tmp_path / "unknown.csv"
    path.write_text("transaction_id,account_id,amount,currency,event_time\nun-1,UN,5,EUR,1762330530\n")
    environment = {**stack.environment, "DATABASE_URL": "postgresql+psycopg2://nobody:x@127.0.0.1:1/none"}
    without = StackRun(stack.state, environment)
    done = without.run(BIN / "streamguard", "import", path, check=False)
    assert done.returncode == 1
    assert "1 sent, all acknowledged" in done.stdout
    assert "whether they are stored is not known: the database (DATABASE_URL)" in done.stdout
    done = without.run(BIN / "streamguard", "import", path, "--no-wait", check=False)
    assert done.returncode == 0


SHARED_FILES = {
    "01-paysim.csv": (0, [("C1000000011", "9411.20", "EUR"), ("C1000000014", "3400000.55", "EUR")], ""),
    "03-ieee-cis.csv": (
        1,
        [("13001", "61.50", "USD"), ("2700", "29.00", "USD")],
        "USD has 2 decimal places (got 37.098) (line 4)",
    ),
    "05-sparkov.csv": (0, [("4000000000000042", "4.90", "USD"), ("4000000000000059", "107.20", "USD")], ""),
    "07-extrato-br.csv": (2, [], "07-extrato-br.csv (CSV, separated by ';', windows-1252) has no account_id"),
    "09-stripe.csv": (0, [("cus_1", "15.00", "USD"), ("cus_2", "500", "JPY")], ""),
    "11-plaid.json": (0, [("acc-example-1", "72.10", "USD")], ""),
    "13-handbook-currency.csv": (0, [("596", "4000", "JPY"), ("596", "5.00", "USD")], ""),
    "15-own-seconds.csv": (0, [("ACC-1", "10.50", "USD")], "event_time: seconds since 1970"),
    "17-own-labels.csv": (0, [("ACC-1", "10", "USD"), ("ACC-1", "11", "USD")], "fraud "),
    "23-semicolon.csv": (0, [("596", "57.16", "EUR")], ""),
    "25-array.json": (0, [("ACC-2", "12.50", "USD")], ""),
    "27-hours.csv": (2, [], "'2018-04-01T25:61:61Z': no date and time"),
}
"""Exit code, some of the rows, and what is said."""


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="the inputs after fault reports are not in ../shared")
@pytest.mark.parametrize("name", sorted(SHARED_FILES))
def test_an_input_after_a_fault_report_works_or_says(stack: StackRun, tmp_path: Path, name: str) -> None:
    code, rows, sentence = SHARED_FILES[name]
    done = stack.run(BIN / "streamguard", "import", SHARED / name, "--refused", tmp_path / "refused", check=False)
    assert done.returncode == code, done.stderr + done.stdout
    assert sentence in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    found = stack.query("SELECT account_id, amount, currency FROM transactions")
    assert {(account, Decimal(amount), currency) for account, amount, currency in rows} <= set(found)

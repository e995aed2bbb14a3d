"""The figures by hand on small cases, the rules at their borders, and the aim on real months."""

from __future__ import annotations

import csv
import gzip
import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import date, datetime, timezone
from pathlib import Path
from typing import TextIO

import orjson
import pytest
from typer.testing import CliRunner

from streamguard.cli.evaluate import app
from streamguard.config import UserError
from streamguard.evaluation.data import DAY_MS, DataError, LabelledPayment
from streamguard.evaluation.files import read
from streamguard.evaluation.metrics import Day, card_precision, hits, ranking
from streamguard.evaluation.replay import RuleSet
from streamguard.evaluation.report import Report, check_days, report
from streamguard.evaluation.scores import NOTHING, score
from streamguard.evaluation.split import by_day
from streamguard.evaluation.split import test_week as week_of
from streamguard.evaluation.split import test_weeks as weeks_of
from streamguard.rules.catalogue import CORE, sql_files
from tests.support.cards import write_months

HEADER = b"timestamp,customer_id,terminal_id,amount,is_fraud\n"


def test_hits_by_hand() -> None:
    assert list(hits(raised=3, right=2, frauds=3)) == pytest.approx([2 / 3, 2 / 3, 2 / 3, 3])
    assert hits(raised=0, right=0, frauds=1) == (0, 0, 0, 0)


def test_ranking_by_hand() -> None:
    # Precision 1 at the first fraud, 2/3 at the second: (1 + 2/3) / 2; of 4 pairs 3 are in order.
    assert ranking(Counter([(0.9, True), (0.8, False), (0.7, True), (0.1, False)])) == pytest.approx((5 / 6, 0.75))
    # All tied: the share of fraud, and a coin.
    assert ranking(Counter([(0.5, True), (0.5, False), (0.5, False), (0.5, False)])) == (0.25, 0.5)
    assert ranking(Counter([(0.5, True)])) == (0, 0)


def test_card_precision_counts_a_compromised_card_once() -> None:
    cards = frozenset("abc")
    first = Day(cards, {"a": 0.9, "b": 0.8, "c": 0.1}, frozenset("ac"))
    second = Day(cards, {"a": 0.9, "b": 0.8, "c": 0.7}, frozenset("ac"))
    assert card_precision([first, second], top=2) == (1 / 2 + 1 / 2) / 2


def test_cards_without_a_score_come_last_in_the_order_of_their_ids() -> None:
    day = Day(frozenset("abcd"), {"d": 0.1}, frozenset("a"))
    assert card_precision([day], top=2) == 1 / 2
    assert card_precision([day._replace(compromised=frozenset("b"))], top=2) == 0


def pay(day: float, amount: float = 50, card: str = "c", terminal: str = "t", fraud: bool = False) -> LabelledPayment:
    at_ms = round(day * DAY_MS)
    value = {"transaction_id": f"{card}-{at_ms}", "amount": amount, "currency": "EUR", "account_id": card}
    value |= {"merchant_id": terminal, "event_time": at_ms}
    return LabelledPayment(at_ms, card, terminal, amount, "fraud" if fraud else "", orjson.dumps(value))


def evaluate(payments: Sequence[LabelledPayment], starts: Sequence[date] | None = None) -> Report:
    """With the two core rules."""
    check_days(payments, starts)
    return report(payments, score(payments, RuleSet(sql_files(CORE))).of, starts)


def test_the_split_leaves_out_the_cards_that_are_known_by_the_day() -> None:
    payments = [pay(0, card="trained", fraud=True), pay(8, card="delayed", fraud=True)]
    payments += [pay(14, card="trained"), pay(14, card="delayed"), pay(15, card="delayed"), pay(16, card="delayed")]
    days = week_of(by_day((payment, NOTHING) for payment in payments), 14)
    assert [[payment.account for payment, _ in day] for day in days[:3]] == [["delayed"], ["delayed"], []]
    assert weeks_of([0, 30]) == [17, 24]


def test_a_folder_without_payments_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file of payments in"):
        read(tmp_path)
    (tmp_path / "transactions-1.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="has no account_id"):
        read(tmp_path)


def test_the_rules_find_the_frauds_of_two_made_months_and_say_the_same_twice(tmp_path: Path) -> None:
    months = tmp_path / "months"
    months.mkdir()
    write_months(months, "05", "06")
    reports = [tmp_path / "one.json", tmp_path / "two.json"]
    for file in reports:
        done = CliRunner().invoke(app, ["--data", str(months), "--test-start", "2018-06-20", "--json", str(file)])
        assert done.exit_code == 0, done.output
    one, two = (file.read_bytes() for file in reports)
    assert one == two
    found = json.loads(one)
    assert found["mean"]["average_precision"] > 0.6
    assert found["mean"]["auc"] > 0.8
    assert found["rules"]["HIGH_FOR_ACCOUNT"]["precision"] > 0.95
    rules = ("HIGH_FOR_ACCOUNT", "UNUSUAL_AMOUNT", "COMPROMISED_MERCHANT")
    assert all(found["rules"][rule]["recall"] > 0.05 for rule in rules)


def test_a_range_of_days_counts_every_payment(tmp_path: Path) -> None:
    first = (date(2018, 4, 1) - date(1970, 1, 1)).days
    payments = [pay(first + day, amount=4_000 if day == 3 else 50, fraud=day == 3) for day in range(6)]
    scores = score(payments, RuleSet(sql_files(CORE))).of
    found = report(payments, scores, None, (date(2018, 4, 3), date(2018, 4, 5))).whole
    assert found is not None
    assert (found.payments, found.frauds, found.average_precision, found.money, found.money_found) == (
        3,
        1,
        1,
        4_000,
        4_000,
    )
    with pytest.raises(DataError, match="no payments from 1971"):
        report(payments, scores, None, (date(1971, 1, 1), date(1971, 1, 2)))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"timestamp,customer_id\n2018-04-01T00:00:00Z,1\n", "has no amount"),
        (HEADER + b"2018-04-01T00:00:00Z,1,2,much,0\n", "line 2: amount 'much' is no number"),
        (HEADER + b"2018-04-01T00:00:00Z,1,2,0,0\n", "line 2: amount: an amount above 0 is expected (got 0)"),
        (HEADER + b"2018-04-01T00:00:00Z,1,2,5.00,maybe\n", "label 'maybe' is neither yes nor no"),
        (HEADER + b"2018-04-01T00:00:00Z,1,2,5.00,0\n", "none of its 1 payments is labelled as fraud"),
        (HEADER + b"yesterday,1,2,5.00,0\n", "timestamp has 'yesterday': no date and time"),
        (HEADER + b"2018-04-01T00:00:00Z,1\n", "it has 2 cells, the header has 5"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, content: bytes, sentence: str) -> None:
    file = tmp_path / "transactions-2018-04.csv"
    file.write_bytes(content)
    with pytest.raises(UserError) as refusal:
        read(tmp_path)
    assert sentence in str(refusal.value)


def test_too_few_days_are_a_sentence() -> None:
    payments = [pay(day, fraud=day == 19) for day in range(20)]
    with pytest.raises(
        DataError, match=r"20 days of payments \(1970-01-01 to 1970-01-20\) are too few: a test week needs 21"
    ):
        evaluate(payments)
    payments.append(pay(20))
    with pytest.raises(DataError, match="no test week from 1970-01-08"):
        evaluate(payments, [date(1970, 1, 8)])
    with pytest.raises(DataError, match="no payment of the test weeks is labelled as fraud"):
        evaluate([pay(day, fraud=day == 3) for day in range(21)])


@pytest.mark.soak
def test_the_same_payments_in_five_layouts_give_the_same_figures(tmp_path: Path) -> None:
    """Each rewritten by hand, beside the reading that is tested."""
    write_months(tmp_path, "05", "06")
    with ExitStack() as files:
        texts = [files.enter_context(gzip.open(path, "rt")) for path in sorted(tmp_path.glob("*.gz"))]
        rows = [row for text in texts for row in csv.DictReader(text)]
    reports = []
    for name, write in LAYOUTS.items():
        folder = tmp_path / name.partition(".")[0]
        folder.mkdir()
        with (folder / name).open("w", newline="", encoding="utf-8") as file:
            write(file, rows)
        reports.append(evaluate(read(folder).payments, [date(2018, 6, 20)]))
    assert len(reports) == 5 and all(found == reports[0] for found in reports)
    assert reports[0] == evaluate(read_handbook(tmp_path), [date(2018, 6, 20)])


def read_handbook(folder: Path) -> list[LabelledPayment]:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
    return read(folder).payments


Rows = list[dict[str, str]]


def as_csv(
    columns: dict[str, Callable[[dict[str, str]], object]], separator: str = ","
) -> Callable[[TextIO, Rows], None]:
    def write(file: TextIO, rows: Rows) -> None:
        writer = csv.writer(file, delimiter=separator)
        writer.writerow(columns)
        writer.writerows([make(row) for make in columns.values()] for row in rows)

    return write


def epoch_s(row: dict[str, str]) -> int:
    return round(datetime.fromisoformat(row["timestamp"].replace("Z", "+00:00")).timestamp())


def as_own(file: TextIO, rows: Rows) -> None:
    for row in rows:
        fields = {
            "transaction_id": row["transaction_id"],
            "account_id": row["customer_id"],
            "amount": float(row["amount"]),
            "currency": "EUR",
            "merchant_id": row["terminal_id"],
            "event_time": epoch_s(row) * 1000,
            "label": {"0": "", "1": "high_amount", "2": "compromised_terminal", "3": "leaked_card"}[
                row["fraud_scenario"]
            ],
        }
        file.write(json.dumps(fields) + "\n")


LAYOUTS: dict[str, Callable[[TextIO, Rows], None]] = {
    "handbook.csv": as_csv(
        {
            "TRANSACTION_ID": lambda row: row["transaction_id"],
            "TX_DATETIME": lambda row: row["timestamp"].replace("T", " ").rstrip("Z"),
            "CUSTOMER_ID": lambda row: row["customer_id"],
            "TERMINAL_ID": lambda row: row["terminal_id"],
            "TX_AMOUNT": lambda row: row["amount"],
            "TX_FRAUD": lambda row: row["is_fraud"],
        }
    ),
    "own.jsonl": as_own,
    "sparkov.csv": as_csv(
        {
            "trans_num": lambda row: row["transaction_id"],
            "trans_date_trans_time": lambda row: row["timestamp"].replace("T", " ").rstrip("Z"),
            "cc_num": lambda row: row["customer_id"],
            "merchant": lambda row: row["terminal_id"],
            "category": lambda _: "misc_net",
            "amt": lambda row: row["amount"],
            "is_fraud": lambda row: row["is_fraud"],
        }
    ),
    "ours_with_seconds.csv": as_csv(
        {
            "transaction_id": lambda row: row["transaction_id"],
            "account_id": lambda row: row["customer_id"],
            "amount": lambda row: row["amount"],
            "currency": lambda _: "usd",
            "merchant_id": lambda row: row["terminal_id"],
            "event_time": epoch_s,
            "is_fraud": lambda row: "True" if row["is_fraud"] == "1" else "FALSE",
        }
    ),
    "shop.csv": as_csv(
        {
            "Order": lambda row: row["transaction_id"],
            "Customer": lambda row: row["customer_id"],
            "Merchant": lambda row: row["terminal_id"],
            "Betrag (EUR)": lambda row: row["amount"].replace(".", ","),
            "Paid at": lambda row: datetime.fromtimestamp(epoch_s(row), timezone.utc).strftime("%d.%m.%Y %H:%M:%S"),
            "Fraud": lambda row: "yes" if row["is_fraud"] == "1" else "no",
        },
        ";",
    ),
}

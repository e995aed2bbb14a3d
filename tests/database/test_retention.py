"""Old raw records and payments are cut, young ones and evidence stay, and every record stays accounted for."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timedelta, timezone

import pytest

from streamguard.database.retention import chosen, run, survey
from tests.consumer.conftest import Desk, desk
from tests.support.records import T0_MS, Record, high_amount, transaction

__all__ = ["desk"]

DAY_MS = 86_400_000
BORDER = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=T0_MS + 5 * DAY_MS)

ACCOUNTED = (
    "SELECT (SELECT sum(records_read) FROM consumer_offsets WHERE topic = 'transactions')"
    " = (SELECT count(*) FROM transactions) + (SELECT count(*) FROM dead_letters WHERE source_topic = 'transactions')"
    " + (SELECT coalesce(sum(row_count), 0) FROM retention_cuts WHERE what = 'payments')"
)


@pytest.fixture
def ten_days(desk: Desk) -> Desk:
    """A payment at the start of each of ten days, one of them fraud, and two dead letters, the second unpublished."""
    payments = [transaction(n, f"t{n}", "A", 4_000 if n == 2 else 10, T0_MS + n * DAY_MS) for n in range(10)]
    desk.feed(*payments, high_amount(0, "t2", "A", 4_000, T0_MS + 2 * DAY_MS))
    desk.feed(Record("transactions", 0, 10, b"A", b"{"), Record("transactions", 0, 11, b"A", b"["))
    desk.rows("UPDATE dead_letters SET failed_at = to_timestamp(%s), published = source_offset = 10", T0_MS / 1000)
    return desk


def cut(desk: Desk, *, rows: bool, batch: int = 2) -> dict[str, int]:
    return {kind.what: run(desk.engine, BORDER, kind, who="ana", batch=batch) for kind in chosen(rows=rows)}


def test_a_survey_says_what_would_go_and_changes_nothing(ten_days: Desk) -> None:
    with ten_days.engine.connect() as connection:
        found = {old.what: old.rows for old in survey(connection, BORDER, chosen(rows=True))}
    assert found == {"raw records": 5, "bytes of dead letters": 1, "payments": 4}
    assert ten_days.rows("SELECT count(raw), count(*) FROM transactions") == [(10, 10)]
    assert cut(ten_days, rows=True) == found


def test_raw_records_go_and_rows_stay(ten_days: Desk) -> None:
    cut(ten_days, rows=False)
    kept = ten_days.rows("SELECT transaction_id, raw IS NOT NULL FROM transactions ORDER BY 1")
    assert kept == [(f"t{n}", n >= 5) for n in range(10)], "the border itself stays"
    assert ten_days.rows("SELECT raw_value IS NULL FROM dead_letters ORDER BY source_offset") == [(True,), (False,)]
    assert ten_days.rows(ACCOUNTED) == [(True,)]
    assert cut(ten_days, rows=False) == {"raw records": 0, "bytes of dead letters": 0}


@pytest.mark.parametrize("batch", [1, 2, 1_000])
def test_payments_go_but_those_of_incidents(ten_days: Desk, batch: int) -> None:
    cut(ten_days, rows=True, batch=batch)
    assert ten_days.rows("SELECT transaction_id FROM transactions ORDER BY 1") == [
        (f"t{n}",) for n in (2, 5, 6, 7, 8, 9)
    ]
    assert ten_days.rows("SELECT cut_by, row_count FROM retention_cuts WHERE what = 'payments'") == [("ana", 4)]
    assert ten_days.rows(ACCOUNTED) == [(True,)]
    ten_days.feed(transaction(12, "t12", "A", 10, T0_MS + 10 * DAY_MS))
    assert ten_days.rows(ACCOUNTED) == [(True,)]


def test_many_payments_of_one_instant_go_in_batches(desk: Desk) -> None:
    desk.feed(*[transaction(n, f"t{n}", "A", 10, T0_MS) for n in range(25)])
    assert cut(desk, rows=True, batch=4) == {"raw records": 25, "bytes of dead letters": 0, "payments": 25}


def test_the_command_only_speaks_unless_told(ten_days: Desk) -> None:
    def say(*options: str) -> str:
        command = [sys.executable, "-m", "streamguard.cli", "retention", "--keep-days", "1", *options]
        environment = {"DATABASE_URL": ten_days.postgres.url(), "PATH": "/usr/bin:/bin"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "would cut 10 raw records" in say()
    assert ten_days.rows("SELECT count(raw) FROM transactions") == [(10,)]
    assert "cut 9 payments" in say("--rows", "--apply", "--by", "ana")
    assert ten_days.rows("SELECT transaction_id, raw FROM transactions") == [("t2", None)]

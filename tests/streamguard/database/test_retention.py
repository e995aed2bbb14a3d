"""Old raw records and payments are cut, young ones and evidence stay, and every record stays accounted for."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timedelta, timezone

import pytest
from sqlalchemy import text

from streamguard.database.retention import MINUTES, RAW_RECORDS, MonthInUse, run, survey, targets
from tests.support.desk import Desk
from tests.support.records import T0_MS, Record, high_amount, transaction

DAY_MS = 86_400_000
BORDER = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=T0_MS + 5 * DAY_MS)

ACCOUNTED = (
    "SELECT (SELECT sum(records_read) FROM consumer_offsets WHERE topic = 'transactions')"
    " = (SELECT count(*) FROM transactions) + (SELECT count(*) FROM dead_letters WHERE source_topic = 'transactions')"
    " + (SELECT coalesce(sum(row_count), 0) FROM retention_cuts WHERE what = 'transactions')"
)


@pytest.fixture
def ten_days(desk: Desk) -> Desk:
    """A payment at the start of each of ten days, one of them fraud, and two dead letters, the first old."""
    payments = [transaction(n, f"t{n}", "A", 4_000 if n == 2 else 10, T0_MS + n * DAY_MS) for n in range(10)]
    desk.feed(*payments, high_amount(0, "t2", "A", 4_000, T0_MS + 2 * DAY_MS))
    desk.feed(Record("transactions", 0, 10, b"A", b"{"), Record("transactions", 0, 11, b"A", b"["))
    desk.rows("UPDATE dead_letters SET failed_at = to_timestamp(%s) WHERE source_offset = 10", T0_MS / 1000)
    return desk


def cut(desk: Desk, *, rows: bool, batch: int = 2) -> dict[str, int]:
    return {kind.what: run(desk.engine, BORDER, kind, who="ana", batch=batch) for kind in targets(rows=rows)}


def test_a_survey_says_what_would_go_and_changes_nothing(ten_days: Desk) -> None:
    with ten_days.engine.connect() as connection:
        found = {old.what: old.rows for old in survey(connection, BORDER, targets(rows=True))}
    assert found == {"raw records": 5, "bytes of dead letters": 1, "transactions": 4}
    assert ten_days.rows("SELECT count(*) FROM transaction_records") == [(10,)]
    assert cut(ten_days, rows=True) == found


def test_raw_records_go_and_rows_stay(ten_days: Desk) -> None:
    cut(ten_days, rows=False)
    assert ten_days.rows("SELECT count(*) FROM transactions") == [(10,)]
    kept = ten_days.rows("SELECT transaction_id FROM transaction_records ORDER BY 1")
    assert kept == [(f"t{n}",) for n in range(5, 10)], "the border itself stays"
    assert ten_days.rows(
        "SELECT raw_value IS NULL AND account_id IS NULL FROM dead_letters ORDER BY source_offset"
    ) == [
        (True,),
        (False,),
    ]
    assert ten_days.rows(ACCOUNTED) == [(True,)]
    assert cut(ten_days, rows=False) == {"raw records": 0, "bytes of dead letters": 0}


def test_minutes_of_quality_go_by_their_own_age(ten_days: Desk) -> None:
    ten_days.rows("UPDATE quality_minutes SET minute = to_timestamp(%s) WHERE topic = 'transactions'", T0_MS / 1000)
    assert run(ten_days.engine, BORDER, MINUTES, who="ana") == 1
    assert ten_days.rows("SELECT topic FROM quality_minutes") == [("fraud_alerts",)]


@pytest.mark.parametrize("batch", [1, 2, 1_000])
def test_payments_go_but_those_of_incidents(ten_days: Desk, batch: int) -> None:
    cut(ten_days, rows=True, batch=batch)
    assert ten_days.rows("SELECT transaction_id FROM transactions ORDER BY 1") == [
        (f"t{n}",) for n in (2, 5, 6, 7, 8, 9)
    ]
    assert ten_days.rows("SELECT cut_by, row_count FROM retention_cuts WHERE what = 'transactions'") == [("ana", 4)]
    assert ten_days.rows(ACCOUNTED) == [(True,)]
    ten_days.feed(transaction(12, "t12", "A", 10, T0_MS + 10 * DAY_MS))
    assert ten_days.rows(ACCOUNTED) == [(True,)]


def test_many_payments_of_one_instant_go_in_batches(desk: Desk) -> None:
    desk.feed(*[transaction(n, f"t{n}", "A", 10, T0_MS) for n in range(25)])
    assert cut(desk, rows=True, batch=4) == {"raw records": 25, "bytes of dead letters": 0, "transactions": 25}


def test_the_command_only_speaks_unless_told(ten_days: Desk) -> None:
    def say(*options: str) -> str:
        command = [sys.executable, "-m", "streamguard.cli", "retention", "--keep-days", "1", *options]
        environment = {"DATABASE_URL": ten_days.postgres.url(), "PATH": "/usr/bin:/bin"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "would cut 10 raw records" in say()
    assert ten_days.rows("SELECT count(*) FROM transaction_records") == [(10,)]
    assert "cut 9 transactions" in say("--rows", "--apply", "--by", "ana")
    assert ten_days.rows("SELECT transaction_id FROM transactions") == [("t2",)]
    assert ten_days.rows("SELECT * FROM transaction_records") == []


MONTHS = "SELECT relname FROM pg_class WHERE relname LIKE 'transaction_records_%' AND relkind = 'r' ORDER BY 1"


@pytest.fixture
def years(desk: Desk) -> Desk:
    """A payment of 1973, one in each of the months before and after the border's, and of a year not yet come."""
    days = [-19_000, *range(-90, 91, 15), 20_000]
    desk.feed(*[transaction(n, f"t{n}", "A", 10, T0_MS + day * DAY_MS + n % 2) for n, day in enumerate(days)])
    return desk


def test_whole_months_are_dropped_and_the_borders_month_is_cut_by_rows(years: Desk) -> None:
    months = [f"transaction_records_{month}" for month in ("2025_08", "2025_09", "2025_10", "2025_11", "2025_12")]
    months += [f"transaction_records_{month}" for month in ("2026_01", "2026_02", "early", "late")]
    assert [name for (name,) in years.rows(MONTHS)] == months
    old = "SELECT count(*) FROM transaction_records WHERE event_time < %s"
    [(wanted,)] = years.rows(old, BORDER)
    [(kept,)] = years.rows("SELECT count(*) FROM transaction_records WHERE event_time >= %s", BORDER)
    assert run(years.engine, BORDER, RAW_RECORDS, who="ana") == wanted == 8
    assert [name for (name,) in years.rows(MONTHS)] == [*months[3:7], "transaction_records_late"]
    assert years.rows("SELECT count(*) FROM transaction_records") == [(kept,)]
    assert years.rows(old, BORDER) == [(0,)]
    assert years.rows("SELECT what, row_count FROM retention_cuts") == [("raw records", wanted)]
    assert years.rows("SELECT count(*) FROM transactions") == [(15,)]
    assert years.rows(ACCOUNTED) == [(True,)]


def test_a_late_payment_of_a_dropped_month_is_kept_with_its_record(years: Desk) -> None:
    run(years.engine, BORDER, RAW_RECORDS, who="ana")
    assert years.feed(transaction(15, "late", "A", 10, T0_MS - 60 * DAY_MS)) == 0
    assert years.rows("SELECT transaction_id FROM transaction_records WHERE event_time < %s", BORDER) == [("late",)]
    assert years.rows("SELECT count(*) FROM transactions") == [(16,)]


def test_removed_payments_leave_no_record_behind(years: Desk) -> None:
    """Also one that came after its month of records was cut, and before its row was."""
    payments = targets(rows=True)[-1]
    assert run(years.engine, BORDER, payments, who="ana") == 8
    assert years.rows(
        "SELECT count(*) FROM transaction_records r WHERE NOT EXISTS"
        " (SELECT FROM transactions t WHERE t.transaction_id = r.transaction_id)"
    ) == [(0,)]
    assert years.rows(ACCOUNTED) == [(True,)]


def test_a_month_that_is_read_is_not_waited_for_without_end(years: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Payments are stored meanwhile; once the reader is done, it goes."""
    monkeypatch.setattr("streamguard.database.retention.LOCK_WITHIN_MS", 100)
    with years.engine.connect() as reader:
        reader.execute(text("SELECT count(*) FROM transaction_records"))
        with pytest.raises(MonthInUse, match="while a query reads raw records"):
            run(years.engine, BORDER, RAW_RECORDS, who="ana")
        assert years.feed(transaction(15, "meanwhile", "A", 10, T0_MS)) == 0
    assert run(years.engine, BORDER, RAW_RECORDS, who="ana") == 9

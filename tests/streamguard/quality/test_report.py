"""The report: figures from the minutes, limits, verdicts; as a command and as metrics."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from streamguard.cli.quality import app
from streamguard.quality import limits
from streamguard.quality.collector import USUAL_EVERY_S, QualityMetrics
from streamguard.quality.figures import Sums, stretches
from streamguard.quality.minutes import Counts
from streamguard.quality.report import MINUTE, report
from tests.support.desk import Desk
from tests.support.project import PROJECT_ROOT
from tests.support.records import transaction

HOUR = timedelta(hours=1)


def now_of(desk: Desk) -> datetime:
    [(now,)] = desk.rows("SELECT date_trunc('minute', clock_timestamp())")
    assert isinstance(now, datetime)
    return now


def minute(desk: Desk, at: datetime, **more: Any) -> None:
    """A row of the table; ages of half a second unless given."""
    values = {"records": 0, "dead_letters": 0, "duplicates": 0, "late": 0, "age_max_s": 0.5, **more}
    stored = values["records"] - values["dead_letters"]
    ages = json.dumps(values.pop("ages", {"0.5": stored}))
    filled = json.dumps(values.pop("filled", {}))
    names = ", ".join(values)
    desk.rows(
        f"INSERT INTO quality_minutes (minute, topic, lane, ages, filled, age_sum_s, {names})"
        f" VALUES (%s, 'transactions', 0, %s, %s, %s, {', '.join(['%s'] * len(values))})",
        *(at, ages, filled, stored * 0.5),
        *values.values(),
    )


def test_shares_and_ages_are_held_against_their_limits(desk: Desk) -> None:
    now = now_of(desk)
    minute(desk, now - MINUTE, records=1_000, dead_letters=20, duplicates=5, late=98, ages={"0.5": 900, "30": 80})
    minute(desk, now - 25 * HOUR, records=5_000, dead_letters=5_000)
    with desk.engine.connect() as connection:
        found = {check.name: check for check in report(connection, "transactions", now - HOUR, now).others}
    assert (found["dead letters"].value, found["dead letters"].breached) == (0.02, True)
    assert (found["repeated"].value, found["repeated"].breached) == (0.005, False)
    assert (found["late"].value, found["late"].breached) == (0.1, True)
    assert found["event to row, p50"].value == pytest.approx(0.25 + 0.25 * 490 / 900)
    assert found["event to row, p95"].breached is False and found["event to row, p50"].breached is None


def test_a_field_is_held_against_what_is_usual_of_it(desk: Desk) -> None:
    now = now_of(desk)
    minute(desk, now - 3 * HOUR, records=1_000, filled={"channel": 1_000, "city": 400})
    minute(desk, now - MINUTE, records=200, filled={"channel": 159, "city": 70})
    with desk.engine.connect() as connection:
        found = {check.field: check for check in report(connection, "transactions", now - HOUR, now).fields}
    assert (found["channel"].value, found["channel"].usual, found["channel"].breached) == (0.795, 1.0, True)
    assert (found["city"].value, found["city"].breached) == (0.35, False)
    assert (found["country"].value, found["country"].breached) == (0.0, None), "it never was there"


HOURS = [
    ([300, 400, 500, 9_000], 900, False),
    ([300, 400, 500, 9_000], 901, True),
    ([300, 400, 500], 200, False),
    ([300, 400, 500], 199, True),
    ([300], 5_000, None),
    ([10, 10], 5_000, None),
]
"""The same hour of the weeks before, the last hour, and whether that is outside its limits."""


def test_the_hour_is_held_against_the_same_hour_of_the_weeks_before(desk: Desk) -> None:
    for weeks, records, breached in HOURS:
        desk.rows("TRUNCATE quality_minutes")
        now = now_of(desk)
        minute(desk, now - MINUTE, records=records)
        for week, count in enumerate(weeks, 1):
            minute(desk, now - timedelta(weeks=week) - timedelta(minutes=60), records=count)
            minute(desk, now - timedelta(weeks=week) - timedelta(minutes=61), records=70_000)
        with desk.engine.connect() as connection:
            checks = report(connection, "transactions", now - HOUR, now).checks
        [found] = [check for check in checks if check.name == "records of the last hour"]
        assert found.breached is breached, (weeks, records)


def test_too_few_records_have_no_verdict() -> None:
    assert Sums(records=99, dead_letters=99).of_read(99) is None
    assert Sums(records=100).age_s(0.95) is None and Sums().age_mean_s is None


def test_quantiles_are_between_the_ages_of_the_records() -> None:
    counts = Counts()
    counts.add_ages([0] * 50 + [90_000] * 50, 100_000)
    found = Sums(records=100, ages=counts.ages, age_max_s=counts.age_max_s, age_sum_s=counts.age_sum_s)
    assert found.age_s(0.5) == 10 and found.age_s(0.95) == 100 and found.age_mean_s == 55


def test_stretches_cover_the_time_also_where_nothing_came(desk: Desk) -> None:
    now = now_of(desk)
    minute(desk, now - MINUTE, records=10, late=1)
    minute(desk, now - 2 * MINUTE, records=5, dead_letters=5)
    with desk.engine.connect() as connection:
        found = stretches(connection, "transactions", now - 6 * MINUTE, now, 2 * MINUTE)
    assert [(s.records, s.late, s.dead_letters, s.age_mean_s) for s in found] == [
        (0, 0, 0, None),
        (0, 0, 0, None),
        (15, 1, 5, 0.5),
    ]


def run(desk: Desk, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Any:
    monkeypatch.setenv("DATABASE_URL", desk.settings.database_url)
    return CliRunner().invoke(app, list(arguments))


def test_the_command_says_what_is_breached_and_why(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    now_ms = int(now_of(desk).timestamp() * 1_000)
    desk.feed(*(transaction(n, f"t{n}", "A", 10 if n % 20 else -1, now_ms, channel="app") for n in range(120)))
    desk.feed(transaction(120, "t1", "A", 10, now_ms))
    done = run(desk, monkeypatch, "--since", "1h")
    assert done.exit_code == 1, done.output
    assert re.search(r"^dead letters +5\.79% .*at most 1\.00% +BREACHED$", done.output, re.MULTILINE)
    assert re.search(r"^channel filled +100\.00% +- +-$", done.output, re.MULTILINE)
    assert re.search(r"^ +6  amount$\n^ +1  repeated id$", done.output, re.MULTILINE)
    plain = json.loads(run(desk, monkeypatch, "--json").output)
    assert (plain["records"], plain["stored"], plain["breached"]) == (121, 114, True)
    assert plain["dead_letters_by_reason"] == {"amount": 6, "repeated id": 1}


def test_the_command_says_that_there_is_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run(desk, monkeypatch)
    assert (done.exit_code, "nothing was read" in done.output) == (0, True)


def figures(metrics: QualityMetrics) -> dict[str, float]:
    return {
        "/".join([sample.name.removeprefix("streamguard_quality_"), *sample.labels.values()]): sample.value
        for family in metrics.collect()
        for sample in family.samples
    }


def test_metrics_of_the_last_minutes(desk: Desk) -> None:
    now, at_s = now_of(desk), [0.0]
    metrics = QualityMetrics(desk.engine, "transactions", lambda: at_s[0])
    assert figures(metrics) == {"records": 0, "hour_records": 0}
    minute(desk, now - HOUR, records=1_000, filled={"channel": 500})
    minute(desk, now - 2 * MINUTE, records=200, dead_letters=100, duplicates=4, late=10, filled={"channel": 40})
    found = figures(metrics)
    assert (found["late_ratio"], found["repeated_ratio"], found["filled_ratio/channel"]) == (0.1, 0.02, 0.4)
    assert "usual_filled_ratio/channel" not in found, "what is usual is not asked at each scrape"
    at_s[0] += USUAL_EVERY_S
    found = figures(metrics)
    assert found["usual_filled_ratio/channel"] == 0.5 and found["hour_records"] >= 200


def test_the_alarms_have_the_limits_of_the_report() -> None:
    rules = yaml.safe_load((PROJECT_ROOT / "ops" / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))
    conditions = {rule.get("alert"): rule["expr"] for group in rules["groups"] for rule in group["rules"]}
    for alarm, limit in {
        "DeadLetters": [limits.DEAD_LETTER_SHARE],
        "StaleRows": [limits.P95_AGE_S],
        "LateRecords": [limits.LATE_SHARE],
        "RepeatedRecords": [limits.DUPLICATE_SHARE],
        "FieldMissing": [limits.FILLED_OF_USUAL],
        "UnusualVolume": [limits.VOLUME_FACTOR, limits.VOLUME_FACTOR],
    }.items():
        assert [float(found) for found in re.findall(r"[<>*/] ([\d.]+)", conditions[alarm])] == limit, alarm

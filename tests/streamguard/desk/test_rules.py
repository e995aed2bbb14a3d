"""Rules at the desk: the catalogue, one rule, the switch of its mode, and what a change would be back-tested with."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from streamguard.desk.difference import words_that_differ
from streamguard.desk.jobs import DONE, FAILED, STOPPED, Asked, Jobs
from streamguard.desk.site import Desk as Site
from streamguard.rules.catalogue import catalogue
from tests.streamguard.desk.conftest import Client
from tests.support.desk import Desk
from tests.support.processes import eventually
from tests.support.records import T0_MS, high_amount, transaction


@pytest.fixture
def jobs(site: Site, tmp_path: Path) -> Jobs:
    """The jobs of the desk, in a state folder of the test; neither Kafka nor ksqlDB answers."""
    nowhere = {"state_dir": tmp_path, "kafka_bootstrap_servers": "127.0.0.1:1", "ksqldb_url": "http://127.0.0.1:1"}
    site.settings = site.settings.model_copy(update=nowhere)
    return Jobs(site.settings)


def ended(jobs: Jobs, number: int) -> str:
    """How a job has ended."""

    def state() -> str:
        found = jobs.find(number)
        assert found is not None
        return found.state

    return str(eventually(state, lambda now: now != "running", 60, lambda: str(jobs.find(number))))


def test_the_catalogue_with_figures(client: Client, jobs: Jobs, desk: Desk) -> None:
    desk.feed(transaction(0, "t", "A", 4_000, T0_MS), high_amount(0, "t", "A", 4_000, T0_MS))
    viewer = client("viewer")
    page = eventually(lambda: viewer.get("/rules").text, lambda text: "being counted" not in text, 30)
    for rule in catalogue():
        assert f'href="/rules/{rule.name}"' in page
    row = page[page.index('href="/rules/HIGH_AMOUNT"') :]
    assert re.findall(r'<td class="n">([^<]*)</td>', row)[:3] == ["1", "1", "1"]


def test_a_rule_with_its_sql_limits_and_alerts(client: Client, jobs: Jobs, desk: Desk) -> None:
    desk.feed(transaction(0, "t", "A", 4_000, T0_MS), high_amount(0, "t", "A", 4_000, T0_MS))
    page = client("lead").get("/rules/HIGH_AMOUNT").text
    assert "amount &gt; ${high_amount}" in page and 'name="limit.high_amount" value="3000"' in page
    assert 'href="/alerts/HIGH_AMOUNT%3At"' in page
    python = client("lead").get("/rules/usual_amount").text
    assert 'name="limit.high_ratio" value="5"' in python
    assert "Back-test a change" not in client("viewer").get("/rules/usual_amount").text
    missing = client("viewer").get("/rules/HIGH_AMUONT")
    assert missing.status_code == 404 and "HIGH_AMOUNT is the nearest name" in missing.text


def test_a_mode_is_switched_with_its_reason(client: Client, jobs: Jobs, desk: Desk) -> None:
    lead = client("lead")
    assert lead.post("/rules/usual_amount/mode", data={"mode": "shadow", "reason": "noisy"}).status_code == 303
    assert desk.rows("SELECT rule, mode, changed_by FROM rule_modes") == [("usual_amount", "shadow", "lead")]
    audited = "SELECT done_by, action, subject, reason, value_before ->> 'mode', value_after ->> 'mode' FROM audit_log"
    assert desk.rows(audited) == [("lead", "rules.mode", "rule usual_amount", "noisy", "active", "shadow")]
    page = lead.get("/rules/usual_amount").text
    assert '<span class="mode shadow">shadow</span>' in page and "active → shadow — noisy" in page


@pytest.mark.parametrize(
    ("name", "fields", "status", "said"),
    [
        ("usual_amount", {"mode": "shadow"}, 409, "a reason is needed"),
        ("usual_amount", {"mode": "loud", "reason": "r"}, 409, "loud is no mode"),
        ("no_rule", {"mode": "off", "reason": "r"}, 404, "there is no rule no_rule"),
    ],
)
def test_refused_switches_change_nothing(
    client: Client, jobs: Jobs, desk: Desk, name: str, fields: dict[str, str], status: int, said: str
) -> None:
    answer = client("lead").post(f"/rules/{name}/mode", data=fields)
    assert answer.status_code == status and said in answer.text
    assert desk.rows("SELECT count(*) FROM rule_modes") == desk.rows("SELECT count(*) FROM audit_log") == [(0,)]


def test_without_ksqldb_the_mode_is_stored_and_it_is_said_what_lacks(client: Client, jobs: Jobs, desk: Desk) -> None:
    answer = client("lead").post("/rules/HIGH_AMOUNT/mode", data={"mode": "off", "reason": "r"})
    assert answer.status_code == 409 and "its query does not follow yet" in answer.text
    assert desk.rows("SELECT mode FROM rule_modes") == [("off",)]


@pytest.mark.parametrize("role", ["viewer", "analyst"])
def test_only_a_lead_changes_rules(client: Client, jobs: Jobs, desk: Desk, role: str) -> None:
    one = client(role)
    actions = ["rules/usual_amount/mode", "rules/usual_amount/backtest", "jobs/1/stop", "backtests/1/accept"]
    for path in [*actions, "backtests/1/shadow", "shadow/compare", "shadow/promote", "shadow/drop"]:
        answer = one.post(f"/{path}", data={"mode": "off", "reason": "r"})
        assert answer.status_code == 403, path
    assert jobs.all() == [] and desk.rows("SELECT count(*) FROM audit_log") == [(0,)]


@pytest.mark.parametrize("path", ["/jobs/7", "/backtests/7", "/backtests/7/alerts/x", "/rules/none"])
def test_what_is_not_there(client: Client, jobs: Jobs, path: str) -> None:
    answer = client("viewer").get(path)
    assert answer.status_code == 404 and "there is no" in answer.text


def test_pages_without_anything_say_how_to_begin(client: Client, jobs: Jobs) -> None:
    viewer = client("viewer")
    assert "No back-test yet" in viewer.get("/backtests").text
    assert "No shadow runs" in viewer.get("/shadow").text


def test_a_back_test_gets_what_differs_and_fails_in_one_sentence(client: Client, jobs: Jobs, desk: Desk) -> None:
    lead = client("lead")
    fields = {"limit.high_amount": "3000", "from": "2026-01-01", "to": ""}
    answer = lead.post("/rules/HIGH_AMOUNT/backtest", data=fields)
    assert answer.status_code == 409 and "nothing differs from what runs" in answer.text
    edited = {**fields, "limit.high_amount": "--accept", "sql": "-- mine\nDEFINE high_amount = '1';"}
    assert lead.post("/rules/HIGH_AMOUNT/backtest", data=edited).headers["location"] == "/jobs/1"
    [job] = jobs.all()
    assert job.asked.arguments[:3] == ["backtest", "--progress-lines", "--by=lead"]
    assert job.asked.arguments[4:] == ["--define=high_amount=--accept", "--from=2026-01-01"]
    file = Path(job.asked.arguments[3].removeprefix("--sql="))
    assert file.name == "queries.sql" and file.read_text() == "-- mine\nDEFINE high_amount = '1';\n"
    assert ended(jobs, 1) == FAILED
    assert desk.rows("SELECT done_by, action, subject FROM audit_log") == [
        ("lead", "rules.backtest", "rule HIGH_AMOUNT")
    ]
    page = lead.get("/jobs/1")
    assert page.status_code == 200 and "Traceback" not in page.text and "failed" in page.text


@pytest.mark.parametrize("value", ["1\x00", "9" * 5_000])
def test_values_that_no_command_takes(client: Client, jobs: Jobs, value: str) -> None:
    answer = client("lead").post("/rules/usual_amount/backtest", data={"limit.high_ratio": value})
    assert answer.status_code == 409 and "NUL" in answer.text and jobs.all() == []


def test_jobs_end_are_stopped_and_outlive_their_desk(jobs: Jobs) -> None:
    first = jobs.start(Asked("a", ["--help"], "lead", "help"))
    assert ended(jobs, first) == DONE
    found = Jobs(jobs._settings).find(first)
    assert found is not None and any("Usage" in line for line in found.lines)
    waits = jobs.start(Asked("b", ["consume"], "lead", "waits"))
    jobs.stop(waits)
    assert ended(jobs, waits) == STOPPED


def test_words_that_differ() -> None:
    before = " ".join(f"w{n}" for n in range(60))
    pieces = words_that_differ(before, before.replace("w30", "other"), around=2)
    assert pieces == [(" ", "… w28 w29"), ("-", "w30"), ("+", "other"), (" ", "w31 w32 …")]
    assert words_that_differ("a b", "a  b") == []

"""Back-tests: begin one, watch its job, read what would change."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import orjson
from pydantic import Field

from streamguard.backtest.errors import BacktestError
from streamguard.backtest.store import kept, listed
from streamguard.desk.api.alerts import WHY
from streamguard.desk.api.endpoint import Call, Model, endpoint
from streamguard.desk.jobs import Job, Jobs
from streamguard.desk.pages.backtests import begin_backtest, stop_job
from streamguard.desk.site import NotFound
from streamguard.rules.modes import NoSuchRule

Time = Field("", max_length=40, pattern=r"^[^\x00]*$")


class BacktestIn(Model):
    """What differs from what runs: limits by their names, the text of the rule's SQL file, the mode; empty is as it runs.

    `begin` and `end` limit the transactions by their event time.
    """

    limits: dict[str, str] = Field({}, max_length=100)
    sql: str = Field("", max_length=200_000, pattern=r"^[^\x00]*$")
    mode: Literal["", "active", "shadow", "off"] = ""
    begin: str = Time
    end: str = Time


class JobOut(Model):
    """A command that runs in the background. `state` is running, done, failed or stopped, `progress` 0 to 1, null where it is not
    known; `backtest_no` is where the result is."""

    number: int
    kind: str
    title: str
    by: str
    reason: str
    rule: str
    started_at: datetime
    state: str
    progress: float | None
    lines: list[str]
    backtest_no: int | None


class StopIn(Model):
    """Why."""

    reason: str = WHY


class BacktestLine(Model):
    """A back-test that was kept."""

    backtest_no: int
    command: str
    created_by: str
    created_at: datetime


class BacktestPage(Model):
    """All of them, the newest first, and the newest jobs of any kind."""

    backtests: list[BacktestLine]
    jobs: list[JobOut]


class BacktestOut(BacktestLine):
    """A back-test with its result: sides a (what runs) and b, counts by day, alerts gained, lost and changed."""

    result: dict[str, Any]


@endpoint("POST", "/rules/{name}/backtest", needs="rules.change", takes=BacktestIn, gives=JobOut)
def begin(call: Call, given: BacktestIn) -> JobOut:
    """Begin a back-test of a rule; its job says how far it is."""
    try:
        number = begin_backtest(
            call,
            call.path["name"],
            limits=given.limits,
            sql=given.sql,
            mode=given.mode,
            begin=given.begin,
            end=given.end,
        )
    except NoSuchRule as error:
        raise NotFound(str(error)) from None
    return _job(_found(call, number))


@endpoint("GET", "/jobs/{number}", needs="rules.read", gives=JobOut)
def job(call: Call, given: Model) -> JobOut:
    """A job: how far it is, what it printed, and the number of its back-test."""
    return _job(_found(call, call.number("number", "job")))


@endpoint("POST", "/jobs/{number}/stop", needs="rules.change", takes=StopIn, gives=JobOut)
def stop(call: Call, given: StopIn) -> JobOut:
    """End a job."""
    found = _found(call, call.number("number", "job"))
    stop_job(call, found, given.reason)
    return _job(_found(call, found.number))


@endpoint("GET", "/backtests", needs="rules.read", gives=BacktestPage)
def backtests(call: Call, given: Model) -> BacktestPage:
    """Back-tests that were kept, and jobs."""
    with call.database() as connection:
        lines = [BacktestLine.model_validate(line) for line in reversed(listed(connection))]
    return BacktestPage(backtests=lines, jobs=[_job(found) for found in Jobs(call.desk.settings).all()[:20]])


@endpoint("GET", "/backtests/{number}", needs="rules.read", gives=BacktestOut)
def backtest(call: Call, given: Model) -> BacktestOut:
    """What would change."""
    number = call.number("number", "back-test")
    with call.database() as connection:
        try:
            found = kept(connection, number)
        except BacktestError as error:
            raise NotFound(str(error)) from None
    line = BacktestLine.model_validate(found)
    return BacktestOut(**line.model_dump(), result=orjson.loads(found.result))


def _found(call: Call, number: int) -> Job:
    found = Jobs(call.desk.settings).find(number)
    if found is None:
        raise NotFound(f"there is no job {number}: the newest 200 are kept")
    return found


def _job(found: Job) -> JobOut:
    asked = {name: getattr(found.asked, name) for name in ("kind", "title", "by", "reason", "rule")}
    own = {name: getattr(found, name) for name in JobOut.model_fields if name not in asked}
    return JobOut(**asked, **own)

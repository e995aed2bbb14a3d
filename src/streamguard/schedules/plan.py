"""What is to run when: the file schedule.yaml, one entry for each job, `NAME: {command, at | every, ...}`."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator

from streamguard.config import Settings, UserError
from streamguard.config.extras import need

COMMANDS = tuple(
    "alerts analyse audit backtest backup bench blacklist allowlist dead-letters deploy doctor evaluate generate import lineage"
    " quality retention rules status".split()
)
"""What can be scheduled: commands that end by themselves and ask nobody."""
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_EVERY = re.compile(r"([1-9]\d{0,6})([smhd])")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")


class ScheduleError(UserError):
    """A schedule that cannot be used; the text says where and what is expected."""


class Entry(BaseModel):
    """One job: `at` are the five fields of cron, in UTC, or `every` a span such as 6h.

    A run that fails is tried again `retries` times, `retry_after_s` after the first time and twice as long after each. `missed`
    says what becomes of a time at which the schedule did not run: `run` once when it does again, or `skip`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    command: str
    at: str | None = None
    every: str | None = None
    retries: int = Field(2, ge=0, le=20)
    retry_after_s: float = Field(60.0, ge=0, le=86_400, allow_inf_nan=False)
    timeout_s: float = Field(3_600.0, gt=0, le=604_800, allow_inf_nan=False)
    missed: Literal["run", "skip"] = "run"

    @field_validator("command")
    @classmethod
    def _one_of_ours(cls, value: str) -> str:
        words = _words(value)
        check_command(words)
        return value

    @field_validator("every")
    @classmethod
    def _span(cls, value: str | None) -> str | None:
        if value is not None and not _EVERY.fullmatch(value):
            raise ValueError(f"a span such as 30m, 6h or 1d is expected, not {value!r}")
        return value

    @field_validator("at")
    @classmethod
    def _cron(cls, value: str | None) -> str | None:
        if value is not None and len(value.split()) != 5:
            raise ValueError(
                f'five fields are expected (minute hour day month weekday), such as "0 2 * * *", not {value!r}'
            )
        return value

    @model_validator(mode="after")
    def _at_or_every(self) -> Entry:
        if (self.at is None) == (self.every is None):
            raise ValueError("one of `at` and `every` is needed")
        return self

    @property
    def words(self) -> list[str]:
        """The command's words, without `streamguard`."""
        return _words(self.command)

    @property
    def when(self) -> str:
        """For people."""
        return f"every {self.every}" if self.every else f"at {self.at} UTC"

    def trigger(self) -> Any:
        """APScheduler's trigger. Raises ScheduleError for fields that it does not take, UserError without the extra."""
        if self.every is not None:
            interval: Any = need("batch", "apscheduler.triggers.interval")
            return interval.IntervalTrigger(seconds=round(self.span().total_seconds()), timezone=timezone.utc)
        cron: Any = need("batch", "apscheduler.triggers.cron")
        assert self.at is not None
        minute, hour, day, month, weekday = self.at.split()
        try:
            return cron.CronTrigger(
                minute=minute, hour=hour, day=day, month=month, day_of_week=_weekdays(weekday), timezone=timezone.utc
            )
        except ValueError as error:
            raise ScheduleError(f"at {self.at!r} is no time: {str(error)[:1].lower()}{str(error)[1:]}") from None

    def span(self) -> timedelta:
        """The length of `every`."""
        found = _EVERY.fullmatch(self.every or "")
        assert found is not None
        return timedelta(seconds=int(found[1]) * _UNITS[found[2]])

    def next_after(self, at: datetime) -> datetime | None:
        """The first time after an instant; None where there is none any more."""
        if self.every is not None:
            return at + self.span()
        found = self.trigger().get_next_fire_time(None, at + timedelta(microseconds=1))
        return found if found is None else found.astimezone(timezone.utc)


Plan = Mapping[str, Entry]
_PLAN: TypeAdapter[dict[str, Entry]] = TypeAdapter(dict[str, Entry])


def plan_file(settings: Settings) -> Path:
    """Where the schedule is: STREAMGUARD_SCHEDULE, or schedule.yaml in the state folder."""
    return settings.schedule or settings.state_path / "schedule.yaml"


def has_jobs(settings: Settings) -> bool:
    """Whether something is scheduled; also where the file cannot be used, which the process of the schedule says."""
    try:
        return bool(read_plan(plan_file(settings)))
    except ScheduleError:
        return True


def read_plan(file: Path) -> Plan:
    """The jobs by name, none where there is no file. Raises ScheduleError."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ScheduleError(f"{file} cannot be read: {error}") from None
    return parse_plan(text, file)


def parse_plan(text: str, file: Path) -> Plan:
    """The same for a text that was read already; the file is for messages."""
    try:
        plan = _PLAN.validate_python(yaml.safe_load(text) or {})
    except yaml.YAMLError as error:
        raise ScheduleError(f"{file} is no YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"] if part != "[key]")
        raise ScheduleError(f"{file}: {place}: {str(first['msg']).removeprefix('Value error, ')}") from None
    for name in plan:
        check_name(name)
    return plan


def write_plan(file: Path, plan: Plan) -> None:
    """Write the file whole or not at all; comments in it are lost. Raises ScheduleError."""
    entries = {name: entry.model_dump(exclude_defaults=True) for name, entry in plan.items()}
    beside = file.with_name(f".{file.name}.new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(
            yaml.safe_dump(entries, sort_keys=False, allow_unicode=True) if entries else "", encoding="utf-8"
        )
        os.replace(beside, file)
    except OSError as error:
        raise ScheduleError(f"{file} cannot be written: {error.strerror}") from None


def check_name(name: str) -> None:
    """Raises ScheduleError for what is no name of a job."""
    if not _NAME.fullmatch(name):
        raise ScheduleError(f"a job's name has small letters, digits, - and _, at most 63 of them, unlike {name!r}")


def check_command(words: list[str]) -> None:
    """Raises ValueError for what is no command that can be scheduled."""
    first = words[0] if words else ""
    if first not in COMMANDS:
        nearest = get_close_matches(first, COMMANDS, n=1, cutoff=0)[0]
        raise ValueError(
            f"streamguard {first or 'without a command'} cannot be scheduled; the nearest command that can is {nearest},"
            f" all are {', '.join(sorted(COMMANDS))}"
        )


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ValueError(f"{command!r} has no end: {str(error).lower()}") from None
    return words[1:] if words[:1] == ["streamguard"] else words


def _weekdays(field: str) -> str:
    """Cron counts from Sunday, APScheduler from Monday: so they are named."""
    return re.sub(r"(?<![/\d])[0-7](?!\d)", lambda found: _WEEKDAYS[int(found[0])], field.lower())

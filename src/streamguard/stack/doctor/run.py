"""All checks, one after the other."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping

from streamguard.config import Settings, get_settings
from streamguard.config.errors import SettingsError
from streamguard.database import error_message
from streamguard.stack.doctor import settings as of_settings
from streamguard.stack.doctor.base import DATABASE, ENGINE, Check, Finding, Report, Surroundings, Unchecked, in_order
from streamguard.stack.health.base import FAILURES, connected

_PARTS = {DATABASE: "postgres", ENGINE: "ksqldb"}
_NAMES = {DATABASE: "the database", ENGINE: "the SQL engine"}
_FAILURES = (*FAILURES, OSError)


def examine(
    environment: Mapping[str, str] | None = None,
    clock: Callable[[], float] = time.time,
    load: Callable[[], Settings] = get_settings,
) -> Report:
    """Check everything; nothing is changed. Without settings that can be used, they alone are checked."""
    report, environment = Report(), os.environ if environment is None else environment
    try:
        settings = load()
    except SettingsError as error:
        settings = None
        report.findings += of_settings.of_error(error)
    report.findings += of_settings.without_settings(environment)
    report.made += 1
    if settings is None:
        report.unchecked = [Unchecked(one.title, "the settings cannot be used", False) for one in in_order()]
        return report
    with connected(settings) as parts:
        around = Surroundings(settings, parts, environment, clock)
        for one in in_order():
            _make(one, around, report)
    return report


def _one_line(text: str) -> str:
    """What a server adds on further lines, as ksqlDB does, stays on the one line."""
    return "; ".join(line.strip() for line in text.splitlines() if line.strip())


def _make(one: Check, around: Surroundings, report: Report) -> None:
    for part in one.needs:
        if around.has(part) is None:
            name = _PARTS.get(part, "broker")
            down = not around.should_answer(name)
            why = f"{_NAMES.get(part, 'Kafka')} {'does not run' if down else 'does not answer'}"
            report.unchecked.append(Unchecked(one.title, why, down))
            return
    try:
        report.findings += [
            Finding(_one_line(found.what), _one_line(found.cure), one.title) for found in one.run(around)
        ]
        report.made += 1
    except _FAILURES as error:
        reason = error_message(error) or type(error).__name__
        report.unchecked.append(Unchecked(one.title, reason, False))

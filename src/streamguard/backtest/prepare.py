"""The inputs of a back-test from what a person asks for: both sides, and what is to be read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from streamguard.backtest.errors import BacktestError
from streamguard.backtest.execute import digests_of
from streamguard.backtest.plan import check, make_plan, new_engine, outer_topics
from streamguard.backtest.sides import Side, changed, read_change, what_runs
from streamguard.backtest.spec import FileSource, Spec, TopicSource, side_spec
from streamguard.backtest.topic import Topics
from streamguard.config import Settings
from streamguard.config.resources import values_file
from streamguard.evaluation.replay import ALERTS, LABELS, PARTITIONS, TRANSACTIONS
from streamguard.ingest.columns import Options
from streamguard.rules.catalogue import base_points, sql_files
from streamguard.rules.listed import Lists
from streamguard.sqldeploy import variables_of
from streamguard.sqldeploy.state import Server
from streamguard_ksql.parser import split_statements

_UNITS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"(\d+)\s*([smhd])")
SERVER, CATALOGUE = "server", "catalogue"


@dataclass(frozen=True)
class Files:
    """Files of payments, and how they are read."""

    path: Path
    layout: str | None = None
    mapping: str = ""
    options: Options = field(default_factory=Options)
    label_days: int = 7


@dataclass(frozen=True)
class Request:
    """What is compared, as a person asks for it; times are those of `at` and `until`."""

    sql: Sequence[Path] = ()
    define: Mapping[str, str] = field(default_factory=dict)
    limits: Sequence[str] = ()
    modes: Sequence[str] = ()
    everything: bool = False
    from_ms: int | None = None
    to_ms: int | None = None
    warm_up_ms: int | None = None
    files: Files | None = None
    until: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    """The offsets behind the last records to be read, by topic and partition; where not given, what there is now."""


@dataclass(frozen=True)
class Stack:
    """What is known of the running stack: its server of SQL, modes and lists, and what analysts resolved."""

    server: Server | None = None
    modes: Mapping[str, str] = field(default_factory=dict)
    lists: Lists = field(default_factory=Lists)
    resolved: Mapping[str, bool] = field(default_factory=dict)


def prepare(request: Request, settings: Settings, stack: Stack, clock_ms: int) -> Spec:
    """The inputs. Raises BacktestError, DeployError, KafkaUnavailable, all before anything is run."""
    _check_request(request)
    given = variables_of(settings)
    change = read_change(request.sql, given, request.define) if request.sql or request.define else {}
    a = Side(what_runs(given, change, stack.server), modes=stack.modes, lists=stack.lists, base=base_points())
    b = changed(a, change, request.limits, request.modes)
    plan = make_plan(a, b, change, everything=request.everything)
    warm_ms = None
    if request.from_ms is not None and request.warm_up_ms is not None:
        warm_ms = request.from_ms - request.warm_up_ms
    if request.files:
        check(b.statements, {TRANSACTIONS: PARTITIONS})
    topic = None if request.files else _topics(request, settings, plan.parts, b, warm_ms)
    files = _files(request.files) if request.files else None
    needed = list(dict.fromkeys(sql.key for side in (a, b) for sql in side.statements.values()))
    return Spec(
        a=side_spec(a, needed),
        b=side_spec(b, needed),
        lists=stack.lists.entries,
        change=sorted(change),
        everything=request.everything,
        origin=CATALOGUE if stack.server is None else SERVER,
        clock_ms=clock_ms,
        topic=topic,
        files=files,
        from_ms=request.from_ms,
        to_ms=request.to_ms,
        warm_from_ms=warm_ms,
        resolved=dict(stack.resolved),
    )


def _check_request(request: Request) -> None:
    if not (request.sql or request.define or request.limits or request.modes):
        raise BacktestError("nothing to compare: give --sql, --define, --limit or --mode, which say what would change")
    if request.from_ms is not None and request.to_ms is not None and request.from_ms >= request.to_ms:
        raise BacktestError("--from is not before --to: give an earlier --from or a later --to")
    if request.warm_up_ms is not None and request.from_ms is None:
        raise BacktestError("--warm-up counts back from --from, which is not given")


def _topics(request: Request, settings: Settings, parts: Sequence[Any], b: Side, warm_ms: int | None) -> TopicSource:
    topics = Topics(settings.kafka)
    try:
        if TRANSACTIONS not in topics:
            raise BacktestError(
                f"the broker has no topic {TRANSACTIONS}: `streamguard up` makes it, or give --data FILE"
            )
        count = topics.partitions[TRANSACTIONS]
        check(b.statements, {TRANSACTIONS: count})
        engines = [new_engine(part.statements, {TRANSACTIONS: count}, lambda: 0) for part in parts]
        read: dict[str, bool] = {LABELS: False}
        for engine in engines:
            for name, is_table in outer_topics(engine).items():
                read[name] = read.get(name, False) or is_table
        read[TRANSACTIONS] = False
        there = [name for name in sorted(read) if name in topics]
        max_ahead_ms = settings.max_ahead_s * 1_000
        # What was written an hour before it happened is as much ahead as a transaction may be.
        since_ms = None if warm_ms is None else warm_ms - max_ahead_ms
        spans = {name: topics.spans(name, since_ms if name == TRANSACTIONS else None) for name in there}
        return TopicSource(
            spans={name: _until(name, found, request.until.get(name, {})) for name, found in spans.items()},
            tables=sorted(name for name, is_table in read.items() if is_table),
            partitions={name: topics.partitions[name] for name in [*there, ALERTS] if name in topics},
            max_ahead_ms=max_ahead_ms,
        )
    finally:
        topics.close()


def _until(name: str, spans: Mapping[int, tuple[int, int]], ends: Mapping[int, int]) -> dict[int, tuple[int, int]]:
    """The spans up to the given offsets. Raises BacktestError for a partition or an offset that is not there."""
    for number, end in ends.items():
        if number not in spans or end > spans[number][1]:
            has = f"ends at offset {spans[number][1]}" if number in spans else "is not there"
            raise BacktestError(f"--until-offsets {name}:{number}:{end}: partition {number} of {name} {has}")
    return {
        number: (min(start, ends.get(number, end)), ends.get(number, end)) for number, (start, end) in spans.items()
    }


def _files(files: Files) -> FileSource:
    values = []
    for file in sql_files():
        rows = values_file(file)
        if rows is not None:
            values += [text for text, _ in split_statements(rows.read_text(encoding="utf-8"))]
    path = files.path.absolute()
    return FileSource(
        str(path), files.layout, files.mapping, asdict(files.options), files.label_days, digests_of(path), values
    )


def at(option: str, text: str, *, end: bool = False) -> int:
    """A day or an instant as epoch milliseconds, UTC where no zone is named; the `end` of a day is that of its last moment.

    Raises BacktestError.
    """
    try:
        if len(text) <= len("2026-01-01"):
            day = date.fromisoformat(text) + timedelta(days=1 if end else 0)
            found = datetime(day.year, day.month, day.day, tzinfo=timezone.utc)
        else:
            found = datetime.fromisoformat(text.replace("Z", "+00:00"))
            found = found if found.tzinfo else found.replace(tzinfo=timezone.utc)
    except (ValueError, OverflowError):
        raise BacktestError(f"{option} {text}: a day such as 2026-11-05, or 2026-11-05T14:30, is needed") from None
    return round(found.timestamp() * 1000)


def duration_ms(option: str, text: str) -> int:
    """A duration such as 90m as milliseconds. Raises BacktestError."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise BacktestError(f"{option} {text}: a number with s, m, h or d is needed, such as 90m")
    return int(found[1]) * _UNITS[found[2]]


def until_offsets(options: Sequence[str]) -> dict[str, dict[int, int]]:
    """`TOPIC:PARTITION:OFFSET` as offsets by topic and partition. Raises BacktestError."""
    found: dict[str, dict[int, int]] = {}
    for option in options:
        for text in option.split(","):
            topic, _, rest = text.partition(":")
            partition, _, offset = rest.partition(":")
            if not (topic and partition.isdigit() and offset.isdigit()):
                raise BacktestError(f"--until-offsets {text}: TOPIC:PARTITION:OFFSET is expected")
            found.setdefault(topic, {})[int(partition)] = int(offset)
    return found

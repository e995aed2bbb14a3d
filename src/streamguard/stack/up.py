"""`streamguard up`: start the stack, step by step, each step ready before the next one needs it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy import Engine

from streamguard.alerts.actions import AlertLine, list_alerts
from streamguard.config import Settings, UserError
from streamguard.config.resources import source_files
from streamguard.database import apply_schema, error_message, make_engine
from streamguard.kafka import clients
from streamguard.kafka.clients import kafka_errors
from streamguard.kafka.diagnosis import Problem
from streamguard.kafka.topics import ensure_topics
from streamguard.metrics.targets import forget_dead
from streamguard.privacy import key
from streamguard.privacy.mode import check_key, protection_of
from streamguard.rules.catalogue import ALL, sql_files
from streamguard.rules.modes import modes_of
from streamguard.sinks.chosen import sql_of
from streamguard.sqldeploy import (
    DeployError,
    Outcome,
    deploy,
    follow,
    insert_first_values,
    off_queries,
    topics_of,
    variables_of,
)
from streamguard.sqldeploy.deployed import note_deployed
from streamguard.sqldeploy.script import read
from streamguard.sqldeploy.state import Server
from streamguard.stack import compose, conf, extras, leftovers, locks, logins, passwords, ports, state
from streamguard.stack.broker_door import check_broker, make_user
from streamguard.stack.door import check_door
from streamguard.stack.errors import StackError
from streamguard.stack.interrupts import interrupts_held_back
from streamguard.stack.ksqldb_config import write_config
from streamguard.stack.numbers import CONSUMERS, ENGINES
from streamguard.stack.parts import NAMES, Part, application_parts, by_name, consumer_parts, embedded_parts, sink_part
from streamguard.stack.readiness import (
    consumer_probe,
    desk_probe,
    engines_probe,
    kafka_probe,
    ksqldb_probe,
    postgres_probe,
    running_probe,
    wait,
    wait_external,
)
from streamguard.stack.supervisor import RUNS, Process, Supervisor
from streamguard.users.accounts import first_admin

Report = Callable[[str], None]


@dataclass(frozen=True)
class StartOptions:
    """What the caller of `start` asks for."""

    docker: bool = False
    desk: bool = True
    generator: bool = True
    rules: str = ALL
    """Which SQL rules are deployed, `catalogue.ALL` or `catalogue.CORE`; those that run already stay."""
    command: str = "streamguard up"
    """How messages name the start."""
    extras: tuple[str, ...] | None = None
    """What `--with` asks for; None: as at the last start."""
    consumers: int | None = None
    """How many consumers run; None: as at the last start."""
    engines: int | None = None
    """The same of SQL engines."""


@dataclass
class Started:
    """What a start has done: the parts, and what was made for it; the password is that of the desk's first user."""

    parts: list[Part]
    settings: Settings
    """With the password of the database, where this start made it."""
    first_password: str | None = None


def start(settings: Settings, options: StartOptions, report: Report) -> Started:
    """Start what does not run yet.

    Raises UserError. What can be checked is checked before anything is made; a stack that this call launched and that
    does not become ready, or whose start is interrupted, is stopped again.
    """
    if options.docker and settings.external:
        raise StackError(
            f"--docker starts Postgres, Kafka and ksqlDB, and {', '.join(settings.external.values())} names another: unset it,"
            " or leave out --docker"
        )
    state.check(settings)
    extras.check(settings, options.extras)
    CONSUMERS.of(settings, options.consumers)
    _check_engines(settings, options)
    rules = [*sql_files(options.rules), *sql_of(extras.sinks_of(settings, options.extras))]
    is_new = not settings.state_path.exists()
    if is_new:
        _check(settings, _parts(settings, options, {}), rules)
        _check_external(settings, report)
        state.make(settings)
    with locks.command(settings, report):
        # Only now: another start may have launched it while this one waited.
        return _start(settings, options, rules, report, checked=is_new)


def _start(settings: Settings, options: StartOptions, rules: list[Path], report: Report, *, checked: bool) -> Started:
    supervisor = Supervisor(settings)
    running = supervisor.processes() if supervisor.alive() else None
    _check_running_engines(settings, options, running or {})
    if running is None:
        leftovers.end(settings, report)
    started = Started(_parts(settings, options, running or {}), settings)
    if not checked:
        _check(settings, [part for part in started.parts if part.name not in (running or {})], rules)
        _check_external(settings, report)
    if options.docker:
        report("docker compose up")
        compose.up(options.command, settings.postgres_password)
    state.make(settings)
    if options.extras is not None:
        extras.keep(settings, options.extras)
    if options.consumers is not None:
        CONSUMERS.keep(settings, options.consumers)
    if options.engines is not None:
        ENGINES.keep(settings, options.engines)
    if not options.docker:
        started.settings = passwords.keep(settings)
    _launch_and_start(started.settings, options, started, rules, report, is_new=running is None)
    return started


def _parts(settings: Settings, options: StartOptions, running: Mapping[str, Process]) -> list[Part]:
    """What is to run. What runs is left running but for sinks and further consumers, which are as they are asked for now."""
    optional = {name: getattr(options, name) or name in running for name in ("desk", "generator")}
    infrastructure = [] if options.docker else embedded_parts(settings, ENGINES.of(settings, options.engines))
    sinks = extras.sinks_of(settings, options.extras)
    return [
        *infrastructure,
        *application_parts(
            settings,
            desk=optional["desk"],
            generator=optional["generator"],
            sinks=sinks,
            consumers=CONSUMERS.of(settings, options.consumers),
        ),
    ]


def _check_engines(settings: Settings, options: StartOptions) -> None:
    """Raises StackError for a number of engines that cannot be: a bad one, or of engines that are not ours."""
    asked = ENGINES.of(settings, options.engines)
    if asked > 1 and (options.docker or "ksqldb" in settings.external):
        raise StackError(
            f"--engines {asked}: the SQL engine is not the embedded one; give its own servers one service id"
        )


def _check_running_engines(settings: Settings, options: StartOptions, running: Mapping[str, Process]) -> None:
    """Raises StackError for another number than run: one engine alone, and each of several, are started differently."""
    run = sum(name.partition("-")[0] == "ksqldb" for name in running)
    asked = ENGINES.of(settings, options.engines)
    if run and run != asked and 1 in (run, asked):
        raise StackError(
            f"--engines {asked}: {run} {'runs' if run == 1 else 'run'}, and an engine alone becomes one of several by a restart:"
            f" `streamguard down`, then `{options.command} --engines {asked}`"
        )


def _launch_and_start(
    settings: Settings, options: StartOptions, started: Started, rules: list[Path], report: Report, *, is_new: bool
) -> None:
    supervisor, parts = Supervisor(settings), started.parts
    conf.write(settings, parts)
    write_config(settings)
    try:
        if is_new:
            forget_dead(settings)
            # Between its start and its first answer it cannot be told to end.
            with interrupts_held_back():
                supervisor.launch()
        else:
            supervisor.reread()
        _start_infrastructure(settings, options, by_name(parts), supervisor, report)
        started.first_password = _apply(settings, options, rules, report)
        if not options.docker:
            key.keep(settings)
        _start_application(settings, options, by_name(parts), supervisor, report)
    except BaseException:
        if is_new:
            _stop_again(settings, report)
        raise


def _stop_again(settings: Settings, report: Report) -> None:
    """End what this start began; a further Ctrl-C does not keep it from that."""
    with interrupts_held_back():
        supervisor = Supervisor(settings)
        if supervisor.alive():
            supervisor.shutdown()
        leftovers.end(settings, report)


def _check(settings: Settings, parts: list[Part], rules: list[Path]) -> None:
    """Raises UserError for what would fail later: state folder, the key of personal data, an open desk, SQL files, ports."""
    state.check(settings)
    check_key(settings)
    check_door(settings)
    if any(part.name == "broker" for part in parts):
        check_broker(settings)
    for file in [*rules, *source_files()]:
        read(file, variables_of(settings))
    if found := ports.conflicts(parts):
        raise StackError("; ".join(found))


def _start_infrastructure(
    settings: Settings, options: StartOptions, parts: dict[str, Part], supervisor: Supervisor, report: Report
) -> None:
    """Postgres, broker and engine, ours, Docker's or somebody else's; returns when all three answer."""
    logs = settings.state_path / "logs"
    for name in ("postgres", "broker"):
        if name in parts:
            if name == "broker" and supervisor.processes()[name].state not in RUNS:
                make_user(settings)
            supervisor.start(name)
    watched = None if options.docker else supervisor
    ours = [name for name in _PROBES if name not in settings.external]
    for name in _PROBES:
        if name in ours:
            wait(parts.get(name, Part(name, (), 0)), partial(_PROBES[name], settings), watched, logs)
        elif name == "ksqldb":
            _wait_external(settings, name)
        if name == "broker" and "ksqldb" in parts:
            # The engine takes longest to start; the database gets ready meanwhile.
            if supervisor.processes()["ksqldb"].state not in RUNS:
                logins.make(settings)
            supervisor.start("ksqldb")
        if name == "postgres" and (answer := [name for name in ("postgres", "broker") if name in ours]):
            report(f"{' and '.join(answer)} {'answer' if answer[1:] else 'answers'}")
    _start_terminated(settings, parts, supervisor, report)
    engines = [name for name in parts if name.partition("-")[0] == "ksqldb"]
    for name in engines:
        supervisor.start(name)
    for name in engines[1:]:
        wait(parts[name], partial(engines_probe, settings, len(engines)), supervisor, logs)
    report("ksqldb answers" if not engines[1:] else f"{len(engines)} SQL engines answer and share the rules")


def _start_terminated(settings: Settings, parts: dict[str, Part], supervisor: Supervisor, report: Report) -> None:
    """Start a SQL engine anew that was ended by its REST API: it takes no statement. Raises StackError for one elsewhere."""
    if not Server(settings.ksqldb).is_terminated():
        return
    if "ksqldb" not in parts:
        raise StackError(
            f"the ksqlDB server at {settings.ksqldb} was terminated (/ksql/terminate) and takes no statement: restart it, then"
            " repeat this"
        )
    report("ksqldb was terminated: it is started again, and its rules read their topics from the beginning")
    supervisor.stop("ksqldb")
    supervisor.start("ksqldb")
    wait(parts["ksqldb"], partial(ksqldb_probe, settings), supervisor, settings.state_path / "logs")


_PROBES: dict[str, Callable[[Settings], str | Problem | None]] = {
    "broker": kafka_probe,
    "postgres": postgres_probe,
    "ksqldb": ksqldb_probe,
}
"""Of what the stack runs on, in the order in which it is needed."""


def _check_external(settings: Settings, report: Report) -> None:
    """Raises StackError where what is somebody else's cannot be used."""
    for name, variable in settings.external.items():
        # An engine elsewhere may run on the broker that is to be started here.
        if name != "ksqldb" or "broker" in settings.external:
            _wait_external(settings, name)
        report(f"{NAMES[name]} of {variable} is used, none is started")


def _wait_external(settings: Settings, name: str) -> None:
    wait_external(NAMES[name], settings.external[name], partial(_PROBES[name], settings))


def _start_application(
    settings: Settings, options: StartOptions, parts: dict[str, Part], supervisor: Supervisor, report: Report
) -> None:
    """The consumers, and the desk and the generator stream where they are asked for, side by side."""
    logs = settings.state_path / "logs"
    members = [part.name for part in consumer_parts(CONSUMERS.of(settings, options.consumers))]
    names = [*members, *(name for name in ("desk", "generator") if getattr(options, name))]
    for name in names:
        supervisor.start(name)
    wait(parts["consumer"], lambda: consumer_probe(settings), supervisor, logs)
    for name in names:
        wait(parts[name], lambda name=name: running_probe(supervisor, name), supervisor, logs)  # type: ignore[misc]
    if options.desk:
        wait(parts["desk"], lambda: desk_probe(settings), supervisor, logs)
    # Last, and not waited for: nothing needs copies or figures to run, and a destination may be away.
    sinks = [sink_part(name) for name in extras.sinks_of(settings, options.extras)]
    for name in [*sinks, *(name for name in ("schedule", "monitor") if name in parts)]:
        supervisor.start(name)
    if sinks:
        report(f"sinks: {', '.join(sinks)}")
    report(f"{', '.join(names[:-1])} and {names[-1]} run" if names[1:] else f"{names[0]} runs")
    engines = ENGINES.of(settings, options.engines)
    if engines > 1 and (sentence := ENGINES.standing_by(engines, _partitions(settings))):
        report(sentence)
    if members[1:] and (sentence := CONSUMERS.standing_by(len(members), _partitions(settings))):
        report(sentence)


def _partitions(settings: Settings) -> int:
    """How many partitions of transactions there are to share."""
    with kafka_errors(), closing(clients.admin(settings.kafka, client_id="streamguard-up")) as admin:
        [topic] = admin.describe_topics([settings.transactions_topic])
    return len(topic["partitions"])


def _apply(settings: Settings, options: StartOptions, rules: list[Path], report: Report) -> str | None:
    """The schema, the desk's first user, the topics and the SQL: each creates what is missing and leaves what is there.

    Returns the password of the first user, where there was none yet.
    """
    engine = make_engine(settings)
    try:
        report(f"database: {apply_schema(engine)}")
        with engine.begin() as connection:
            protection_of(connection, settings)
            modes = modes_of(connection)
            password = first_admin(connection) if options.desk else None
    except UserError:
        raise
    except Exception as error:
        raise StackError(f"the database schema could not be applied: {error_message(error)}") from None
    finally:
        engine.dispose()
    with kafka_errors():
        ensure_topics(settings, extra=topics_of(rules))
    server = Server(settings.ksqldb)
    outcomes = deploy(server, rules, given=variables_of(settings), off=off_queries(modes))
    _note_deployed(settings, server, outcomes, options.command)
    counts = Counter(outcome.status for outcome in outcomes)
    report("SQL: " + ", ".join(f"{count} {status}" for status, count in counts.items()))
    for file in insert_first_values(server, settings, rules):
        report(f"SQL: the values of {file.name}")
    if counts["different"]:
        names = ", ".join(outcome.item.name for outcome in outcomes if outcome.status == "different")
        report(f"{names}: another version runs; `streamguard deploy --replace` replaces it")
    for statement in follow(server, modes):
        report(f"SQL: {statement} as the mode of its rule says")
    apply_sources(settings, report)
    return password


def _note_deployed(settings: Settings, server: Server, outcomes: Sequence[Outcome], who: str) -> None:
    """Keep what the rules consist of: decisions name it."""
    engine = make_engine(settings)
    try:
        with engine.begin() as connection:
            note_deployed(connection, server, outcomes, who=who)
    finally:
        engine.dispose()


def apply_sources(settings: Settings, report: Report) -> None:
    """The SQL of foreign topics. One whose topic is not there (yet) is named, and does not keep the rest from running."""
    for file in source_files():
        try:
            outcomes = deploy(Server(settings.ksqldb), [file], given=variables_of(settings))
        except DeployError as error:
            # ksqldb goes on to explain how to make the topic, which is somebody else's.
            reason = str(error).partition(". ")[0]
            report(f"not connected: {reason}; `streamguard deploy {file}` tries again")
            continue
        different = [outcome.item.name for outcome in outcomes if outcome.status == "different"]
        report(f"{file}: " + (f"another version of {', '.join(different)} runs" if different else "deployed"))


def first_alerts(settings: Settings, count: int, timeout_s: float) -> list[AlertLine]:
    """The newest alerts, waiting up to `timeout_s` for a first one; empty when none came."""
    engine: Engine = make_engine(settings)
    deadline = time.monotonic() + timeout_s
    try:
        while True:
            with engine.connect() as connection:
                alerts = list_alerts(connection, limit=count)
            if alerts or time.monotonic() > deadline:
                return alerts
            time.sleep(0.1)
    finally:
        engine.dispose()

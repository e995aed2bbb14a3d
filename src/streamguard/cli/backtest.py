"""`streamguard backtest`: what a change of the rules would have done, on the transactions that there are."""

from __future__ import annotations

import getpass
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamguard.cli import import_options as imports
from streamguard.cli.deploy import definitions, deploy
from streamguard.cli.shadow import Start
from streamguard.cli.shared import DatabaseUnavailable, database, new_app, print_line, print_lines
from streamguard.config import get_settings
from streamguard.config.resources import sql_file
from streamguard.producer.errors import InputError

if TYPE_CHECKING:
    from streamguard.backtest.prepare import Request, Stack
    from streamguard.backtest.spec import Spec
    from streamguard.privacy.protection import Protection

app = new_app("What a change of the rules would have done; list, show and repeat earlier back-tests.")

_SERVER_TIMEOUT_S = 20.0
JsonFile = Annotated[Path | None, typer.Option("--json", help="Also write the result here.")]


@app.callback(invoke_without_command=True)
def backtest(
    context: typer.Context,
    sql: Annotated[list[Path] | None, typer.Option("--sql", help="A changed SQL file; may be repeated.")] = None,
    define: Annotated[
        list[str] | None,
        typer.Option("--define", metavar="NAME=VALUE", help="A value in the place of the one that a file DEFINEs."),
    ] = None,
    limit: Annotated[
        list[str] | None, typer.Option("--limit", metavar="NAME=VALUE", help="A limit of the Python rules.")
    ] = None,
    mode: Annotated[
        list[str] | None, typer.Option("--mode", metavar="RULE=MODE", help="A rule as active, shadow or off.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Run the rules of --sql even where they mean the same.")
    ] = False,
    since: Annotated[str | None, typer.Option("--from", help="A day, or an instant: 2026-11-05T14:30, UTC.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="The last day, or the instant before which.")] = None,
    warm_up: Annotated[
        str | None, typer.Option("--warm-up", help="Begin so long before --from (90m, 2d), not at the beginning.")
    ] = None,
    until_offsets: Annotated[
        list[str] | None,
        typer.Option("--until-offsets", metavar="TOPIC:PARTITION:OFFSET,...", help="Read up to there, not to the end."),
    ] = None,
    data: Annotated[Path | None, typer.Option("--data", help="A file or folder of payments, not the topic.")] = None,
    label_days: Annotated[
        int, typer.Option("--label-days", min=0, help="Of files: after how many days a fraud is known.")
    ] = 7,
    layout: imports.LayoutOption = None,
    mapping: imports.MapOption = None,
    unit: imports.Unit = None,
    zone: imports.Zone = None,
    origin: imports.Origin = None,
    day_first: imports.DayFirst = None,
    decimal: imports.DecimalOption = None,
    json_file: JsonFile = None,
    accept: Annotated[
        bool, typer.Option("--accept", help="Then deploy the files of --sql, as `deploy --replace --from now` does.")
    ] = False,
    by: Annotated[str | None, typer.Option("--by", help="Who runs it; the login name if not given.")] = None,
    progress_lines: Annotated[bool, typer.Option("--progress-lines", hidden=True)] = False,
) -> None:
    """Run the rules that run (A) and the change (B) over the transactions of the topic, or of files, and compare the alerts.

    Nothing that runs is touched. The result is kept in the database: `backtest list`, `backtest show N [ALERT]`.
    """
    if context.invoked_subcommand is not None:
        _check_alone(context)
        return
    _check_json(json_file)
    from streamguard.evaluation import workers

    if data is None:
        # They import what they need while it is found out what is to be run.
        workers.context(workers.BACKTEST)
    from streamguard.backtest.prepare import Files, Request, at, duration_ms, prepare
    from streamguard.backtest.prepare import until_offsets as offsets_of

    how = imports.HowToRead(layout, mapping, unit, zone, origin, day_first, decimal)
    request = Request(
        sql=[sql_file(file) for file in sql or []],
        define=definitions(define or []),
        limits=limit or [],
        modes=mode or [],
        everything=everything,
        from_ms=None if since is None else at("--from", since),
        to_ms=None if until is None else at("--to", until, end=True),
        warm_up_ms=None if warm_up is None else duration_ms("--warm-up", warm_up),
        files=None if data is None else Files(data, layout, ",".join(mapping or []), how.options(), label_days),
        until=offsets_of(until_offsets or []),
    )
    if accept:
        _check_acceptable(request)
    spec = prepare(request, get_settings(), _stack(request), time.time_ns() // 1_000_000)
    text = _run(spec, as_lines=progress_lines)
    _write(json_file, text)
    who = by or getpass.getuser()
    number = _keep(spec, text, who)
    _show(text, number)
    if accept:
        _accept(request, spec, text, define or [], "a back-test" if number is None else f"back-test {number}", who)
    _check_labels(text)


def _check_acceptable(request: Request) -> None:
    """Raise InputError for a change that is more than SQL files, or none."""
    if not request.sql:
        raise InputError("--accept deploys the files of --sql, and none is given")
    if request.limits or request.modes:
        raise InputError(
            "--accept deploys SQL alone: leave out --limit and --mode, and set them with STREAMGUARD_RULES_* and"
            " `streamguard rules set`"
        )


def _accept(request: Request, spec: Spec, result: str, define: list[str], reason: str, who: str) -> None:
    """Deploy B. Raises BacktestError where a query of it has ended, and where the files are no longer those of the back-test."""
    from streamguard.backtest.accept import check_ended
    from streamguard.backtest.errors import BacktestError
    from streamguard.backtest.sides import read_change
    from streamguard.rules.replacements import NOW
    from streamguard.sqldeploy import variables_of

    check_ended(result)
    tested = {sql.key: sql.text for sql in spec.b.statements}
    change = read_change(request.sql, variables_of(get_settings()), request.define)
    if any(tested.get(key) != sql.text for key, sql in change.items()):
        raise BacktestError(
            "nothing is deployed: the files of --sql were changed while the back-test ran: run it again"
        )
    deploy(list(request.sql), define, replace=True, start=Start(NOW), reason=reason, by=who)


def _check_alone(context: typer.Context) -> None:
    """Options of a new back-test say nothing to the commands on old ones. Raises InputError."""
    sources = [context.get_parameter_source(name) for name in context.params]
    if any(source is not None and source.name == "COMMANDLINE" for source in sources):
        raise InputError(f"options before {context.invoked_subcommand} belong to a new back-test: leave them out")


@app.command("list")
def list_backtests() -> None:
    """The back-tests that were kept: number, when, who, command."""
    from streamguard.backtest.store import listed

    with database() as connection:
        found = listed(connection)
    for line in found:
        print_line(f"{line.backtest_no:>5}  {line.created_at:%Y-%m-%d %H:%M:%S}  {line.created_by:<12}  {line.command}")
    if not found:
        print_line("no back-tests")


@app.command()
def show(number: int, alert: Annotated[str | None, typer.Argument()] = None, json_file: JsonFile = None) -> None:
    """A result again, or one alert of it with its transactions on both sides."""
    import orjson

    from streamguard.backtest.show import alert_lines
    from streamguard.backtest.store import kept

    _check_json(json_file)
    with database() as connection:
        found = kept(connection, number)
    _write(json_file, found.result)
    if alert is None:
        print_line(f"{found.command}  ({found.created_by}, {found.created_at:%Y-%m-%d %H:%M:%S})")
        _show(found.result, number)
    else:
        print_lines(alert_lines(orjson.loads(found.result), alert))


@app.command()
def repeat(number: int, json_file: JsonFile = None) -> None:
    """Run a back-test once more on the same inputs; exits 1 where the result is another one."""
    from streamguard.backtest.spec import load
    from streamguard.backtest.store import kept

    _check_json(json_file)
    with database() as connection:
        found = kept(connection, number)
    text = _run(load(found.inputs))
    _write(json_file, text)
    if text != found.result:
        print_line(f"the result of back-test {number} is another one now: --json FILE has it", err=True)
        raise typer.Exit(1)
    print_line(f"back-test {number}: the same result, byte for byte")


def _stack(request: Request) -> Stack:
    """What runs: the server's SQL, the database's modes and lists. What does not answer is said, and its defaults are used."""
    from streamguard.backtest.prepare import Stack
    from streamguard.backtest.store import resolved_alerts
    from streamguard.rules.listed import stored_lists
    from streamguard.rules.modes import modes_of
    from streamguard.sqldeploy import DeployError
    from streamguard.sqldeploy.state import Server

    if request.files is not None:
        return Stack()
    server: Server | None = None
    try:
        answers = Server(get_settings().ksqldb, timeout_s=_SERVER_TIMEOUT_S)
        answers.queries()
        server = answers
    except DeployError as error:
        print_line(f"A is the catalogue's files: {error}", err=True)
    try:
        with database() as connection:
            return Stack(server, modes_of(connection), stored_lists(connection), resolved_alerts(connection))
    except DatabaseUnavailable as error:
        print_line(f"modes, lists and what analysts resolved are not known, defaults are used: {error}", err=True)
        return Stack(server)


def _run(spec: Spec, *, as_lines: bool = False) -> str:
    from streamguard.backtest.execute import execute, length
    from streamguard.backtest.result import encode
    from streamguard.producer.send import progress, progress_lines

    protection, count = _protection(), length(spec)
    shown = progress_lines(count) if as_lines else progress("transactions through both rule sets", count)
    with shown as advance:
        return encode(execute(spec, get_settings().kafka, advance, protection))


def _protection() -> Protection:
    """What the consumer does to personal data; nothing where there is no database, for then nothing is kept either."""
    from streamguard.privacy.mode import protection_of
    from streamguard.privacy.protection import NO_PROTECTION

    try:
        with database() as connection:
            return protection_of(connection, get_settings())
    except DatabaseUnavailable:
        return NO_PROTECTION


def _keep(spec: Spec, result: str, who: str) -> int | None:
    from streamguard.backtest.spec import dump
    from streamguard.backtest.store import keep

    command = shlex.join(["streamguard", *(argument for argument in sys.argv[1:] if argument != "--progress-lines")])
    try:
        with database() as connection:
            return keep(connection, command=command, inputs=dump(spec), result=result, who=who)
    except DatabaseUnavailable as error:
        print_line(f"the result is not kept, only shown: {error}", err=True)
        return None


def _show(text: str, number: int | None) -> None:
    """Print a result."""
    import orjson

    from streamguard.backtest.show import examples, lines

    result = orjson.loads(text)
    print_lines(lines(result))
    if number is not None:
        print_line(f"kept as back-test {number}")
        print_lines(examples(result, number))


def _check_labels(text: str) -> None:
    """Exit 1 where labels name transactions that are not there."""
    import orjson

    if unknown := orjson.loads(text)["labels"].get("unknown"):
        print_line(
            f"{len(unknown):,} labels of the topic fraud_labels name transactions that are not in the topic transactions,"
            f" such as {unknown[0]}: correct their transaction_id",
            err=True,
        )
        raise typer.Exit(1)


def _check_json(file: Path | None) -> None:
    if file is not None and (file.is_dir() or not file.parent.is_dir()):
        raise InputError(f"cannot write {file}: it is a folder, or in a folder that does not exist")


def _write(file: Path | None, text: str) -> None:
    if file is None:
        return
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {file}: {error.strerror or error}") from None

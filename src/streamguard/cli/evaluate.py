"""`streamguard evaluate`: how good the rules are, on the running stream's alerts or on labelled payments."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamguard.cli import import_options as imports
from streamguard.cli.shared import RuleSet, database, new_app, print_line, print_lines
from streamguard.config import get_settings
from streamguard.config.machine import without_collector
from streamguard.kafka.clients import kafka_errors
from streamguard.producer.errors import InputError

if TYPE_CHECKING:
    from streamguard.evaluation.data import LabelledPayment
    from streamguard.evaluation.replay import RuleSet as Rules
    from streamguard.evaluation.report import Figures, Report
    from streamguard.evaluation.scores import Scores

app = new_app("A scorecard of the rules against the truth.")


@app.command()
def evaluate(
    data: Annotated[
        Path | None, typer.Option("--data", help="A file or folder of labelled payments, instead of the stream.")
    ] = None,
    topic: Annotated[
        bool,
        typer.Option("--topic", help="The labelled payments of the topic transactions, once more through the rules."),
    ] = False,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="Frauds that the generator makes, a scorecard for each of its profiles.")
    ] = False,
    page: Annotated[
        Path | None, typer.Option("--page", help="With --simulated: write docs/scorecards.md, or another.")
    ] = None,
    sql: Annotated[
        list[Path] | None, typer.Option("--sql", help="SQL files in the place of those of ksqldb/rules.yaml.")
    ] = None,
    rules: Annotated[
        RuleSet, typer.Option("--rules", help="Which SQL rules: all, or the two of queries.sql.")
    ] = RuleSet.all,
    label_days: Annotated[int, typer.Option("--label-days", min=0, help="After how many days a fraud is known.")] = 7,
    test_start: Annotated[
        list[str] | None,
        typer.Option("--test-start", help="First day of a test week, 2018-07-25; may be repeated."),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--from", help="Figures of the days from this one on, as a whole.")
    ] = None,
    until: Annotated[str | None, typer.Option("--to", help="The last day of them.")] = None,
    layout: imports.LayoutOption = None,
    mapping: imports.MapOption = None,
    unit: imports.Unit = None,
    zone: imports.Zone = None,
    origin: imports.Origin = None,
    day_first: imports.DayFirst = None,
    decimal: imports.DecimalOption = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the scorecard here.")] = None,
) -> None:
    """Measure the rules against labels.

    Of the running stream: recall and delay by kind of fraud, false alerts by look-alike. With --data or --topic the payments
    go through the same SQL, Python rules and decision as in the stack, without a broker: precision, recall and F1 per rule and
    together; average precision, AUC, card precision@100 and money found, by test week.
    """
    if (data is not None) + topic + simulated > 1:
        raise InputError("--data, --topic and --simulated exclude each other")
    if page is not None and not simulated:
        raise InputError("--page needs --simulated")
    if json_file is not None and (json_file.is_dir() or not json_file.parent.is_dir()):
        raise InputError(f"cannot write {json_file}: it is a folder, or in a folder that does not exist")
    if simulated:
        result = _evaluate_simulated(_rules(sql, rules, live=False), page)
    elif data is None and not topic:
        if test_start or since or until:
            raise InputError("--test-start, --from and --to need --data, the labelled payments, or --topic")
        result = _evaluate_stream()
    else:
        how = imports.HowToRead(layout, mapping, unit, zone, origin, day_first, decimal)
        starts = [_day("--test-start", text) for text in test_start or []]
        first, last = (_day(option, text) if text else None for option, text in (("--from", since), ("--to", until)))
        with without_collector():
            payments = _payments_of(data, how)
            whole = _range(payments, first, last)
            result = _evaluate(payments, _rules(sql, rules, live=topic), label_days, starts, whole)
    if json_file is not None:
        try:
            json_file.write_text(json.dumps(result, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        except OSError as error:
            raise InputError(f"cannot write {json_file}: {error.strerror or error}") from None


def _evaluate_stream() -> dict[str, Any]:
    from streamguard.evaluation.stream import evaluate_topics

    with kafka_errors():
        evaluation = evaluate_topics(get_settings())
    print_lines(evaluation.lines())
    return evaluation.to_json()


def _evaluate_simulated(rules: Rules, page: Path | None) -> dict[str, Any]:
    from streamguard.evaluation.simulated import PROFILES, Span, page_of, scorecard

    found = [scorecard(profile, rules, Span()) for profile in PROFILES]
    text = page_of(found, Span(), "streamguard evaluate --simulated --page docs/scorecards.md")
    if page is None:
        print(text, end="")
    else:
        page.write_text(text, encoding="utf-8")
        print_line(f"wrote {page}")
    return {one.profile: one.evaluation.to_json() for one in found}


def _payments_of(data: Path | None, how: imports.HowToRead) -> list[LabelledPayment]:
    if data is None:
        from streamguard.evaluation.topic import read_topic

        with kafka_errors():
            return read_topic(get_settings())
    from streamguard.evaluation.files import read

    labelled = read(data, how.layout, ",".join(how.mapping or []), how.options())
    for line in labelled.files:
        print_line(line)
    if labelled.refusals.count:
        print_line(f"{labelled.refusals.count:,} rows are no payments and are left out, as the consumer refuses them:")
        for sentence in labelled.refusals.sentences():
            print_line(f"  {sentence}")
    return labelled.payments


def _rules(files: Sequence[Path] | None, which: RuleSet, *, live: bool) -> Rules:
    """What runs: of a running stack with its modes and lists, else as a fresh start has it."""
    from streamguard.config.resources import sql_file
    from streamguard.evaluation.replay import RuleSet as Rules
    from streamguard.rules.catalogue import sql_files
    from streamguard.rules.listed import stored_lists
    from streamguard.rules.modes import modes_of
    from streamguard.sqldeploy import variables_of

    paths = [sql_file(file) for file in files] if files else sql_files(which.value)
    given = variables_of(get_settings())
    if not live:
        return Rules(paths, given)
    with database() as connection:
        return Rules(paths, given, modes=modes_of(connection), lists=stored_lists(connection))


def _evaluate(
    payments: list[LabelledPayment],
    rules: Rules,
    label_days: int,
    starts: list[date],
    whole: tuple[date, date] | None,
) -> dict[str, Any]:
    from streamguard.evaluation.processes import processes_for
    from streamguard.evaluation.report import check_days, report
    from streamguard.evaluation.scores import score
    from streamguard.producer.send import progress

    if whole is None or starts:
        check_days(payments, starts)
    with progress("payments through the rules", len(payments)) as advance:
        scores = score(payments, rules, label_days, advance, processes_for(len(payments)))
    _warn(scores)
    found = report(payments, scores.of, starts, whole)
    for week in found.weeks:
        _show("Test week from", week)
    if found.whole is not None:
        _show("All payments from", found.whole)
    if len(found.weeks) > 1:
        _show_mean(found)
    return found.to_json()


def _warn(scores: Scores) -> None:
    """What the figures do not rest on."""
    for query_id, reason in scores.ended.items():
        print_line(f"the query {query_id} has ended: {reason}", err=True)
    for query_id, reasons in scores.skipped.items():
        counts = ", ".join(f"{count:,} {reason}" for reason, count in sorted(reasons.items()))
        print_line(f"the query {query_id} has left out {sum(reasons.values()):,} records ({counts})", err=True)
    for rule, count in scores.unknown.items():
        print_line(f"{count:,} alerts of {rule} name transactions that the rule was not given with them", err=True)


def _range(payments: Sequence[LabelledPayment], first: date | None, last: date | None) -> tuple[date, date] | None:
    """The days to report as a whole; None where none were asked for."""
    if first is None and last is None:
        return None
    begin, end = (date.fromordinal(date(1970, 1, 1).toordinal() + payments[n].day) for n in (0, -1))
    return first or begin, last or end


def _day(option: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InputError(f"{option} is {text!r}: a day such as 2018-07-25 is needed") from None


def _show(title: str, found: Figures) -> None:
    share = f", {100 * found.money_found / found.money:.1f} % of their money found" if found.money else ""
    print_line()
    print_line(f"{title} {found.start}: {found.payments:,} payments, {found.frauds:,} of them fraud{share}")
    print_line(f"  AP {found.average_precision:.3f}   AUC {found.auc:.3f}   CP@100 {found.card_precision_100:.3f}")
    for name, hits in found.rules.items():
        print_line(f"  {name:<21}{_shares(hits.precision, hits.recall, hits.f1)}   {hits.alerts:,} payments")


def _show_mean(found: Report) -> None:
    mean = found.mean()
    print_line()
    print_line(
        f"Mean of {len(found.weeks)} weeks: AP {mean['average_precision']:.3f}   AUC {mean['auc']:.3f}"
        f"   CP@100 {mean['card_precision_100']:.3f}"
    )
    for name, shares in found.rules().items():
        print_line(
            f"  {name:<21}{_shares(shares['precision'], shares['recall'], shares['f1'])}   {shares['alerts']:,} payments"
        )


def _shares(precision: float, recall: float, f1: float) -> str:
    return f"precision {precision:.3f}   recall {recall:.3f}   F1 {f1:.3f}"

"""`streamguard evaluate`: a scorecard of the rules, on the running stream or on labelled card data."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamguard.cli import import_options as imports
from streamguard.cli.shared import new_app
from streamguard.config import get_settings
from streamguard.kafka.clients import kafka_errors
from streamguard.producer.errors import InputError

if TYPE_CHECKING:
    from streamguard.evaluation.metrics import Hits
    from streamguard.evaluation.report import Report

app = new_app("A scorecard of the rules against the truth.")


@app.command()
def evaluate(
    data: Annotated[
        Path | None, typer.Option("--data", help="A file or folder of labelled payments, instead of the stream.")
    ] = None,
    test_start: Annotated[
        list[str] | None,
        typer.Option("--test-start", help="With --data: first day of a test week, 2018-07-25; may be repeated."),
    ] = None,
    layout: imports.LayoutOption = None,
    mapping: imports.MapOption = None,
    unit: imports.Unit = None,
    zone: imports.Zone = None,
    origin: imports.Origin = None,
    day_first: imports.DayFirst = None,
    decimal: imports.DecimalOption = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Without --data: also write the scorecard here.")
    ] = None,
) -> None:
    """Compare the alerts with the labels.

    Of the running stream: recall and delay by kind of fraud, false alerts by look-alike. With --data: precision, recall
    and F1 per rule and together; average precision, AUC, card precision@100, by week of test.
    """
    if data is None:
        if test_start:
            raise InputError("--test-start needs --data, the folder of the labelled card data")
        _evaluate_stream(json_file)
    else:
        if json_file is not None:
            raise InputError("--json is for the running stream: leave out --json, or --data")
        how = imports.HowToRead(layout, mapping, unit, zone, origin, day_first, decimal)
        _evaluate_data(data, how, [_day(text) for text in test_start or []])


def _evaluate_stream(json_file: Path | None) -> None:
    from streamguard.evaluation.stream import evaluate_topics

    if json_file is not None and (json_file.is_dir() or not json_file.parent.is_dir()):
        raise InputError(f"cannot write {json_file}: it is a folder, or in a folder that does not exist")
    with kafka_errors():
        evaluation = evaluate_topics(get_settings())
    print("\n".join(evaluation.lines()))
    if json_file is not None:
        try:
            json_file.write_bytes(evaluation.to_json())
        except OSError as error:
            raise InputError(f"cannot write {json_file}: {error.strerror or error}") from None


def _evaluate_data(data: Path, how: imports.HowToRead, starts: list[date]) -> None:
    from streamguard.evaluation.data import read
    from streamguard.evaluation.report import evaluate as run

    labelled = read(data, how.layout, ",".join(how.mapping or []), how.options())
    for line in labelled.files:
        print(line)
    if labelled.refusals.count:
        print(f"{labelled.refusals.count:,} rows are no payments and are left out, as the consumer refuses them:")
    for sentence in labelled.refusals.sentences():
        print(f"  {sentence}")
    reports = run(labelled.payments, starts)
    for report in reports:
        _show(report)
    if len(reports) > 1:
        count = len(reports)
        average_precision = sum(report.average_precision for report in reports) / count
        auc, cards = sum(r.auc for r in reports) / count, sum(r.card_precision for r in reports) / count
        print(f"\nMean of {count} weeks: AP {average_precision:.3f}   AUC {auc:.3f}   CP@100 {cards:.3f}")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InputError(f"--test-start is {text!r}: a day such as 2018-07-25 is needed") from None


def _show(report: Report) -> None:
    print(f"\nTest week from {report.start}: {report.payments:,} payments, {report.frauds} of them fraud")
    print(f"  AP {report.average_precision:.3f}   AUC {report.auc:.3f}   CP@100 {report.card_precision:.3f}")
    for name, found in {**report.rules, "together": report.together}.items():
        print(f"  {name:<18}{_hits(found)}")


def _hits(found: Hits) -> str:
    return f"precision {found.precision:.3f}   recall {found.recall:.3f}   F1 {found.f1:.3f}   {found.alerts:,} alerts"

"""`streamguard evaluate`: with --data the scorecard on labelled card data, without it the one of the running stream."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from streamguard.cli.shared import new_app
from streamguard.evaluation.data import read
from streamguard.evaluation.metrics import Hits
from streamguard.evaluation.report import Report
from streamguard.evaluation.report import evaluate as run

app = new_app("A scorecard of the rules on labelled card data.")


@app.command()
def evaluate(
    data: Annotated[Path, typer.Option("--data", help="The folder with transactions-*.csv.gz.")],
    test_start: Annotated[
        list[str] | None, typer.Option("--test-start", help="First day of a test week, 2018-07-25; may be repeated.")
    ] = None,
) -> None:
    """Precision, recall, F1 per rule and together; average precision, AUC, card precision@100; by week of test."""
    starts = [date.fromisoformat(text) for text in test_start or []]
    reports = run(read(data), starts)
    for report in reports:
        _show(report)
    if len(reports) > 1:
        count = len(reports)
        average_precision = sum(report.average_precision for report in reports) / count
        auc, cards = sum(r.auc for r in reports) / count, sum(r.card_precision for r in reports) / count
        print(f"\nMean of {count} weeks: AP {average_precision:.3f}   AUC {auc:.3f}   CP@100 {cards:.3f}")


def _show(report: Report) -> None:
    print(f"\nTest week from {report.start}: {report.payments:,} payments, {report.frauds} of them fraud")
    print(f"  AP {report.average_precision:.3f}   AUC {report.auc:.3f}   CP@100 {report.card_precision:.3f}")
    for name, found in {**report.rules, "together": report.together}.items():
        print(f"  {name:<18}{_hits(found)}")


def _hits(found: Hits) -> str:
    return f"precision {found.precision:.3f}   recall {found.recall:.3f}   F1 {found.f1:.3f}   {found.alerts:,} alerts"

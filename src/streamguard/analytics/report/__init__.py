"""One HTML page of all results: charts, tables and a sentence for each job. It opens without a network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
import orjson

from streamguard.analytics.report.charts import CHARTS, Chart
from streamguard.analytics.report.headlines import HEADLINES
from streamguard.analytics.report.words import cell, heading, is_number
from streamguard.analytics.run import Analysis, Result
from streamguard.config import UserError
from streamguard.config.extras import need
from streamguard.config.ksqldb import without_login
from streamguard.config.resources import DATA

MOST_ROWS = 25
"""Rows of a table that the page shows."""

Rows = list[dict[str, Any]]


class ReportError(UserError):
    """The report cannot be written."""


@dataclass(frozen=True)
class Table:
    """A table as the page shows it, of one currency: cells are texts; `numbers` says which columns are set to the right."""

    title: str
    headings: list[str]
    numbers: list[bool]
    rows: list[list[str]]
    of: int


@dataclass(frozen=True)
class Part:
    """What a job found in one currency."""

    currency: str
    headline: str
    charts: list[Chart]
    tables: list[Table]


def write_report(analysis: Analysis, folder: Path, now: datetime) -> Path:
    """Write `analysis-YYYYMMDD-HHMMSS.html` into a folder, which is made; returns the file. Raises ReportError."""
    file = folder / f"analysis-{now:%Y%m%d-%H%M%S}.html"
    page = render(analysis, now)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(page, encoding="utf-8")
    except OSError as error:
        raise ReportError(
            f"the report cannot be written to {file}: {error.strerror}; name another folder with --to"
        ) from None
    return file


def render(analysis: Analysis, now: datetime) -> str:
    """The page."""
    offline: Any = need("batch", "plotly.offline")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(DATA / "analytics"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    jobs = [(result, list(parts(result))) for result in analysis.results]
    counts = _payments_by_currency(analysis)
    currencies = sorted(counts, key=lambda currency: (-counts[currency], currency)) or sorted(
        {part.currency for _, found in jobs for part in found}
    )
    figures = [chart.figure for _, found in jobs for part in found for chart in part.charts]
    return environment.get_template("report.html").render(
        analysis=analysis,
        source=without_login(analysis.source),
        now=now,
        jobs=jobs,
        currencies=currencies,
        counts=counts,
        # A JSON text within a script, which no text of people may end.
        figures=orjson.dumps(figures).decode().replace("<", "\\u003c"),
        plotly=offline.get_plotlyjs().replace("</script", "<\\/script"),
    )


def parts(result: Result) -> Iterator[Part]:
    """What a job found, currency by currency."""
    rows = {name: table.to_pylist() for name, table in result.tables.items()}
    for currency in sorted({row["currency"] for table in rows.values() for row in table}):
        own = {name: [row for row in table if row["currency"] == currency] for name, table in rows.items()}
        tables = [_table(name, found) for name, found in own.items() if found]
        yield Part(currency, _headline(result.job.name, own), list(CHARTS[result.job.name](own)), tables)


def _headline(job: str, rows: Mapping[str, Rows]) -> str:
    return HEADLINES[job](rows)


def _table(name: str, rows: Rows) -> Table:
    columns = [column for column in rows[0] if column != "currency"]
    shown = rows[:MOST_ROWS]
    return Table(
        heading(name),
        [heading(column) for column in columns],
        [all(is_number(row[column]) for row in shown) for column in columns],
        [[cell(column, row[column]) for column in columns] for row in shown],
        len(rows),
    )


def _payments_by_currency(analysis: Analysis) -> dict[str, int]:
    """From the first table that has all payments of a currency."""
    for result in analysis.results:
        for name in ("by_day", "by_channel", "accounts"):
            if name in result.tables and {"currency", "payments"} <= set(result.tables[name].column_names):
                counts: dict[str, int] = {}
                for row in result.tables[name].select(["currency", "payments"]).to_pylist():
                    counts[row["currency"]] = counts.get(row["currency"], 0) + row["payments"]
                return counts
    return {}

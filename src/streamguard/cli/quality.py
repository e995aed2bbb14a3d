"""`streamguard quality`: the quality of the transactions, each figure with its limit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated

import typer

from streamguard.cli.shared import database, new_app, print_lines
from streamguard.config import get_settings
from streamguard.dead_letters.find import time_of
from streamguard.quality.report import MINUTE, Report, now_of, report
from streamguard.quality.words import limit, shown

app = new_app("The quality of the transactions: completeness, freshness, duplicates, late ones, volume.")

Since = Annotated[str, typer.Option("--since", help="Since a time, 2026-11-29T10:00 (UTC), or so long ago: 24h, 7d.")]
_VERDICTS = {True: "BREACHED", False: "ok", None: "-"}


@app.command()
def quality(
    since: Since = "24h",
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Every figure with its limit and a verdict; exits 1 where one is breached.

    What is usual: of a field its share in the seven days before, of the last hour the median of the same hour of the last weeks.
    """
    with database() as connection:
        until = now_of(connection) + MINUTE
        begin = time_of(since, until - MINUTE).replace(second=0, microsecond=0)
        found = report(connection, get_settings().transactions_topic, min(begin, until - MINUTE), until)
    if as_json:
        print(json.dumps(_plain(found), indent=2))
    else:
        print_lines(_lines(found))
    if found.breached:
        raise typer.Exit(1)


def _plain(found: Report) -> dict[str, object]:
    checks = [{**asdict(check), "breached": check.breached} for check in found.checks]
    return {
        "topic": found.topic,
        "since": found.since.isoformat(),
        "until": found.until.isoformat(),
        "breached": found.breached,
        **{name: getattr(found.sums, name) for name in ("records", "stored", "dead_letters", "duplicates", "late")},
        "checks": checks,
        "dead_letters_by_reason": found.refused,
    }


def _lines(found: Report) -> Iterator[str]:
    total = found.sums
    yield (
        f"{found.topic} since {found.since:%Y-%m-%d %H:%M} UTC: {total.records:,} records,"
        f" {total.stored:,} stored, {total.dead_letters:,} dead letters"
    )
    if not total.records:
        yield "nothing was read in this time"
        return
    yield ""
    yield f"{'':<26}{'value':>12}{'usual':>12}  {'limit':<22}verdict"
    for check in found.checks:
        name = f"{check.field} filled" if check.field else check.name
        yield (
            f"{name:<26}{shown(check, check.value):>12}{shown(check, check.usual):>12}"
            f"  {limit(check):<22}{_VERDICTS[check.breached]}"
        ).rstrip()
    if found.refused:
        yield ""
        yield "dead letters by reason:"
        yield from (f"{count:>12,}  {reason}" for reason, count in found.refused.items())

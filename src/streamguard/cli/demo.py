"""`streamguard demo border-evasion`: how many bursts lie across the border of a tumbling window, on the stored payments."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable
from typing import Annotated

import typer
from sqlalchemy import text

from streamguard.cli.shared import database, new_app

app = new_app("Demonstrations on the stored payments.")


@app.callback()
def _root() -> None:
    """Demonstrations on the stored payments."""


@app.command("border-evasion")
def border_evasion(
    minutes: Annotated[int, typer.Option("--minutes", min=1, help="The size of both windows.")] = 60,
    smallest: Annotated[int, typer.Option("--from", min=2, help="Bursts of so many transactions...")] = 3,
    largest: Annotated[int, typer.Option("--to", min=2, help="...to so many.")] = 4,
) -> None:
    """Count the bursts that a look-back window finds, and those that no tumbling window of the same size contains."""
    with database() as connection:
        rows = connection.execute(
            text(
                "SELECT account_id, CAST(extract(epoch FROM event_time) * 1000 AS BIGINT) AS at_ms FROM transactions"
                " ORDER BY event_time"
            )
        )
        transactions = [(row.account_id, row.at_ms) for row in rows]
    window_ms = minutes * 60_000
    print(f"{len(transactions):,} transactions, windows of {minutes} minutes")
    for size in range(smallest, largest + 1):
        found, missed = bursts(transactions, size, window_ms)
        share = f"{100 * missed / found:.0f} %" if found else "-"
        print(f"  bursts of {size}: look-back finds {found:,}; tumbling windows miss {missed:,} of them ({share})")


def bursts(payments: Iterable[tuple[str, int]], size: int, window_ms: int) -> tuple[int, int]:
    """How many bursts of `size` payments of an account within less than `window_ms` there are, and how many of them no
    tumbling window contains whole. Payments come by time (epoch ms); a payment belongs to one burst only.
    """
    recent: defaultdict[str, deque[int]] = defaultdict(deque)
    found = missed = 0
    for account, at in payments:
        times = recent[account]
        times.append(at)
        while at - times[0] >= window_ms:
            times.popleft()
        if len(times) == size:
            found += 1
            missed += times[0] // window_ms != at // window_ms
            times.clear()
    return found, missed

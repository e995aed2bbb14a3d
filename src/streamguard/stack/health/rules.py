"""Rules that were replaced, and the shadow: what was begun and left, and what does not count."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import text

from streamguard.sqldeploy.journal import DROPPING, PROMOTING, open_shadow
from streamguard.stack.health.base import Context, Finding, check
from streamguard.stack.health.database import has_tables

_OPEN = """
SELECT rule, start, (SELECT count(*) FROM held_alerts h WHERE h.rule = r.rule) AS held FROM rule_replacements r
WHERE finished_at IS NULL AND replaced_at < clock_timestamp() - CAST(:limit_s AS FLOAT) * INTERVAL '1 second' ORDER BY rule
"""
_LEFT_OUT = """
SELECT rule, left_out, replaced_at FROM rule_replacements WHERE left_out > 0 AND applies ORDER BY replacement_no DESC
"""
_HELD = """
SELECT count(*) AS alerts, coalesce(extract(epoch FROM clock_timestamp() - min(held_at)), 0)::FLOAT AS oldest_s
FROM held_alerts h WHERE NOT EXISTS (SELECT FROM rule_replacements r WHERE r.rule = h.rule AND r.finished_at IS NULL)
"""


@check("The replacement of a rule is not finished")
def replacement_open(context: Context) -> Iterator[Finding]:
    """A deployment or a promotion was killed, or failed, between the old rule and the new one."""
    if context.database is None or not has_tables(context):
        return
    for row in context.database.execute(text(_OPEN), {"limit_s": context.limit_s}):
        held = f", {row.held:,} alerts wait for it" if row.held else ""
        yield Finding(
            f"the replacement of {row.rule} from {row.start} on was begun and is not finished{held}: repeat the command,"
            " `streamguard deploy --replace` or `streamguard rules promote`"
        )


@check("A shadow was not promoted or dropped whole")
def shadow_left(context: Context) -> Iterator[Finding]:
    """`rules promote` or `rules drop-shadow` was killed, or failed."""
    if context.database is None or not has_tables(context):
        return
    shadow = open_shadow(context.database)
    if shadow is None or shadow.quiet_s < context.limit_s:
        return
    if shadow.state == PROMOTING:
        yield Finding(
            f"the promotion of {shadow.names} was begun and is not finished: `streamguard rules promote` finishes it"
        )
    elif shadow.state == DROPPING:
        yield Finding(
            f"the shadow of {shadow.names} is dropped in part: `streamguard rules drop-shadow` removes the rest"
        )


@check("A shadow runs")
def shadow_runs(context: Context) -> Iterator[Finding]:
    """SQL files run beside the live ones, which takes as much of the engine as these."""
    if context.database is None or not has_tables(context):
        return
    shadow = open_shadow(context.database)
    if shadow is not None and shadow.state not in (PROMOTING, DROPPING):
        yield Finding(
            f"{shadow.names} runs as a shadow since {shadow.made_at:%Y-%m-%d %H:%M} ({shadow.made_by}): see `streamguard rules"
            " compare`, then promote or drop it",
            serious=False,
        )


@check("Alerts on earlier transactions were left out")
def left_out(context: Context) -> Iterator[Finding]:
    """A rule that was replaced from now on has found older transactions too, as it read its topics from the beginning."""
    if context.database is None or not has_tables(context):
        return
    rows = list(context.database.execute(text(_LEFT_OUT)))
    if rows:
        counts = ", ".join(f"{row.left_out:,} of {row.rule} ({row.replaced_at:%Y-%m-%d})" for row in rows[:3])
        more = f" and {len(rows) - 3} more replacements" if len(rows) > 3 else ""
        yield Finding(
            f"alerts on transactions before the replacement of their rule were left out: {counts}{more}; see `streamguard"
            " rules history`",
            serious=False,
        )


@check("Alerts are held at the replacement of their rule")
def held(context: Context) -> Iterator[Finding]:
    """It is not known yet on which side of the limit their transaction is: the consumer has not read so far."""
    if context.database is None or not has_tables(context):
        return
    found = context.database.execute(text(_HELD)).one()
    if found.alerts and found.oldest_s > context.limit_s:
        yield Finding(
            f"{found.alerts:,} alerts wait until the consumer has read the transactions before the replacement of their rule,"
            f" the oldest for {found.oldest_s:.0f} s; see `streamguard logs consumer`"
        )

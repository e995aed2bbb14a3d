"""One sentence for each job: what stands out in a currency."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from streamguard.analytics.report.words import WEEKDAYS, money, percent

Rows = Mapping[str, list[dict[str, Any]]]

HEADLINES: dict[str, Callable[[Rows], str]] = {}
_NAMES = {"flat": "the flat rate", "progressive": "progressive", "tiered": "tiered", "by_category": "by category"}


def _headline(job: str) -> Callable[[Callable[[Rows], str]], Callable[[Rows], str]]:
    def register(make: Callable[[Rows], str]) -> Callable[[Rows], str]:
        HEADLINES[job] = make
        return make

    return register


@_headline("commission")
def _commission(rows: Rows) -> str:
    found = rows["by_category"]
    if not found:
        return "No payment earned commission."
    sums = {name: sum(row[name] for row in found) for name in _NAMES}
    best = max(sums, key=lambda name: sums[name])
    often, count = Counter(row["best"] for row in found).most_common(1)[0]
    rest = f"; {_NAMES[often]} is best in {count} of {len(found)} categories" if often != best else ""
    against = "" if best == "flat" else f", against {money(sums['flat'])} at the flat rate"
    return f"Over all, {_NAMES[best]} earns most: {money(sums[best])}{against}{rest}."


@_headline("patterns")
def _patterns(rows: Rows) -> str:
    hour = max(rows["by_hour"], key=lambda row: row["payments"])
    per_day = max(rows["by_weekday"], key=lambda row: row["payments"] / row["days"])
    return (
        f"Most payments come from {hour['hour']:02d}:00 to {(hour['hour'] + 1) % 24:02d}:00 UTC, and on"
        f" {WEEKDAYS[per_day['weekday'] - 1]}s: {per_day['payments'] / per_day['days']:,.0f} on such a day."
    )


@_headline("segments")
def _segments(rows: Rows) -> str:
    found = {row["segment"]: row for row in rows["by_segment"]}
    best = found.get("best customers") or rows["by_segment"][0]
    losing = [found[name] for name in ("best customers, nearly lost", "slipping away") if name in found]
    sentence = (
        f"The segment “{best['segment']}”, {percent(best['accounts_share'])} of the accounts, spends"
        f" {percent(best['amount_share'])} of the money"
    )
    if not losing:
        return sentence + "."
    accounts, share = sum(row["accounts"] for row in losing), sum(row["amount_share"] for row in losing)
    return f"{sentence}; {accounts:,} accounts with {percent(share)} of it have not paid lately."


@_headline("lifetime")
def _lifetime(rows: Rows) -> str:
    [found], [top] = rows["by_currency"], rows["top_tenth"]
    sentence = f"{found['accounts']:,} accounts have brought {money(found['commission'])}"
    if top["share"] is not None:
        sentence += f", {percent(top['share'])} of it the most valuable tenth"
    if found["expected"] is None:
        return f"{sentence}. What they may bring takes sixty days of payments to say."
    return f"{sentence}; {money(found['expected'])} may come in the next twelve months."


@_headline("channels")
def _channels(rows: Rows) -> str:
    most = rows["by_channel"][0]
    preferred = max(rows["by_channel"], key=lambda row: row["preferred_by"])
    return (
        f"{percent(most['payments_share'])} of the payments go through {most['channel']};"
        f" {percent(preferred['preferred_share'])} of the accounts prefer {preferred['channel']}."
    )


@_headline("merchants")
def _merchants(rows: Rows) -> str:
    found = rows["merchants"]
    if not found:
        return "No payment names its merchant."
    high = [row for row in found if row["risk"] == "high"]
    sold = sum(row["amount"] for row in found)
    tenth = sum(row["amount"] for row in found[: max(1, len(found) // 10)])
    return (
        f"The largest tenth of {len(found):,} merchants sells {percent(float(tenth) / float(sold))} of all;"
        f" {len(high):,} {'is' if len(high) == 1 else 'are'} of high risk."
    )


@_headline("revenue")
def _revenue(rows: Rows) -> str:
    brought = sum(row["commission"] for row in rows["by_day"])
    sentence = f"{money(brought)} came in on {len(rows['by_day'])} days"
    if not rows["error"]:
        return f"{sentence}; a forecast takes four whole weeks."
    error, expected = rows["error"][0], sum(row["expected"] for row in rows["forecast"])
    return (
        f"{sentence}; {money(expected)} may come in the next two weeks. Such a forecast was {percent(error['error'])} off,"
        f" “as a week before” {percent(error['error_same_day_last_week'])}."
    )


@_headline("losses")
def _losses(rows: Rows) -> str:
    found = next(iter(rows["by_currency"]), None)
    if found is None or not found["frauds"]:
        return "No fraud is known: there are no labels, and no analyst has confirmed an alert."
    return (
        f"Of {found['frauds']:,} frauds of {money(found['frauds_amount'])} the rules saved {money(found['saved_amount'])}"
        f" ({percent(found['saved_share'] or 0)}); {money(found['lost_amount'])} were lost, and"
        f" {found['honest_blocked']:,} honest payments blocked."
    )

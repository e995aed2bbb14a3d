"""The same questions answered by plain Python, one payment after the other: shares no code with the jobs."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

Row = dict[str, Any]
Tables = dict[str, list[Row]]
ZERO = Decimal(0)


class Reading:
    """`payments` and `decisions` as rows; the rates as numbers by name."""

    def __init__(self, payments: list[Row], decisions: list[Row], since: datetime, until: datetime) -> None:
        self.payments, self.decisions, self.since, self.until = payments, decisions, since, until
        self.categories = {"grocery": Decimal("0.0125"), "electronics": Decimal("0.015001")}
        self.cases = self._cases()

    def commission(self) -> Tables:
        kinds = ("flat", "progressive", "tiered", "by_category")

        def rows(key: str) -> list[Row]:
            found = []
            for (currency, name), group in grouped(
                (p for p in self.payments if earns(p)), lambda p: (p["currency"], p[key] or "unknown")
            ):
                amount = total(group)
                sums = {kind: sum((self._earned(p)[kind] for p in group), ZERO) for kind in kinds}
                rates = {f"{kind}_rate": float(sums[kind]) / float(amount) for kind in kinds}
                best = max(kinds, key=lambda kind: sums[kind])
                found.append(
                    {
                        "currency": currency,
                        key: name,
                        "payments": len(group),
                        "amount": amount,
                        **sums,
                        **rates,
                        "best": best,
                    }
                )
            return found

        return {"by_category": rows("merchant_category"), "by_type": rows("transaction_type")}

    def _earned(self, payment: Row) -> dict[str, Decimal]:
        amount = payment["amount"]
        if not earns(payment):
            return dict.fromkeys(("flat", "progressive", "tiered", "by_category"), ZERO)
        if amount <= 100:
            progressive = amount * Decimal("0.01")
        elif amount <= 1000:
            progressive = 1 + (amount - 100) * Decimal("0.02")
        else:
            progressive = 1 + 18 + (amount - 1000) * Decimal("0.03")
        tier = "0.03" if amount < 100 else "0.02" if amount < 1000 else "0.01"
        return {
            "flat": amount * Decimal("0.02"),
            "progressive": progressive,
            "tiered": amount * Decimal(tier),
            "by_category": amount * self.categories.get(payment["merchant_category"], Decimal("0.02")),
        }

    def patterns(self) -> Tables:
        def rows(*keys: str) -> list[Row]:
            def key(p: Row) -> tuple[Any, ...]:
                at = p["event_time"]
                return (p["currency"], *({"hour": at.hour, "weekday": at.isoweekday()}[name] for name in keys))

            return [
                {
                    **dict(zip(("currency", *keys), found, strict=True)),
                    "payments": len(group),
                    "amount": total(group),
                    "days": len({p["day"] for p in group}),
                    "average": average(group),
                }
                for found, group in grouped(self.payments, key)
            ]

        by_day = [
            {"currency": c, "day": d, "payments": len(g), "amount": total(g), "average": average(g)}
            for (c, d), g in grouped(self.payments, lambda p: (p["currency"], p["event_time"].date()))
        ]
        return {
            "by_hour": rows("hour"),
            "by_weekday": rows("weekday"),
            "by_hour_of_week": rows("weekday", "hour"),
            "by_day": by_day,
            "peaks": self._peaks(),
        }

    def _peaks(self) -> list[Row]:
        hours: dict[str, dict[datetime, list[Row]]] = defaultdict(lambda: defaultdict(list))
        for p in self.payments:
            hours[p["currency"]][p["event_time"].replace(minute=0, second=0, microsecond=0)].append(p)
        found = []
        for currency in sorted(hours):
            same = defaultdict(list)
            for at, group in hours[currency].items():
                same[at.weekday(), at.hour].append(len(group))
            usual = {at: sum(same[at.weekday(), at.hour]) / len(same[at.weekday(), at.hour]) for at in hours[currency]}
            order = sorted(hours[currency], key=lambda at: (usual[at] - len(hours[currency][at]), at))
            for rank, at in enumerate(order[:10], 1):
                count = len(hours[currency][at])
                if count > usual[at]:
                    amount = total(hours[currency][at])
                    row = {"currency": currency, "rank": rank, "at": at, "payments": count, "amount": amount}
                    found.append({**row, "usual": usual[at], "times": count / usual[at]})
        return found

    def channels(self) -> Tables:
        used = dict(grouped(self.payments, lambda p: (p["currency"], p["account_id"], p["channel"] or "unknown")))
        best: dict[tuple[str, str], tuple[Any, ...]] = {}
        for (currency, account, channel), group in used.items():
            offered = (-len(group), -total(group), channel)
            best[currency, account] = min(best.get((currency, account), offered), offered)
        prefers = Counter((currency, found[2]) for (currency, _), found in best.items())
        accounts = Counter((currency, channel) for currency, _, channel in used)
        by_channel = []
        all_of = dict(grouped(self.payments, lambda p: p["currency"]))
        for (currency, channel), group in grouped(self.payments, lambda p: (p["currency"], p["channel"] or "unknown")):
            preferring = sum(count for (c, _), count in prefers.items() if c == currency)
            by_channel.append(
                {
                    "currency": currency,
                    "channel": channel,
                    "payments": len(group),
                    "amount": total(group),
                    "accounts": accounts[currency, channel],
                    "preferred_by": prefers[currency, channel],
                    "average": average(group),
                    "payments_share": len(group) / len(all_of[currency]),
                    "amount_share": float(total(group)) / float(total(all_of[currency])),
                    "preferred_share": prefers[currency, channel] / preferring,
                }
            )
        by_channel.sort(key=lambda row: (row["currency"], -row["payments"], row["channel"]))
        by_category = [
            {
                "currency": c,
                "channel": ch,
                "merchant_category": cat,
                "payments": len(g),
                "amount": total(g),
                "average": average(g),
            }
            for (c, ch, cat), g in grouped(
                self.payments,
                lambda p: (p["currency"], p["channel"] or "unknown", p["merchant_category"] or "unknown"),
            )
        ]
        return {"by_channel": by_channel, "by_category": by_category}

    def segments(self) -> Tables:
        accounts = []
        for (currency, account), group in grouped(self.payments, lambda p: (p["currency"], p["account_id"])):
            last = max(p["event_time"] for p in group)
            row = {"currency": currency, "account_id": account, "last_at": last}
            accounts.append({**row, "payments": len(group), "amount": total(group)})
        for _, group in grouped(accounts, lambda a: a["currency"]):
            for score, column in (("recency", "last_at"), ("frequency", "payments"), ("spend", "amount")):
                values = sorted(a[column] for a in group)
                for a in group:
                    a[score] = values.index(a[column]) * 5 // len(group) + 1
        for a in accounts:
            a["segment"] = _segment(a["recency"], a["frequency"], a["spend"])
        clusters = _lloyd([(a["recency"], a["frequency"], a["spend"]) for a in accounts])
        for a in accounts:
            a["cluster"] = clusters[a["recency"], a["frequency"], a["spend"]]
        accounts.sort(key=lambda a: (a["currency"], -a["amount"], a["account_id"]))
        return {
            "by_segment": self._sizes(accounts, "segment"),
            "by_cluster": self._sizes(accounts, "cluster"),
            "accounts": accounts,
        }

    def _sizes(self, accounts: list[Row], key: str) -> list[Row]:
        found = []
        of_currency = dict(grouped(accounts, lambda a: a["currency"]))
        for (currency, name), group in grouped(accounts, lambda a: (a["currency"], a[key])):
            everybody = of_currency[currency]
            row = {"currency": currency, key: name, "accounts": len(group)}
            row |= {"payments": sum(a["payments"] for a in group), "amount": total(group)}
            row |= {f"mean_{s}": sum(a[s] for a in group) / len(group) for s in ("recency", "frequency", "spend")}
            row |= {"accounts_share": len(group) / len(everybody)}
            row |= {"amount_share": float(total(group)) / float(total(everybody))}
            found.append(row)
        return sorted(found, key=lambda row: (row["currency"], -row["amount"], row[key]))

    def lifetime(self) -> Tables:
        month = timedelta(days=30)
        enough = self.until - self.since >= 2 * month
        accounts: list[Row] = []
        for (currency, account), group in grouped(self.payments, lambda p: (p["currency"], p["account_id"])):
            times = [p["event_time"] for p in group]
            row = {"currency": currency, "account_id": account, "payments": len(group), "amount": total(group)}
            row["commission"] = sum((self._earned(p)["flat"] for p in group), ZERO)
            row |= {"first_at": min(times), "last_at": max(times)}
            row["monthly"] = float(row["commission"]) / max((self.until - min(times)) / month, 1.0)
            row["months_idle"] = (self.until - max(times)) // month
            row["before"] = any(self.until - 2 * month <= at < self.until - month for at in times)
            row["lately"] = max(times) >= self.until - month
            accounts.append(row)
        by_currency, top = [], []
        for currency, group in grouped(accounts, lambda a: a["currency"]):
            before = [a for a in group if a["before"]]
            kept = sum(a["lately"] for a in before) / len(before) if enough and before else None
            for a in group:
                future = None if kept is None else sum(kept ** (a["months_idle"] + n) for n in range(1, 13))
                a["expected"] = None if future is None else a["monthly"] * future
            row = {"currency": currency, "retention": kept, "accounts": len(group)}
            row |= {"payments": sum(a["payments"] for a in group), "amount": total(group)}
            row |= {"commission": sum((a["commission"] for a in group), ZERO)}
            by_currency.append({**row, "expected": None if kept is None else sum(a["expected"] for a in group)})
            group.sort(key=lambda a: (-a["commission"], a["account_id"]))
            best = group[: len(group) // 10]
            brought = sum((a["commission"] for a in best), ZERO) if best else None
            share = None if brought is None or not row["commission"] else float(brought) / float(row["commission"])
            top.append({"currency": currency, "accounts": len(best), "commission": brought, "share": share})
        accounts.sort(key=lambda a: (a["currency"], -a["commission"], a["account_id"]))
        wanted = "currency account_id payments amount commission first_at last_at monthly months_idle expected".split()
        return {
            "by_currency": by_currency,
            "top_tenth": top,
            "accounts": [{name: a[name] for name in wanted} for a in accounts],
        }

    def merchants(self) -> Tables:
        cases = dict(grouped(self.cases, lambda p: (p["currency"], p["merchant_id"])))
        rows: list[Row] = []
        for (currency, merchant), group in grouped(self.payments, lambda p: (p["currency"], p["merchant_id"])):
            flagged = cases.get((currency, merchant), [])
            frauds = [p for p in flagged if p["fraud"]]
            row = {"currency": currency, "merchant_id": merchant}
            row |= {
                name: max((p[name] for p in group if p[name]), default=None)
                for name in ("merchant_name", "merchant_category")
            }
            row |= {"payments": len(group), "amount": total(group)}
            row |= {"commission": sum((self._earned(p)["flat"] for p in group), ZERO)}
            row |= {"accounts": len({p["account_id"] for p in group}), "frauds": len(frauds)}
            row |= {
                name: sum(p["outcome"] == word for p in flagged)
                for name, word in (("blocked", "block"), ("reviewed", "review"))
            }
            row |= {"fraud_amount": total(frauds), "average": average(group), "fraud_share": len(frauds) / len(group)}
            rows.append(row)
        for _, group in grouped(rows, lambda r: r["currency"]):
            mean = sum(r["frauds"] for r in group) / sum(r["payments"] for r in group)
            for r in group:
                r["risk_share"] = (r["frauds"] + 50 * mean) / (r["payments"] + 50)
                r["risk"] = (
                    "high" if r["risk_share"] > 3 * mean else "raised" if r["risk_share"] > 1.5 * mean else "usual"
                )
        by_category = []
        for (currency, category), group in grouped(
            rows, lambda r: (r["currency"], r["merchant_category"] or "unknown")
        ):
            row = {"currency": currency, "merchant_category": category, "merchants": len(group)}
            row |= {name: sum(r[name] for r in group) for name in ("payments", "frauds", "blocked", "reviewed")}
            row |= {"amount": total(group), "fraud_amount": sum((r["fraud_amount"] for r in group), ZERO)}
            row["fraud_share"] = row["frauds"] / row["payments"]
            row["fraud_amount_share"] = float(row["fraud_amount"]) / float(row["amount"])
            by_category.append(row)
        rows.sort(key=lambda r: (r["currency"], -r["amount"], r["merchant_id"]))
        return {"merchants": rows, "by_category": by_category}

    def losses(self) -> Tables:
        def figures(group: list[Row]) -> Row:
            row: Row = {}
            which_are: tuple[tuple[str, Callable[[Row], bool]], ...] = (
                ("frauds", lambda p: p["fraud"]),
                ("saved", lambda p: p["fraud"] and p["outcome"] == "block"),
                ("in_review", lambda p: p["fraud"] and p["outcome"] == "review"),
                ("lost", lambda p: p["fraud"] and p["outcome"] == "nothing"),
                ("honest_blocked", lambda p: not p["fraud"] and p["outcome"] == "block"),
                ("honest_reviewed", lambda p: not p["fraud"] and p["outcome"] == "review"),
            )
            for name, holds in which_are:
                which = [p for p in group if holds(p)]
                row |= {name: len(which), f"{name}_amount": total(which)}
            amount = row["frauds_amount"]
            return {**row, "saved_share": float(row["saved_amount"]) / float(amount) if amount else None}

        by_day = [
            {"currency": c, "day": d, **figures(g)}
            for (c, d), g in grouped(self.cases, lambda p: (p["currency"], p["event_time"].date()))
        ]
        case = {p["transaction_id"]: p for p in self.cases}
        flagged = {
            (case[d["transaction_id"]]["currency"], d["rule"], d["transaction_id"])
            for d in self.decisions
            if d["decided_by"] == "rules" and d["outcome"] in ("block", "review")
        }
        by_rule = []
        for (currency, rule), group in grouped(flagged, lambda f: f[:2]):
            payments = [case[transaction_id] for _, _, transaction_id in group]
            frauds = [p for p in payments if p["fraud"]]
            row = {"currency": currency, "rule": rule, "flagged": len(payments), "flagged_amount": total(payments)}
            row |= {"frauds": len(frauds), "frauds_amount": total(frauds), "right": len(frauds) / len(payments)}
            by_rule.append(row)
        by_currency = [{"currency": c, **figures(g)} for c, g in grouped(self.cases, lambda p: p["currency"])]
        return {"by_currency": by_currency, "by_day": by_day, "by_rule": by_rule}

    def _cases(self) -> list[Row]:
        outcomes: dict[str, set[str]] = defaultdict(set)
        words: dict[str, dict[str, tuple[datetime, str]]] = defaultdict(dict)
        for d in self.decisions:
            if d["decided_by"] == "rules":
                outcomes[d["transaction_id"]].add(d["outcome"])
            else:
                said = (d["decided_at"], d["outcome"])
                of_alert = words[d["transaction_id"]]
                of_alert[d["alert_id"]] = max(of_alert.get(d["alert_id"], said), said)
        found = []
        for p in self.payments:
            name = p["transaction_id"]
            confirmed = any(word == "confirmed" for _, word in words[name].values()) if name in words else False
            fraud = confirmed if p["is_fraud"] is None else p["is_fraud"]
            rules = outcomes.get(name, set())
            outcome = "block" if "block" in rules else "review" if "review" in rules else "nothing"
            if fraud or outcome != "nothing":
                found.append({**p, "fraud": fraud, "outcome": outcome})
        return found

    def revenue(self) -> Tables:
        by_day: list[Row] = []
        by_month: dict[tuple[str, str], Row] = {}
        for (currency, day), group in grouped(self.payments, lambda p: (p["currency"], p["event_time"].date())):
            earned = sum((self._earned(p)["flat"] for p in group), ZERO)
            by_day.append(
                {"currency": currency, "day": day, "payments": len(group), "amount": total(group), "commission": earned}
            )
            month = f"{day:%Y-%m}"
            row = by_month.setdefault(
                (currency, month),
                {"currency": currency, "month": month, "payments": 0, "amount": ZERO, "commission": ZERO},
            )
            row["payments"] += len(group)
            row["amount"] += total(group)
            row["commission"] += earned
        whole = [self.since.date() + timedelta(days=n) for n in range(400)]
        midnight = [
            day
            for day in whole
            if self._begins(day) >= self.since and self._begins(day) + timedelta(days=1) <= self.until
        ]
        expected, errors = [], []
        for currency in sorted({row["currency"] for row in by_day}):
            earned_on = {row["day"]: float(row["commission"]) for row in by_day if row["currency"] == currency}
            values = [earned_on.get(day, 0.0) for day in midnight]
            held = min(14, len(values) // 4)
            if len(values) < 28 or not sum(values[-held:]):
                continue
            known, truth = values[:-held], values[-held:]
            error = sum(abs(a - b) for a, b in zip(_line(known, held), truth, strict=True)) / sum(truth)
            week = sum(abs(known[len(known) - 7 + n % 7] - truth[n]) for n in range(held)) / sum(truth)
            errors.append(
                {
                    "currency": currency,
                    "days": len(values),
                    "held_out": held,
                    "error": error,
                    "error_same_day_last_week": week,
                }
            )
            for n, value in enumerate(_line(values, 14), 1):
                day = midnight[-1] + timedelta(days=n)
                low, high = max(0.0, value * (1 - error)), value * (1 + error)
                expected.append({"currency": currency, "day": day, "expected": value, "low": low, "high": high})
        return {"by_month": list(by_month.values()), "by_day": by_day, "forecast": expected, "error": errors}

    def _begins(self, day: date) -> datetime:
        return datetime(day.year, day.month, day.day, tzinfo=self.since.tzinfo)


def _line(values: list[float], ahead: int) -> list[float]:
    """Least squares through what is left when each weekday's usual part is taken out; the formula of a textbook."""
    while len(values) % 7:
        values = values[1:]
    mean = sum(values) / len(values)
    part = [sum(values[n::7]) / (len(values) // 7) / mean if mean else 1.0 for n in range(7)]
    points = [(n, value / part[n % 7]) for n, value in enumerate(values) if part[n % 7]]
    if len(points) < 2:
        return [0.0] * ahead
    x = sum(n for n, _ in points) / len(points)
    y = sum(v for _, v in points) / len(points)
    slope = sum((n - x) * (v - y) for n, v in points) / sum((n - x) ** 2 for n, _ in points)
    first = len(values)
    return [max(0.0, (y + slope * (n - x)) * part[n % 7]) for n in range(first, first + ahead)]


def _segment(recency: int, frequency: int, spend: int) -> str:
    if recency <= 2:
        if frequency >= 4 and spend >= 4:
            return "best customers, nearly lost"
        return "slipping away" if max(frequency, spend) >= 3 else "dormant"
    if recency >= 4 and frequency >= 4 and spend >= 4:
        return "best customers"
    if frequency >= 4:
        return "loyal"
    if spend >= 4:
        return "big spenders"
    return "new or back again" if recency >= 4 and frequency <= 2 else "regular"


def _lloyd(points: list[tuple[int, ...]]) -> dict[tuple[int, ...], str]:
    """By floating point, and over every account: near enough to fractions that no point changes sides."""
    counts = Counter(points)
    cells = sorted(counts)
    heaviest = max(cells, key=lambda cell: (counts[cell], cell))
    centres: list[tuple[float, ...]] = [heaviest]
    while len(centres) < min(4, len(cells)):
        centres.append(max(cells, key=lambda cell: (min(math.dist(cell, c) for c in centres), cell)))
    while True:
        nearest = {
            cell: min(range(len(centres)), key=lambda n: (round(math.dist(cell, centres[n]), 9), n)) for cell in cells
        }
        moved = []
        for n, centre in enumerate(centres):
            members = [point for point in points if nearest[point] == n]
            moved.append(tuple(sum(axis) / len(members) for axis in zip(*members, strict=True)) if members else centre)
        if moved == centres:
            break
        centres = moved
    names: list[str] = []
    for centre in centres:
        choices = (
            ("paid lately", "paid a while ago", "not seen for long"),
            ("often", "now and then", "seldom"),
            ("high spend", "middle spend", "low spend"),
        )
        name = ", ".join(c[0] if v >= 3.5 else c[2] if v <= 2.5 else c[1] for v, c in zip(centre, choices, strict=True))
        earlier = sum(known.startswith(name) for known in names)
        names.append(name if not earlier else f"{name} ({earlier + 1})")
    return {cell: names[n] for cell, n in nearest.items()}


def earns(payment: Row) -> bool:
    """Cash that is drawn earns nothing."""
    return bool(payment["transaction_type"] != "withdraw")


def total(rows: Iterable[Row]) -> Decimal:
    """The sum of amounts."""
    return sum((row["amount"] for row in rows), ZERO)


def average(rows: list[Row]) -> Decimal:
    """Rounded half up to four places."""
    return (total(rows) / len(rows)).quantize(Decimal("0.0001"), ROUND_HALF_UP)


def grouped(rows: Iterable[Any], key: Callable[[Any], Any]) -> list[tuple[Any, list[Any]]]:
    """Groups by key, in the order of the keys."""
    groups: dict[Any, list[Any]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return sorted(groups.items())

"""The pages of analytics: live figures by range and currency, results of batch jobs, and what is said where there are none."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest

from streamguard.models import show_amount
from tests.streamguard.desk.conftest import Client
from tests.streamguard.desk.figures import keep_figures, keep_result
from tests.support.desk import Desk

PAGES = ("commission", "merchants", "customers", "channels")
NOON = datetime(2026, 3, 4, 12, 0, tzinfo=timezone.utc)


@pytest.mark.parametrize("page", PAGES)
def test_without_figures_or_results_each_page_says_how_to_have_some(client: Client, page: str) -> None:
    text = client("viewer").get(f"/analytics/{page}").text
    assert "No live figures yet" in text and "streamguard up --with figures" in text
    assert "streamguard analyse" in text


def test_the_sums_of_a_range_are_those_of_its_windows_and_of_one_currency(client: Client, desk: Desk) -> None:
    keep_figures(desk, hours=3, until=NOON)
    until = (NOON + timedelta(minutes=1)).isoformat()
    for currency in ("EUR", "USD"):
        page = client("viewer").get(
            "/analytics/commission", params={"range": "hour", "until": until, "currency": currency}
        )
        wanted = desk.rows(
            "SELECT name, sum(transactions), sum(amount), sum(commission_tiered) FROM live_figures WHERE figure = 'type'"
            " AND currency = %s AND window_start > %s AND window_start <= %s GROUP BY name",
            *(currency, NOON - timedelta(hours=1), NOON),
        )
        assert wanted
        for name, count, amount, tiered in wanted:
            row = re.search(rf'<th scope="row">{name}</th>(.*?)</tr>', page.text, re.S)
            assert row is not None
            assert isinstance(amount, Decimal) and isinstance(tiered, Decimal)
            for shown in (f"{count:,}", show_amount(amount, currency), show_amount(tiered, currency)):
                assert f'<td class="n">{shown}</td>' in row[1], (name, shown)
    assert 'title="' in page.text and "USD" in page.text


def test_a_stretch_of_a_day_opens_its_hour(client: Client, desk: Desk) -> None:
    keep_figures(desk, hours=3, until=NOON)
    page = client("viewer").get("/analytics/channels", params={"range": "day", "until": NOON.isoformat()}).text
    [*_, last] = re.findall(r'href="(/analytics/channels\?range=hour&amp;until=[^"]+)"', page)
    hour = client("viewer").get(last.replace("&amp;", "&"))
    assert hour.status_code == 200 and "By channel" in hour.text


def test_a_merchant_leads_to_its_course_and_on_to_its_accounts(client: Client, desk: Desk) -> None:
    keep_figures(desk, hours=2)
    page = client("viewer").get("/analytics/merchants?range=hour&order=tiered").text
    found = re.search(r'href="(/analytics/merchants/(M\d+)\?[^"]+)">([^<]+)<', page)
    assert found is not None and "&lt;" in found[3], "names are escaped"
    one = client("viewer").get(found[1].replace("&amp;", "&")).text
    assert f'href="/merchants/{found[2]}"' in one and "Whole range" in one
    counts = re.findall(r"<td class=\"n\">[\d.,]+</td>", page)
    assert counts, "figures are shown"


def test_the_first_are_told_by_what_is_asked_for(client: Client, desk: Desk) -> None:
    keep_figures(desk, hours=2)
    page = client("viewer").get("/analytics/customers?range=hour&order=transactions").text
    counts = [int(n.replace(",", "")) for n in re.findall(r'</svg></td><td class="n">([\d,]+)</td>', page)]
    assert len(counts) == 15 and counts == sorted(counts, reverse=True)


def test_the_newest_result_that_is_done_is_shown(client: Client, desk: Desk) -> None:
    keep_result(desk, "segments", {"table": "segments", "segment": "old", "accounts": 1})
    rows = [{"table": "segments", "segment": f"s{n} <b>", "accounts": n} for n in range(12)]
    keep_result(desk, "segments", *rows, {"table": "clusters", "cluster": 7})
    desk.rows(
        "UPDATE analytics_runs SET started_at = started_at - interval '1 day' WHERE run_id IN"
        " (SELECT run_id FROM analytics_results WHERE data ->> 'segment' = 'old') RETURNING 1"
    )
    page = client("viewer").get("/analytics/customers").text
    assert "s1 &lt;b&gt;" in page and "first 10 of 12" in page and "clusters" in page and ">old<" not in page
    assert "123,456 transactions of lake" in page
    assert "streamguard analyse lifetime" in page, "the other job was not run"


@pytest.mark.parametrize(
    "fields", ["range=century", "currency=eur", "order=worst", "until=noon", "until=9999-12-31T23:59:59"]
)
def test_what_there_is_not_is_said_in_a_sentence(client: Client, fields: str) -> None:
    answer = client("viewer").get(f"/analytics/merchants?{fields}")
    assert answer.status_code == 409 and "Traceback" not in answer.text


def test_a_range_without_figures_leads_to_the_newest(client: Client, desk: Desk) -> None:
    keep_figures(desk, hours=1, until=NOON)
    page = client("viewer").get("/analytics/commission?range=hour").text
    assert "Nothing in this range" in page
    [address] = re.findall(r'href="([^"]+)">show the hour before', page)
    assert "By category" in client("viewer").get(address.replace("&amp;", "&")).text


@pytest.mark.parametrize("page", [*PAGES, "merchants/M0001", "customers/nobody"])
def test_a_currency_that_nobody_used_is_said(client: Client, desk: Desk, page: str) -> None:
    keep_figures(desk, hours=1)
    answer = client("viewer").get(f"/analytics/{page}?currency=KWD")
    assert answer.status_code == 200 and "No valid transaction in KWD was counted" in answer.text


def test_who_is_not_logged_in_sees_nothing(client: Client) -> None:
    assert client("nobody").get("/analytics/commission").status_code == 303
    assert client("viewer").get("/analytics").headers["location"] == "/analytics/commission"

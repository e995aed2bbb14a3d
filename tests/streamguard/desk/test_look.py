"""How pages look before any script runs: the chosen theme, and charts with times that the script can move into a zone."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest

from streamguard.desk import charts
from tests.streamguard.desk.conftest import Client

NOON = datetime(2026, 11, 29, 12, 0, tzinfo=timezone.utc)
LOCAL = NOON.astimezone(timezone(timedelta(hours=-3)))


@pytest.mark.parametrize(
    ("cookie", "attribute"), [("", ""), ("dark", ' data-theme="dark"'), ("light", ' data-theme="light"'), ('"><b', "")]
)
def test_a_page_comes_in_the_chosen_theme(client: Client, cookie: str, attribute: str) -> None:
    for role, path in (("viewer", "/queue"), ("nobody", "/login"), ("viewer", "/nowhere")):
        visitor = client(role)
        visitor.headers["cookie"] = "; ".join(
            [*(f"{name}={value}" for name, value in visitor.cookies.items()), f"streamguard-theme={cookie}"]
        )
        assert f'<html lang="en"{attribute}>' in visitor.get(path).text, path


def test_points_that_are_taken_off_are_drawn_where_they_are_taken() -> None:
    """Their bar begins at the highest sum, and ends before it: all of it is on the scale."""
    drawn = charts.reason_bar(150, -30, 150, "merchant", counts=True)
    [(left, width)] = re.findall(r'class="hue-merchant" x="([\d.]+)" width="([\d.]+)"', drawn)
    assert (float(left), float(width)) == (80.0, 20.0)


def test_names_of_places_do_not_cover_each_other() -> None:
    found = [(-46.6, -23.5, 90, 3, "São Paulo"), (-46.7, -23.4, 80, 0, "Osasco"), (-38.5, -3.7, 70, 0, "Fortaleza")]
    drawn = charts.places(found, "places")
    assert re.findall(r'<text class="tick"[^>]*>([^<]+)</text>', drawn) == ["São Paulo", "Fortaleza"]
    assert "<title>Osasco: 80 transactions, 0 flagged</title>" in drawn


@pytest.mark.parametrize(
    ("path", "fits", "fits_not"),
    [
        ("/queue", "card reported stolen", "the producer was mended"),
        ("/dead-letters", "the producer was mended", "card reported stolen"),
        ("/system", "lost the password", "card reported stolen"),
        ("/rules", "too many false alarms", "card reported stolen"),
        ("/", "", "card reported stolen"),
    ],
)
def test_suggested_reasons_fit_the_page(client: Client, path: str, fits: str, fits_not: str) -> None:
    page = client("admin").get(path).text
    assert not fits or f"<option>{fits}</option>" in page
    assert f"<option>{fits_not}</option>" not in page


def test_times_of_charts_say_which_instant_they_are() -> None:
    drawn = [
        charts.lag([(NOON.timestamp(), 1), (NOON.timestamp() + 5, 2)], "lag"),
        charts.amounts([(LOCAL, Decimal("1234.5"), True)], None, "amounts"),
        charts.columns([(LOCAL, {"amount": 2}, "/queue")], [7], "volume", "weekday"),
    ]
    for svg in drawn:
        assert "2026-11-29T12:00:00+00:00" in re.findall(r'data-at="([^"]+)"', svg)
    lag, amounts, columns = drawn
    assert 'data-form="time">12:00:00</tspan>' in lag and "<title>2026-11-29 12:00:00 UTC</title>" in lag
    assert "<title>29 Nov 12:00 UTC · 1,234.50</title>" in amounts
    assert 'aria-label="Sun 12:00 UTC · 7 transactions · 2 alerts"' in columns

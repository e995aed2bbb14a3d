"""Accounts, merchants, devices and the search: what the pages show of stored rows, to whom, and as text."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest

from tests.streamguard.desk.conftest import Client, Programs, RunningDesk
from tests.support.desk import Desk
from tests.support.records import T0_MS, high_amount, transaction

EVIL = "<script>alert(1)</script>"
SHOP = {"merchant_id": "M-1", "merchant_name": "Padaria", "device_id": "dev-1", "city": "Recife", "country": "BR"}


@pytest.fixture
def stored(desk: Desk) -> None:
    """Sixty transactions of ACC-1, one of ACC-12 that is flagged, one of an account whose name is markup."""
    many = [transaction(n, f"t{n}", "ACC-1", 10 + n, T0_MS + n * 1_000, **SHOP) for n in range(60)]
    big = transaction(60, "big", "ACC-12", 4_000, T0_MS, merchant_id="M-2", merchant_name="Ouro", device_id="dev-1")
    odd = transaction(61, "odd", EVIL, 5, T0_MS, merchant_id=EVIL, merchant_name=EVIL, device_id=EVIL, city=EVIL)
    desk.feed(*many, big, odd, high_amount(0, "big", "ACC-12", 4_000, T0_MS))


def main_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page[page.index("<main") : page.index("</main>")]))


def test_an_account_in_profile(client: Client, stored: None) -> None:
    page = client("analyst").get("/accounts/ACC-12").text
    shown = main_of(page)
    for part in ("4,000.00 BRL", "100.0 %", "HIGH_AMOUNT:big", "Ouro", "dev-1", "0 · 60", "On no list"):
        assert part in shown, part
    assert 'href="/devices/dev-1"' in page and 'href="/merchants/M-2"' in page
    assert 'href="/topics/transactions?partition=0&amp;from=60"' in page


def test_transactions_are_paged_and_every_one_is_shown_once(client: Client, stored: None) -> None:
    viewer = client("viewer")
    pages = [viewer.get(f"/accounts/ACC-1?page={number}").text for number in (1, 2)]
    shown = [re.findall(r'<td class="mono">(t\d+)</td>', page) for page in pages]
    assert [len(page) for page in shown] == [50, 10]
    assert sorted(shown[0] + shown[1]) == sorted(f"t{n}" for n in range(60))
    assert "None is flagged" in main_of(viewer.get("/accounts/ACC-1?flagged=1").text)


def test_a_device_shows_who_shares_it_and_only_to_those_who_may(client: Client, stored: None) -> None:
    shown = main_of(client("analyst").get("/devices/dev-1").text)
    assert "ACC-1" in shown and "ACC-12" in shown and "HIGH_AMOUNT:big" in shown
    assert client("viewer").get("/devices/dev-1").status_code == 403
    page = client("viewer").get("/accounts/ACC-12").text
    assert "dev-1" not in page and "hidden" in page


def test_a_merchant(client: Client, stored: None) -> None:
    shown = main_of(client("viewer").get("/merchants/M-1").text)
    assert "Padaria" in shown and "ACC-1" in shown and "60" in shown


@pytest.mark.parametrize("path", ["/accounts/nobody", "/merchants/none", "/devices/none"])
def test_what_is_not_known_is_said(client: Client, stored: None, path: str) -> None:
    answer = client("analyst").get(path)
    assert answer.status_code == 404
    assert "nothing is known of" in answer.text


@pytest.mark.parametrize("kind", ["accounts", "merchants", "devices"])
def test_names_that_are_markup_stay_text(client: Client, stored: None, kind: str) -> None:
    page = client("analyst").get(f"/{kind}/{quote(EVIL, safe='')}").text
    assert EVIL not in page and "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_accounts_by_the_beginning_of_their_id(client: Client, stored: None) -> None:
    viewer = client("viewer")
    found = viewer.get("/accounts?q=ACC", headers={"x-requested-with": "desk"}).text
    assert re.findall(r'href="/accounts/([^"]+)"', found) == ["ACC-1", "ACC-12"]
    assert "2 accounts begin with ACC" in main_of(viewer.get("/accounts?q=ACC").text)
    assert "0 accounts begin with %" in main_of(viewer.get("/accounts?q=%25").text)
    assert "No open alerts" not in viewer.get("/accounts").text


@pytest.mark.parametrize(
    ("wanted", "path"),
    [
        ("ACC-12", "/accounts/ACC-12"),
        ("ACC-1", "/accounts/ACC-1"),
        ("big", "/accounts/ACC-12?transaction=big"),
        ("M-2", "/merchants/M-2"),
        ("ouro", "/merchants/M-2"),
        ("dev-1", "/devices/dev-1"),
        ("HIGH_AMOUNT:big", "/alerts/HIGH_AMOUNT%3Abig"),
    ],
)
def test_the_search_goes_straight_to_a_single_hit(client: Client, stored: None, wanted: str, path: str) -> None:
    answer = client("analyst").get("/search", params={"q": wanted})
    assert (answer.status_code, answer.headers["location"]) == (303, path)


def test_the_search_lists_several_hits_and_says_when_there_are_none(client: Client, stored: None) -> None:
    analyst, viewer = client("analyst"), client("viewer")
    page = analyst.get("/search", params={"q": "ACC"}).text
    assert 'href="/accounts/ACC-1"' in page and 'href="/accounts/ACC-12"' in page
    assert "Nothing found" in analyst.get("/search", params={"q": "' OR 1=1 --"}).text
    assert "Type what to find" in analyst.get("/search").text
    assert "Nothing found" in viewer.get("/search", params={"q": "dev-1"}).text
    suggested = analyst.get("/search", params={"q": "ACC"}, headers={"x-requested-with": "desk"}).json()
    assert [hit["path"] for hit in suggested] == ["/accounts/ACC-1", "/accounts/ACC-12"]


def test_accounts_are_found_as_one_types(running: RunningDesk, stored: None) -> None:
    page = running.page("viewer", "/accounts")
    page.locator("#account-q").press_sequentially("ACC-12")
    page.locator("#account-rows a", has_text="ACC-12").wait_for()
    assert page.locator("#account-rows a").count() == 1
    assert page.url.endswith("/accounts?q=ACC-12")


def test_the_search_box_suggests_and_is_worked_by_keyboard(running: RunningDesk, stored: None) -> None:
    page = running.page("viewer", "/accounts")
    page.keyboard.press("/")
    page.keyboard.type("ACC")
    page.locator("#suggestions li", has_text="ACC-12").wait_for()
    assert page.locator("#suggestions li").count() == 2
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url("**/accounts/ACC-12")


def test_programs_get_profiles_and_the_search(program: Programs, stored: None) -> None:
    analyst, viewer = program("analyst"), program("viewer")
    found = analyst.get("profiles/account/ACC-12").json()
    assert (found["transactions"], found["risk"]["fraud_rate"], found["alerts"][0]["alert_id"]) == (
        1,
        "1.0000",
        "HIGH_AMOUNT:big",
    )
    assert {(used["what"], used["value"]) for used in found["used"]} >= {("device", "dev-1"), ("merchant", "M-2")}
    assert found["lines"][0]["source_offset"] == 60 and found["lines"][0]["device_id"] == "dev-1"
    hidden = viewer.get("profiles/account/ACC-12")
    assert "dev-1" not in hidden.text and hidden.json()["transactions"] == 1
    pages = [viewer.get("profiles/merchant/M-1", params={"page": page}).json() for page in (1, 2)]
    assert [(len(page["lines"]), page["next_page"]) for page in pages] == [(50, 2), (10, None)]
    shared = analyst.get("profiles/device/dev-1").json()
    assert {used["value"] for used in shared["used"] if used["what"] == "account"} == {"ACC-1", "ACC-12"}
    for path in ("profiles/device/dev-1", "profiles/device"):
        refused = viewer.get(path, params={"begins": "d"} if path.endswith("device") else None)
        assert refused.status_code == 403 and "personal_data.read" in refused.json()["error"]
    assert analyst.get("profiles/account", params={"begins": "ACC-1"}).json() == {"names": ["ACC-1", "ACC-12"]}
    assert analyst.get("profiles/account/nobody").status_code == analyst.get("profiles/x/y").status_code == 404
    hits = analyst.get("search", params={"q": "dev"}).json()["hits"]
    assert hits == [{"kind": "device", "name": "dev-1"}]
    assert viewer.get("search", params={"q": "dev"}).json()["hits"] == []

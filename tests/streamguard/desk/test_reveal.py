"""Personal data at the desk: hidden by role, shown on request with a reason, and every look at it in the audit log."""

from __future__ import annotations

import pytest

from streamguard.desk.reveal import Looks, forms_said, hide
from streamguard.users.roles import ROLES
from tests.streamguard.desk.conftest import Client
from tests.streamguard.desk.plumbing import audit
from tests.support.desk import Desk
from tests.support.records import T0_MS, high_amount, transaction

FRAGMENT = {"x-requested-with": "desk"}
ALERT, DEVICE, ADDRESS = "HIGH_AMOUNT:big", "dev-7f3a", "187.4.2.9"
SUBJECTS = {"alert": f"alert {ALERT}", "account": "account A"}


@pytest.fixture
def alert(desk: Desk) -> Desk:
    """An alert on a transaction with a device that the account never used, and an address."""
    usual = [transaction(n, f"t{n}", "A", 10, T0_MS + n, device_id="dev-old") for n in range(8)]
    big = transaction(8, "big", "A", 4_000, T0_MS + 100, device_id=DEVICE, ip_address=ADDRESS)
    desk.feed(*usual, big, high_amount(0, "big", "A", 4_000, T0_MS + 100))
    return desk


@pytest.mark.parametrize("role", ["nobody", *ROLES])
@pytest.mark.parametrize("what", ["alert", "account"])
def test_who_sees_it_who_asks_and_what_is_kept(client: Client, alert: Desk, role: str, what: str) -> None:
    visitor = client(role)
    page = {"alert": f"/alerts/{ALERT}", "account": "/accounts/A"}[what]
    fields = {"alert": {"alert_id": ALERT}, "account": {"account_id": "A"}}[what]
    shown = visitor.get(page, headers=FRAGMENT if what == "alert" else {}).text
    assert (DEVICE in shown) == (role not in ("nobody", "viewer"))
    refused = visitor.post(f"/{what}/reveal", data=fields, headers=FRAGMENT)
    assert refused.status_code == (401 if role == "nobody" else 409), refused.text
    assert audit(alert, "personal_data.reveal") == []
    answer = visitor.post(f"/{what}/reveal", data={**fields, "reason": "customer asks"}, headers=FRAGMENT)
    if role == "nobody":
        assert DEVICE not in answer.text
        return
    assert answer.status_code == 200 and DEVICE in answer.text
    assert audit(alert, "personal_data.reveal") == [(role, SUBJECTS[what], "customer asks", None, None)]
    again = visitor.get(page, headers=FRAGMENT if what == "alert" else {}).text
    assert (DEVICE in again) == (role != "viewer")


def test_no_text_about_an_alert_names_what_is_hidden(client: Client, alert: Desk) -> None:
    """The rule says which device is new, and the decision repeats it."""
    assert f"device {DEVICE} is new" in client("analyst").get(f"/alerts/{ALERT}").text
    page = client("viewer").get(f"/alerts/{ALERT}").text
    assert "device hidden is new" in page and DEVICE not in page and ADDRESS not in page
    assert "Devices and addresses are hidden from the role viewer" in page
    revealed = client("viewer").post("/alert/reveal", data={"alert_id": ALERT, "reason": "asked"}).text
    assert f"device {DEVICE} is new" in revealed and ADDRESS in revealed
    assert "shown on this page only" in revealed


def test_what_is_not_there_leaves_no_row(client: Client, alert: Desk) -> None:
    viewer = client("viewer")
    for path, fields in {"alert": {"alert_id": "x"}, "account": {"account_id": "x"}}.items():
        answer = viewer.post(f"/{path}/reveal", data={**fields, "reason": "asked"}, headers=FRAGMENT)
        assert answer.status_code == 404, answer.text
    assert audit(alert, "personal_data.reveal") == []


def test_what_is_stored_as_tokens_is_said_to_be_so_for_good(client: Client, alert: Desk) -> None:
    modes = "INSERT INTO personal_data (account, card, ip, device) VALUES ('keep', 'keep', 'mask', 'token') RETURNING 1"
    alert.postgres.query(modes)
    for role in ("viewer", "analyst"):
        page = client(role).get(f"/alerts/{ALERT}").text
        assert "stores devices as tokens and addresses as masks, for good" in page
    assert forms_said({"device": "keep", "ip": "keep"}) == ""


@pytest.mark.parametrize(
    ("text", "values", "wanted"),
    [
        ("device D1 is new", ["D1"], "device hidden is new"),
        ("device D12 is new", ["D1"], "device D12 is new"),
        ("D1: D1.", ["D1"], "hidden: hidden."),
        ("1.2.3.4 and 1.2.3.44", ["1.2.3.4"], "hidden and 1.2.3.44"),
        ("a.b", ["a.b", "b"], "hidden"),
        ("nothing", [""], "nothing"),
    ],
)
def test_hidden_are_whole_values(text: str, values: list[str], wanted: str) -> None:
    assert hide(text, values) == wanted


def test_a_list_that_is_followed_is_one_look() -> None:
    looks = Looks()
    assert looks.is_new("ana", "transactions", "{}")
    assert not looks.is_new("ana", "transactions", "{}")
    assert looks.is_new("ben", "transactions", "{}") and looks.is_new("ana", "transactions", "{'key': 'A'}")

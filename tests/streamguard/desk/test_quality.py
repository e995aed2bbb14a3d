"""The page of quality: the figures of the command by range, and what fires on the page of the system."""

from __future__ import annotations

import re
import time
from pathlib import Path

from streamguard.alarms import store as alarms
from streamguard.alarms.states import Active, States
from streamguard.desk.site import Desk as Site
from tests.streamguard.desk.conftest import Client
from tests.support.desk import Desk
from tests.support.records import transaction

EVIL = "<b onclick=alert(1)>"


def test_the_figures_of_a_range_with_their_verdicts(client: Client, desk: Desk) -> None:
    now_ms = int(time.time() * 1000)
    desk.feed(*(transaction(n, f"t{n}", "A", -1 if n % 10 == 0 else 5, now_ms, channel="app") for n in range(150)))
    page = client("viewer").get("/system/quality?range=hour").text
    assert "150 read, 135 stored" in page and 'href="/system/quality" aria-current="page"' in page
    row = re.search(r'<th scope="row">dead letters</th>(.*?)</tr>', page, re.S)
    assert row and "10.00%" in row[1] and "outside" in row[1]
    assert re.search(r'<th scope="row" class="mono">channel</th>.*?100\.00%', page, re.S)
    assert '<th scope="row">amount</th><td class="n">15</td>' in page
    assert "days before the range" in client("viewer").get("/system/quality?range=month").text


def test_nothing_read_is_said_and_no_other_range_is_there(client: Client) -> None:
    assert "Nothing was read during the last day" in client("viewer").get("/system/quality").text
    assert client("viewer").get("/system/quality?range=century").status_code == 409
    assert client("nobody").get("/system/quality").status_code == 303


def test_the_system_page_has_the_alarms_that_somebody_has_just_evaluated(
    client: Client, site: Site, tmp_path: Path
) -> None:
    site.settings = site.settings.model_copy(update={"state_dir": tmp_path})
    assert "streamguard alarms list" not in client("viewer").get("/system").text
    now_s = time.time()
    labels = {"alertname": "ConsumerLag", "severity": "critical"}
    active = Active("ConsumerLag", labels, f"{EVIL} is behind", 1.0, now_s - 90, now_s - 30)
    alarms.write(site.settings, alarms.Kept(now_s, States([active])))
    page = client("viewer").get("/system").text
    assert "ConsumerLag" in page and "&lt;b onclick" in page and EVIL not in page
    alarms.write(site.settings, alarms.Kept(now_s))
    assert "No alarm fires." in client("viewer").get("/system").text

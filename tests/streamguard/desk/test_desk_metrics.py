"""What the desk counts: requests by the pattern of their path, failed logins, live streams; never what a person has typed."""

from __future__ import annotations

import asyncio

from streamguard.desk.feed import event
from streamguard.desk.site import Desk as Site
from streamguard.metrics.desk import OTHER
from tests.streamguard.desk.conftest import PASSWORD, Client, Programs

Samples = dict[tuple[str, tuple[str, ...]], float]


def samples(site: Site) -> Samples:
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in site.metrics.collect()
        for sample in family.samples
    }


def test_requests_are_counted_by_pattern(client: Client, program: Programs, site: Site) -> None:
    analyst = client("analyst")
    assert analyst.get("/queue").status_code == 200
    for account in ("BR-0000001", "BR-0000002"):
        analyst.get(f"/accounts/{account}")
    assert analyst.get("/no/such/page/4111111111111111").status_code == 404
    assert analyst.get("/queue", headers={"host": "evil.example"}).status_code == 403
    program("viewer").get("/alerts/HIGH_AMOUNT:none")
    found = samples(site)
    name = "streamguard_desk_requests_total"
    assert [labels for metric, labels in found if metric == name and labels[0].startswith("/api/v1/alerts/{")]
    assert found[name, ("/queue", "200")] == 1
    assert found[name, (OTHER, "404")] == found[name, (OTHER, "403")] == 1
    [account_page] = [labels for metric, labels in found if metric == name and "account" in labels[0]]
    assert found[name, account_page] == 2 and "{" in account_page[0]
    assert found["streamguard_desk_request_seconds_count", ("/queue",)] == 1
    text = repr(list(found))
    assert "BR-" not in text and "4111" not in text


def test_failed_logins_are_counted(client: Client, site: Site) -> None:
    visitor = client("nobody")
    for _ in range(6):
        visitor.post("/login", data={"user_name": "analyst", "password": "wrong"})
    assert visitor.post("/login", data={"user_name": "lead", "password": PASSWORD}).status_code in (303, 429)
    assert samples(site)["streamguard_desk_failed_logins_total", ()] >= 6


def test_streams_and_their_events_are_counted(site: Site) -> None:
    async def two_streams() -> None:
        site.feed._loop = asyncio.get_running_loop()
        first, second = site.feed.subscribe(), site.feed.subscribe()
        site.feed.publish(event("pulse", 1), event("pulse", 2))
        await first.get()
        await second.get()
        assert samples(site)["streamguard_desk_live_streams", ()] == 2
        site.feed.unsubscribe(first)

    asyncio.run(two_streams())
    found = samples(site)
    assert found["streamguard_desk_live_streams", ()] == 1
    assert found["streamguard_desk_events_sent_total", ()] == 4

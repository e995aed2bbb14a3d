"""A lead back-tests a limit, looks at what would change, runs it in shadow, and activates it: on a broker and a server of SQL."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]
from starlette.testclient import TestClient

from streamguard.desk.jobs import DEPLOY, DONE, Asked, Jobs
from streamguard.desk.site import Desk as Site
from streamguard.sqldeploy.state import Server
from tests.streamguard.backtest.conftest import TOPICS, payments, send, velocity_alerts
from tests.streamguard.desk.conftest import Client
from tests.support.broker import BrokerProcess
from tests.support.desk import Desk
from tests.support.ksqldb import KsqlServerProcess
from tests.support.processes import eventually

pytestmark = pytest.mark.integration
WITHIN_S = 240


@dataclass
class Lead:
    """A lead at the desk of a stack on which the two core rules run."""

    client: TestClient
    jobs: Jobs
    server: Server
    servers: str

    def post(self, path: str, **fields: str) -> str:
        """Post a form, wait for the end of its job, and return the last page."""
        answer = self.client.post(path, data={"reason": "fewer would be missed", **fields})
        assert answer.status_code == 303, answer.text
        return self.ended(answer.headers["location"])

    def ended(self, path: str) -> str:
        number = int(path.rpartition("/")[2])
        job = eventually(
            lambda: self.jobs.find(number), lambda found: found is not None and not found.is_running, WITHIN_S
        )
        assert job is not None and job.state == DONE, job
        answer = self.client.get(path)
        return self.client.get(answer.headers["location"]).text if answer.status_code == 303 else answer.text

    def limit(self) -> str:
        """The condition of the velocity rule that runs."""
        text = self.server.definition("ACCOUNT_VELOCITY") or ""
        return "".join(text.split()).rpartition("HAVING")[2]


@pytest.fixture
def lead(client: Client, site: Site, broker: BrokerProcess, tmp_path: Path) -> Iterator[Lead]:
    server = KsqlServerProcess(tmp_path / "ksqldb", broker.address).start()
    addresses = {"kafka_bootstrap_servers": broker.address, "ksqldb_url": server.url, "state_dir": tmp_path / "state"}
    site.settings = site.settings.model_copy(update=addresses)
    admin = AdminClient({"bootstrap.servers": broker.address})
    for future in admin.create_topics([NewTopic(name, 3) for name in TOPICS]).values():
        future.result(20)
    made = Lead(client("lead"), Jobs(site.settings), Server(server.url), broker.address)
    try:
        made.ended(f"/jobs/{made.jobs.start(Asked(DEPLOY, ['deploy', 'queries.sql'], 'test', 'the core rules'))}")
        yield made
    finally:
        server.stop()


@pytest.mark.soak
def test_from_a_changed_limit_to_the_rule_that_runs(lead: Lead, desk: Desk) -> None:
    sent = send(lead.servers, payments(600))
    before, after = (velocity_alerts(sent, limit) for limit in (3, 2))
    gained = after.keys() - before.keys()

    page = lead.post("/rules/HIGH_VELOCITY/backtest", **{"limit.velocity_count": "2"})
    assert f"Gained {len(gained)} · lost 0" in page
    assert "<del>3)</del> <ins>2)</ins>" in page and ">3" in lead.limit()
    alert_id = sorted(gained)[0]
    shown = lead.client.get(f"/backtests/1/alerts/{alert_id}").text
    assert re.findall(r'<td class="mono">(t\d+)</td>', shown) == after[alert_id][1]

    assert "/shadow" in lead.post("/backtests/1/shadow")
    page = lead.post("/shadow/compare")
    assert "back-test 1: fewer would be missed" in page and 'href="/rules/HIGH_VELOCITY"' in page
    assert "the shadow of" in lead.post("/shadow/drop")
    assert "No shadow runs" in lead.client.get("/shadow").text

    lead.post("/backtests/1/accept")
    assert ">2" in lead.limit()
    page = eventually(
        lambda: lead.client.get("/rules/HIGH_VELOCITY").text, lambda text: "Another version runs" in text, WITHIN_S
    )
    assert "<del>3)</del> <ins>2)</ins>" in page and "back-test 1: fewer would be missed" in page
    audited = [row[0] for row in desk.rows("SELECT action FROM audit_log WHERE done_by = 'lead' ORDER BY entry_no")]
    assert audited == ["rules.backtest", "rules.shadow", "rules.compare", "rules.drop", "rules.deployment"]

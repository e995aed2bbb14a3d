"""Side A is what the server runs, not what the files say; personal data is kept as the consumer keeps it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from streamguard.backtest.errors import BacktestError
from streamguard.backtest.execute import execute
from streamguard.backtest.prepare import Request, Stack
from streamguard.config.resources import sql_file
from streamguard.privacy.protection import Protection
from streamguard.sqldeploy import deploy
from streamguard.sqldeploy.state import Server
from tests.streamguard.backtest.conftest import Bench, payments, send
from tests.support.ksqldb import running_server


@pytest.mark.soak
def test_a_is_what_the_server_runs(topic_bench: Bench, tmp_path: Path) -> None:
    send(topic_bench.servers, payments(1_500))
    file = sql_file("queries.sql")
    with running_server(tmp_path / "ksqldb") as process:
        server = Server(process.url)
        deploy(server, [file], given={"velocity_count": "4", "high_amount": "1000"})
        live = replace(topic_bench, stack=Stack(server))

        # A lower limit for velocity alone: the limit of the other rule stays as it runs.
        found = live.run(Request(define={"velocity_count": "2"}))
        assert list(found["rules"]) == ["HIGH_VELOCITY"]
        assert found["rule_sets"]["origin"] == "server"
        from_files = topic_bench.run(Request(define={"velocity_count": "2"}))
        assert found["together"]["gained"] > from_files["together"]["gained"]

        # The file as it is differs from what runs in both rules; rules that do not run are not compared.
        found = live.run(Request(sql=[file]))
        assert list(found["rules"]) == ["HIGH_AMOUNT", "HIGH_VELOCITY"]
        assert found["together"]["gained"] > 0
        assert found["together"]["lost"] > 0

        # The same as what runs: no difference, though the server writes the statements in its own way.
        same = Request(sql=[file], define={"velocity_count": "4", "high_amount": "1000"})
        assert live.run(same)["rules"] == {}
        found = live.run(replace(same, everything=True))
        assert found["sides"]["a"] == found["sides"]["b"]
        assert found["sides"]["a"]["versions"] > 100

        # A rule that does not run is gained whole.
        found = live.run(Request(sql=[sql_file("context-rules.sql")], limits=["review_at=31"]))
        assert found["rules"]["NIGHT_AMOUNT"]["a"]["alerts"] == 0


def test_a_rule_in_another_file_needs_a_line_in_the_catalogue(bench: Bench) -> None:
    text = sql_file("queries.sql").read_text().replace("QUERY_ID='high_velocity'", "QUERY_ID='high_pace'")
    with pytest.raises(BacktestError, match="the query high_pace raises alerts and has no line in"):
        bench.on_files(payments(3), Request(sql=[bench.sql(text)]))


def test_personal_data_is_kept_as_the_consumer_keeps_it(topic_bench: Bench) -> None:
    send(topic_bench.servers, payments(600))
    spec = topic_bench.spec(Request(define={"velocity_count": "2"}))
    clear = execute(spec, topic_bench.servers)
    protection = Protection({"account": "token"}, "a key of sixteen bytes or more")
    kept = execute(spec, topic_bench.servers, protection=protection)
    assert kept["together"] == clear["together"]
    accounts = {alert["account_id"] for alert in clear["alerts"]["gained"]}
    tokens = {protection.value("account", account) for account in accounts}
    assert {alert["account_id"] for alert in kept["alerts"]["gained"]} == tokens
    text = json.dumps(kept)
    assert not [account for account in accounts if f'"{account}"' in text or f":{account}:" in text]

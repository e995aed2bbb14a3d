"""What is new and uses a source of which another version runs waits for it, and does not end the start of the rest."""

from __future__ import annotations

from pathlib import Path

from streamguard.config.resources import sql_file
from streamguard.sqldeploy import deploy
from streamguard.sqldeploy.state import Server
from tests.support.ksqldb import KsqlServerProcess


def test_rules_wait_for_the_streams_of_an_earlier_version(server: KsqlServerProcess, tmp_path: Path) -> None:
    core = sql_file("queries.sql")
    before = (
        core.read_text().replace("amount DECIMAL(19, 4)", "amount DOUBLE").replace("AS DECIMAL(19, 4)", "AS DOUBLE")
    )
    (tmp_path / "before.sql").write_text(before)
    ksql = Server(server.url)
    assert {outcome.status for outcome in deploy(ksql, [tmp_path / "before.sql"])} == {"new"}
    statuses = {o.item.name: o.status for o in deploy(ksql, [core, sql_file("amount-rules.sql")])}
    assert (statuses["TRANSACTIONS"], statuses["FRAUD_ALERTS"]) == ("different", "different")
    assert (statuses["HIGH_AMOUNT"], statuses["ACCOUNT_AMOUNTS"]) == ("unchanged", "waits")
    assert (statuses["ACCOUNT_AMOUNTS_CHANGES"], statuses["UNUSUAL_AMOUNT"]) == ("waits", "waits")
    replaced = deploy(ksql, [core, sql_file("amount-rules.sql")], replace=True)
    assert {outcome.status for outcome in replaced} <= {"replaced", "new", "unchanged"}
    assert {outcome.status for outcome in deploy(ksql, [core, sql_file("amount-rules.sql")])} == {"unchanged"}

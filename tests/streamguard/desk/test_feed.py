"""The feed of alerts: nothing is passed over, in whatever order consumers commit."""

from __future__ import annotations

from streamguard.consumer.exclusion import only
from streamguard.desk.feed import Feed
from tests.support.desk import Desk
from tests.support.records import T0_MS, high_amount, transaction

TOUCH = "UPDATE fraud_alerts SET updated_at = clock_timestamp() WHERE account_id = %s"


def test_a_change_that_is_committed_after_a_later_one_is_handed_over(desk: Desk) -> None:
    feed = Feed(desk.engine)
    for number, account in enumerate("AB"):
        desk.feed(
            transaction(number, f"t{number}", account, 4_000, T0_MS),
            high_amount(number, f"t{number}", account, 4_000, T0_MS),
        )
    with desk.engine.connect() as looking, desk.engine.connect() as slow:
        looking = looking.execution_options(isolation_level="AUTOCOMMIT")
        assert {row.account_id for row in feed._changed(looking)} == {"A", "B"}
        assert feed._changed(looking) == []
        writing = slow.begin()
        cursor = slow.connection.cursor()
        only(cursor, ["A"])
        cursor.execute(TOUCH, ("A",))
        with desk.engine.begin() as quick:
            other = quick.connection.cursor()
            only(other, ["B"])
            other.execute(TOUCH, ("B",))
        assert [row.account_id for row in feed._changed(looking)] == ["B"]
        assert feed._changed(looking) == []
        writing.commit()
        assert [row.account_id for row in feed._changed(looking)] == ["A"]
        assert feed._changed(looking) == []

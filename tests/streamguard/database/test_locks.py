"""Advisory locks: each purpose has its own number."""

from __future__ import annotations

import re
from threading import Thread

from streamguard.database.locks import Lock
from tests.support.desk import Desk
from tests.support.project import PROJECT_ROOT
from tests.support.records import T0_MS, transaction

NUMBER = re.compile(r"\b5_?347_?\d{3}\b")


def numbers_in(folder: str, ending: str) -> dict[str, set[int]]:
    found = {}
    for path in sorted((PROJECT_ROOT / folder).rglob(f"*{ending}")):
        if numbers := {int(n.replace("_", "")) for n in NUMBER.findall(path.read_text("utf-8"))}:
            found[str(path.relative_to(PROJECT_ROOT))] = numbers
    return found


def test_numbers_stand_in_one_list_and_in_the_schema_that_takes_one_itself() -> None:
    assert numbers_in("src", ".py") == {"src/streamguard/database/locks.py": {int(lock) for lock in Lock}}
    schema = {**numbers_in("src", ".sql"), **numbers_in("docker", ".sql")}
    assert schema and all(numbers == {Lock.MONTHS} for numbers in schema.values())


def test_payments_of_a_new_month_are_stored_while_somebody_deploys(desk: Desk) -> None:
    """A deployment waits for the store in turn: where the two share a lock, neither goes on."""
    with desk.engine.connect() as deploying:
        deploying.exec_driver_sql("SELECT pg_advisory_lock(%s)", (int(Lock.DEPLOYMENT),))
        storing = Thread(target=desk.feed, args=(transaction(0, "t0", "A", 10, T0_MS),), daemon=True)
        storing.start()
        storing.join(timeout=30)
        assert not storing.is_alive()
    assert desk.rows("SELECT count(*) FROM transactions") == [(1,)]

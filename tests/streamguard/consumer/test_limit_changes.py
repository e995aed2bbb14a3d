"""The limits of the Python rules are settings: what changes between two starts of the consumer is kept."""

from __future__ import annotations

from decimal import Decimal

import pytest

from streamguard.consumer.limit_changes import ACTION, LimitChange, limit_changes, note_limits
from streamguard.rules import RuleLimits
from streamguard.users import audit
from tests.support.desk import Desk


def noted(desk: Desk, limits: RuleLimits) -> list[str]:
    with desk.engine.begin() as connection:
        return note_limits(connection, limits)


def changes(desk: Desk, *names: str) -> list[tuple[str, str, str]]:
    with desk.engine.begin() as connection:
        found: list[LimitChange] = limit_changes(connection, frozenset(names) if names else None)
    return [(c.name, c.before, c.after) for c in found]


def test_each_start_keeps_what_has_changed_since_the_one_before(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert noted(desk, RuleLimits()) == [] == changes(desk)
    assert noted(desk, RuleLimits()) == []
    monkeypatch.setenv("STREAMGUARD_RULES_HIGH_RATIO", "7.5")
    monkeypatch.setenv("STREAMGUARD_RULES_BLOCK_AT", "80")
    assert noted(desk, RuleLimits()) == ["block_at", "high_ratio"]
    assert noted(desk, RuleLimits()) == []
    monkeypatch.delenv("STREAMGUARD_RULES_BLOCK_AT")
    assert noted(desk, RuleLimits()) == ["block_at"]
    assert changes(desk) == [("block_at", "90", "80"), ("high_ratio", "5", "7.5"), ("block_at", "80", "90")]
    assert changes(desk, "high_ratio") == [("high_ratio", "5", "7.5")]
    with desk.engine.begin() as connection:
        newest, *_, first = audit.find(connection, action=ACTION)
    assert newest.done_by == "settings" and newest.reason == "STREAMGUARD_RULES_BLOCK_AT"
    assert first.value_before is None and first.value_after is not None
    assert Decimal(first.value_after["high_ratio"]) == 5


def test_a_limit_of_another_version_of_the_program_is_no_change(desk: Desk) -> None:
    noted(desk, RuleLimits())
    desk.rows("UPDATE audit_log SET value_after = value_after - 'high_ratio' || '{\"gone\": \"1\"}'")
    assert noted(desk, RuleLimits()) == ["high_ratio"]
    assert changes(desk) == []
    assert noted(desk, RuleLimits()) == []

"""The files of examples/, one of each known layout, against what a person reads in them (cases/examples.yaml)."""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from streamguard.ingest.columns import Options
from streamguard.ingest.files import Row, open_source
from streamguard.ingest.layouts import known_layouts
from streamguard.ingest.plan import Plan, plan
from tests.support.project import PROJECT_ROOT

EXAMPLES = PROJECT_ROOT / "examples"
CASES: dict[str, dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parent / "cases" / "examples.yaml").read_text("utf-8")
)


def planned(name: str) -> Plan:
    options = dict(CASES[name].get("options", {}))
    return plan(open_source(str(EXAMPLES / name)), mapping=options.pop("mapping", None), options=Options(**options))


def epoch_ms(text: str) -> int:
    moment = datetime.fromisoformat(text).replace(tzinfo=timezone.utc)
    return round(moment.timestamp() * 1000)


@pytest.mark.parametrize("name", sorted(CASES))
def test_an_example_says_what_it_says(name: str) -> None:
    chosen = planned(name)
    assert chosen.is_guess == CASES[name].get("guess", False)
    rows = list(chosen.rows.rows())  # type: ignore[attr-defined]
    assert all(isinstance(row, Row) for row in rows)
    found = [chosen.reader.read(row.values) for row in rows]
    assert len(found) == len(CASES[name]["payments"])
    for payment, (account, amount, currency, time, label, others) in zip(found, CASES[name]["payments"], strict=True):
        fields = payment.fields
        assert fields["amount"] == Decimal(str(amount))
        assert (fields["currency"], fields["event_time"]) == (currency, epoch_ms(time))
        assert payment.marks.get("label", "") == label
        assert {key: fields.get(key) for key in others} == others
        if account is not None:
            assert fields["account_id"] == account


def test_every_known_layout_has_an_example() -> None:
    titles = set()
    for name in CASES:
        chosen = planned(name)
        chosen.rows.close()  # type: ignore[attr-defined]
        titles.add(chosen.title)
    assert {layout.title for layout in known_layouts()} <= titles
    assert {path.name for path in EXAMPLES.iterdir()} == CASES.keys()

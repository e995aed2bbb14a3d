"""Files as their owners have them, each against what a person reads in it (cases/own_files.yaml)."""

from __future__ import annotations

from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from streamguard.ingest.columns import Options
from streamguard.ingest.errors import BadRow, InputError
from streamguard.ingest.files import Row, Source, open_source
from streamguard.ingest.plan import Plan, plan
from tests.streamguard.ingest.test_examples import epoch_ms

CASES: dict[str, dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parent / "cases" / "own_files.yaml").read_text("utf-8")
)


@pytest.mark.parametrize("name", CASES)
def test_a_file_is_read_right_or_says_why_not(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    path = tmp_path / case.get("file", "payments.csv")
    path.write_bytes(case["text"].encode(case.get("encoding", "utf-8")))
    with closing(open_source(str(path))) as source:
        if "says" in case:
            with pytest.raises(InputError) as error:
                planned(case, source)
            assert case["says"] in str(error.value)
        else:
            _check(case, source)


def planned(case: dict[str, Any], source: Source) -> Plan:
    return plan(source, mapping=case.get("mapping"), options=Options(**case.get("options", {})))


def _check(case: dict[str, Any], source: Source) -> None:
    chosen = planned(case, source)
    payments, refused = [], {}
    for row in source.rows():
        if not isinstance(row, Row):
            refused[row.line] = row.reason
            continue
        try:
            payments.append(chosen.reader.read(row.values))
        except BadRow as error:
            refused[row.line] = str(error)
    assert refused.keys() == case.get("refused", {}).keys(), refused
    for line, reason in case.get("refused", {}).items():
        assert reason in refused[line]
    for payment, (account, amount, currency, time, others) in zip(payments, case.get("payments", []), strict=True):
        fields = {**payment.fields, **payment.marks}
        assert (fields["account_id"], fields["amount"]) == (account, Decimal(str(amount)))
        assert (fields["currency"], fields["event_time"]) == (currency, epoch_ms(time))
        assert {key: fields.get(key) for key in others} == others
    for note in case.get("notes", []):
        assert note in "; ".join((*chosen.notes, *chosen.reader.notes))

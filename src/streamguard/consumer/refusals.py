"""Versions of alerts whose transaction the consumer refused: SQL rules see less than it does (docs/sql-rules.md).

Such a version is settled with the place of the dead letter, and decided as `refused`. What a version is depends only on what
is stored, not on what came first, so it is settled again whenever a record with its transaction's id is stored or refused:

1. Without a dead letter of that id it is judged when the transaction is stored (`consumer.judge`).
2. With a dead letter and no stored transaction it is refused.
3. With both, a sender has used the id twice, or the record was sent again: it is judged, unless the rule cannot have seen
   the stored transaction (another account, time or amount) and can have seen the dead letter.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from psycopg2.extras import execute_values

from streamguard.consumer import refusal_statements as sql
from streamguard.consumer.exclusion import Exclusion
from streamguard.database import prepared
from streamguard.database.outbox import NewDecision, save_decisions
from streamguard.database.rows import fetch
from streamguard.models.columns import double_of, long_of, text_of
from streamguard.models.fragments import fields_of, text_field

DECIDED_BY, OUTCOME = "consumer", "refused"

_MAX_ID_BYTES, _MAX_ACCOUNT = 2_000, 500
"""Longer than what any rule reports, and what Postgres's index takes."""

Place = tuple[str, int, int]
"""Topic, partition and offset of a dead letter."""


def id_of(value: bytes | None) -> str | None:
    """The id of the transaction in a record, None where SQL reads none that an alert could name."""
    name = text_field(value, "transaction_id")
    return name if name and len(name.encode()) <= _MAX_ID_BYTES else None


def account_of(key: bytes | None) -> str | None:
    """The account in a record's key, as SQL reads it."""
    return None if key is None else str(text_of(key.decode("utf-8", "replace")))[:_MAX_ACCOUNT]


@dataclass(frozen=True, slots=True)
class _Suspect:
    """A version and one of the dead letters with its transaction's id; beside both the stored transaction, if there is one.

    Times are epoch milliseconds; `raw_value` is None without a stored transaction, for then nothing is compared.
    """

    alert_id: str
    tx_count: int
    account_id: str
    transaction_id: str
    evidence: dict[str, Any]
    refused_topic: str | None
    refused_partition: int | None
    refused_offset: int | None
    stored_account: str | None
    stored_amount: float | None
    stored_time: int | None
    topic: str
    partition: int
    offset_no: int
    reason: str
    dead_account: str | None
    raw_value: memoryview | None

    @property
    def version(self) -> tuple[str, int]:
        return self.alert_id, self.tx_count

    @property
    def place(self) -> Place:
        return self.topic, self.partition, self.offset_no

    @property
    def refused_by(self) -> Place | None:
        """The dead letter by which the version is refused already."""
        if self.refused_topic is None or self.refused_partition is None or self.refused_offset is None:
            return None
        return self.refused_topic, self.refused_partition, self.refused_offset

    def may_rest_on_stored(self) -> bool:
        """Whether the rule can have seen the stored transaction."""
        return self._fits(self.stored_account, self.stored_amount, self.stored_time)

    def may_rest_on_dead(self) -> bool:
        """Whether the rule can have seen the record that is a dead letter; what cannot be read is no reason against it."""
        fields = fields_of(None if self.raw_value is None else bytes(self.raw_value))
        amount, time = double_of(fields.get("amount")), long_of(fields.get("event_time"))
        return self._fits(
            self.dead_account,
            float(amount) if isinstance(amount, int | float) else None,
            time if isinstance(time, int) and abs(time) < 2**63 else None,
        )

    def _fits(self, account: str | None, amount: float | None, time: int | None) -> bool:
        if account is not None and account != self.account_id:
            return False
        start, end = self.evidence["window_start"], self.evidence["window_end"]
        if start is None or end is None:
            return True
        if end > start:
            return time is None or start <= time < end
        claimed = self.evidence["amount"]
        same_amount = amount is None or claimed is None or math.isclose(amount, float(claimed), rel_tol=1e-12)
        return same_amount and (time is None or time == start)


@dataclass(frozen=True, slots=True)
class Refusals:
    """What was settled: the alerts to be judged and shown anew, how many versions were refused, and the transactions that
    belong to an alert no longer."""

    alerts: frozenset[str]
    count: int
    unlinked: frozenset[str]


def settle_refusals(
    cursor: Any, alerts: Sequence[str], ids: Iterable[str], topic: str, exclusion: Exclusion
) -> Refusals:
    """Settle the open versions of `alerts`, and those on the transactions `ids`, by the dead letters that there are.

    Each refusal is a decision, put into the outbox for `topic`. Versions that are no longer refused wait to be judged.
    Raises Foreign.
    """
    prepared.execute(cursor, sql.SUSPECTS, {"alerts": list(alerts), "ids": sorted(set(ids))})
    found = fetch(cursor, _Suspect)
    exclusion.check(suspect.account_id for suspect in found)
    refused: list[_Suspect] = []
    reopened: list[_Suspect] = []
    for _, group in groupby(found, key=lambda suspect: suspect.version):
        suspects = list(group)
        by = _refusing(suspects)
        if by is not None:
            refused.append(by)
        elif suspects[0].refused_by is not None:
            reopened.append(suspects[0])
    new = [suspect for suspect in refused if suspect.refused_by != suspect.place]
    if reopened or new:
        _run(cursor, sql.UNDECIDE, [suspect.version for suspect in (*reopened, *new)])
        _run(cursor, sql.REOPEN, [suspect.version for suspect in reopened])
        _run(cursor, sql.REFUSE, [(*suspect.version, *suspect.place) for suspect in new])
        save_decisions(cursor, [_decision(suspect) for suspect in new], topic)
    misnamed = {(s.alert_id, s.transaction_id) for s in refused if s.stored_account is not None}
    _run(cursor, sql.UNLINK, sorted(misnamed))
    return Refusals(
        frozenset(suspect.alert_id for suspect in (*reopened, *new)),
        len(new),
        frozenset(transaction_id for _, transaction_id in misnamed),
    )


def _refusing(suspects: Sequence[_Suspect]) -> _Suspect | None:
    """The dead letter that a version rests on, the earliest; None if it rests on the stored transaction."""
    if suspects[0].stored_account is not None and suspects[0].may_rest_on_stored():
        return None
    fitting = [suspect for suspect in suspects if suspect.may_rest_on_dead()]
    if fitting or suspects[0].stored_account is not None:
        return fitting[0] if fitting else None
    return suspects[0]


def _decision(suspect: _Suspect) -> NewDecision:
    topic, partition, offset = suspect.place
    return NewDecision(
        alert_id=suspect.alert_id,
        tx_count=suspect.tx_count,
        decided_by=DECIDED_BY,
        action_no=0,
        transaction_id=suspect.transaction_id,
        outcome=OUTCOME,
        score=None,
        reason=f"its transaction is the dead letter {topic}/{partition}/{offset}: {suspect.reason}",
        verdicts="[]",
    )


def _run(cursor: Any, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    if rows:
        execute_values(cursor, statement, rows, page_size=len(rows))

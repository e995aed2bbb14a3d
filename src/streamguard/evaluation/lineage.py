"""The whole way of a transaction or an alert: each step with its time, from the record to what people made of it.

All of it is read from the database; `lineage_records` adds what only the topics know: when a record was written, and at which
offset a decision was sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from streamguard.config import Settings, UserError
from streamguard.consumer.judge import from_ms
from streamguard.models import show_amount

Place = tuple[str, int, int]
"""Topic, partition, offset."""


class NothingKnown(UserError):
    """There is neither a transaction nor an alert of this id."""


@dataclass(frozen=True)
class Step:
    """One step; `at` is None where its time is not known. `place` is that of its record, `facts` what it rests on."""

    at: datetime | None
    step: str
    said: str
    transaction_id: str | None = None
    alert_id: str | None = None
    place: Place | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


_TRANSACTION = """
SELECT transaction_id, account_id, amount, currency, merchant_name, event_time, stored_at, source_partition, source_offset
FROM transactions WHERE transaction_id = :id
"""
_DEAD = """
SELECT source_topic, source_partition, source_offset, reason, failed_at FROM dead_letters WHERE transaction_id = :id
ORDER BY source_topic, source_partition, source_offset
"""
_ALERTS_OF = """
SELECT alert_id FROM alert_transactions WHERE transaction_id = :id
UNION SELECT alert_id FROM alert_versions WHERE transaction_id = :id
ORDER BY alert_id
"""
_VERSIONS = """
SELECT v.tx_count, v.transaction_id, v.evidence, v.judged, v.source_partition, v.source_offset, v.stored_at,
    a.rule, a.account_id, v.refused_topic, v.refused_partition, v.refused_offset
FROM alert_versions v JOIN fraud_alerts a USING (alert_id) WHERE alert_id = :id ORDER BY tx_count
"""
_DECISIONS = """
SELECT d.tx_count, d.decided_by, d.action_no, d.transaction_id, d.outcome, d.score, d.reason, d.verdicts, d.decided_at,
    d.list_change_no, encode(s.hash, 'hex') AS rule_set, s.content
FROM decisions d LEFT JOIN rule_sets s ON s.rule_set_no = d.rule_set_no
WHERE d.alert_id = :id ORDER BY d.decided_at, d.tx_count, d.action_no
"""
_DEPLOYED = """
SELECT deployment_no, version, sql_text, deployed_by, deployed_at FROM deployed_rules
WHERE rule = :rule AND sql_hash = :hash AND deployed_at <= :at ORDER BY deployment_no DESC LIMIT 1
"""
_LISTED = """
SELECT change_no, list, kind, value, change, reason, changed_by, changed_at FROM list_history
WHERE change_no <= :change_no AND list = :list AND kind = ANY(:kinds) AND value IN (
    SELECT unnest(ARRAY[t.account_id, t.merchant_id, t.device_id, t.ip_address, t.country])
    FROM transactions t WHERE t.transaction_id = :transaction)
ORDER BY change_no DESC LIMIT 5
"""
_REPLACED = """
SELECT replacement_no, replaced_at, alert_offsets FROM rule_replacements
WHERE rule = :rule AND alert_offsets IS NOT NULL ORDER BY replacement_no
"""
_NOTES = "SELECT written_at, written_by, note FROM alert_notes WHERE alert_id = :id"
_AUDIT = """
SELECT entry_no, done_at, done_by, action, reason, encode(row_hash, 'hex') AS row_hash FROM audit_log
WHERE subject = 'alert ' || :id ORDER BY entry_no
"""
_IS_ALERT = "SELECT EXISTS (SELECT FROM fraud_alerts WHERE alert_id = :id)"


def lineage(connection: Connection, settings: Settings, name: str) -> list[Step]:
    """The steps of the alert or transaction `name`, in the order in which they follow from each other; of a transaction
    those of all its alerts. Raises NothingKnown."""
    if connection.execute(text(_IS_ALERT), {"id": name}).scalar_one():
        return list(_alert(connection, settings, name, set()))
    seen: set[str] = set()
    steps = list(_transaction(connection, settings, name, seen))
    for (alert_id,) in connection.execute(text(_ALERTS_OF), {"id": name}).all():
        steps += _alert(connection, settings, alert_id, seen)
    if not steps:
        raise NothingKnown(
            f"there is neither an alert nor a transaction {name}, and no dead letter with that id: see `streamguard alerts list`"
        )
    return steps


def _transaction(connection: Connection, settings: Settings, name: str, seen: set[str]) -> Iterator[Step]:
    """The steps of a transaction that none of the alerts before has shown."""
    if name in seen:
        return
    seen.add(name)
    of: dict[str, Any] = {"transaction_id": name}
    for t in connection.execute(text(_TRANSACTION), {"id": name}):
        place = (settings.transactions_topic, t.source_partition, t.source_offset)
        where = f" at {t.merchant_name}" if t.merchant_name else ""
        paid = f"account {t.account_id}, {show_amount(t.amount, t.currency)} {t.currency}{where}"
        yield Step(t.event_time, "paid", paid, **of)
        yield Step(None, "produced", "written to its topic", place=place, **of)
        yield Step(t.stored_at, "stored", "read by the consumer and stored", place=place, **of)
    for d in connection.execute(text(_DEAD), {"id": name}):
        dead = (d.source_topic, d.source_partition, d.source_offset)
        yield Step(d.failed_at, "refused", f"dead letter: {d.reason}", place=dead, **of)


def _alert(connection: Connection, settings: Settings, alert_id: str, seen: set[str]) -> Iterator[Step]:
    decisions = connection.execute(text(_DECISIONS), {"id": alert_id}).all()
    for v in connection.execute(text(_VERSIONS), {"id": alert_id}).all():
        if v.transaction_id is not None:
            yield from _transaction(connection, settings, v.transaction_id, seen)
        of: dict[str, Any] = {"transaction_id": v.transaction_id, "alert_id": alert_id}
        place = None if v.source_offset is None else (settings.alerts_topic, v.source_partition, v.source_offset)
        count = f"{v.tx_count} transaction{'s' if v.tx_count != 1 else ''}"
        yield Step(from_ms(v.evidence["detected_at"]), "raised", f"{v.rule} over {count}", facts=v.evidence, **of)
        if place is not None:
            yield Step(None, "produced", "the alert's record, with the time of its transaction", place=place, **of)
        yield Step(v.stored_at, "alert stored", "read by the consumer and stored", place=place, **of)
        if not v.judged:
            yield Step(None, "waits", "not decided yet: its transaction is neither stored nor refused", **of)
        for d in decisions:
            if d.tx_count == v.tx_count and d.decided_by in ("rules", "consumer"):
                yield from _decision(connection, settings, v, d, of)
    yield from _people(connection, settings, alert_id, decisions)


def _decision(connection: Connection, settings: Settings, v: Any, d: Any, of: dict[str, Any]) -> Iterator[Step]:
    if d.decided_by == "rules":
        yield Step(d.decided_at, "judged", _rested_on(d), facts=_basis(connection, v, d), **of)
        for verdict in d.verdicts:
            if verdict["points"] or verdict["outcome"] or verdict["reason"]:
                yield Step(d.decided_at, "verdict", _verdict(verdict), facts=verdict["facts"], **of)
    score = "" if d.score is None else f" ({d.score})"
    yield Step(d.decided_at, "decided", f"{d.outcome}{score}: {d.reason}", **of)
    yield _sent(d, of)


def _sent(d: Any, of: dict[str, Any]) -> Step:
    """The record of the decision; `lineage_records` finds it by these facts."""
    which = {"tx_count": d.tx_count, "decided_by": d.decided_by, "outcome": d.outcome, "decided_at": d.decided_at}
    return Step(None, "sent", "to the topic of decisions", facts=which, **of)


def _rested_on(d: Any) -> str:
    if d.content is None:
        return "what it rested on was not kept then"
    content = d.content
    asked = [rule for rule in content["python_rules"] if rule["mode"] != "off"]
    return (
        f"rule set {d.rule_set[:12]}: StreamGuard {content['program']}, {len(asked)} Python rules,"
        f" {len(content['sql_rules'])} SQL rules; lists as of change {d.list_change_no}"
    )


def _basis(connection: Connection, v: Any, d: Any) -> dict[str, Any]:
    """The versions that a decision rested on: of the SQL rule, of the lists, and the whole rule set."""
    found: dict[str, Any] = {"rule_set": d.rule_set, "list_change_no": d.list_change_no, "content": d.content}
    if d.content is None:
        return found
    for rule in d.content["sql_rules"]:
        if rule["name"] == v.rule:
            which = {"rule": v.rule, "hash": rule["sql"], "at": d.decided_at}
            row = connection.execute(text(_DEPLOYED), which).mappings().one_or_none()
            found["sql_rule"] = {**rule, **(row or {})}
    replaced = [
        r.replacement_no
        for r in connection.execute(text(_REPLACED), {"rule": v.rule})
        if v.source_offset is not None and v.source_offset < r.alert_offsets.get(str(v.source_partition), 0)
    ]
    if replaced:
        # The alert's record is older than the replacement: its SQL is that of before, whenever it was decided.
        found["written_before_replacement"] = replaced[0]
    for verdict in d.verdicts:
        for name, fact in (("blacklist", "listed"), ("allowlist", "allowed")):
            if kinds := verdict["facts"].get(fact):
                which = {"change_no": d.list_change_no, "list": name, "kinds": kinds, "transaction": d.transaction_id}
                found[name] = [dict(row) for row in connection.execute(text(_LISTED), which).mappings()]
    return found


def _verdict(verdict: Mapping[str, Any]) -> str:
    insists = f", insists on {verdict['outcome']}" if verdict["outcome"] else ""
    mode = "" if verdict["mode"] == "active" else f" ({verdict['mode']})"
    return (
        f"{verdict['rule']} v{verdict['version']}{mode}: {verdict['points']:+d}{insists}  {verdict['reason']}".rstrip()
    )


def _people(connection: Connection, settings: Settings, alert_id: str, decisions: Any) -> Iterator[Step]:
    """What people did, by time."""
    found: list[Step] = []
    of: dict[str, Any] = {"alert_id": alert_id}
    for d in decisions:
        if d.decided_by not in ("rules", "consumer"):
            who = d.decided_by.removeprefix("analyst:")
            found += [
                Step(d.decided_at, "person", f"{who}: {d.outcome}  {d.reason or ''}".rstrip(), **of),
                _sent(d, of),
            ]
    for n in connection.execute(text(_NOTES), {"id": alert_id}):
        found.append(Step(n.written_at, "note", f"{n.written_by}: {n.note}", **of))
    for a in connection.execute(text(_AUDIT), {"id": alert_id}):
        said = f"entry {a.entry_no}: {a.done_by} did {a.action}{f'  {a.reason}' if a.reason else ''}"
        found.append(Step(a.done_at, "audit", said, facts={"entry_no": a.entry_no, "row_hash": a.row_hash}, **of))
    # A decision was sent behind itself.
    times = [step.at or found[number - 1].at for number, step in enumerate(found)]
    yield from (found[number] for number in sorted(range(len(found)), key=lambda number: (times[number], number)))

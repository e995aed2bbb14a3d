"""`streamguard lineage TRANSACTION|ALERT`: the whole way with times, and what each decision rested on."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer

from streamguard.cli.shared import database, new_app, print_line, print_lines
from streamguard.config import UserError, get_settings
from streamguard.evaluation.lineage import Step, lineage
from streamguard.evaluation.lineage_records import with_records
from streamguard.evaluation.recompute import Recomputed, recompute
from streamguard.kafka.clients import kafka_errors

app = new_app("The whole way of a transaction or an alert, from its record to what people made of it.")


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="TRANSACTION|ALERT", help="The id of either.")],
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object, with all facts and versions.")] = False,
    again: Annotated[
        bool, typer.Option("--recompute", help="Compute each decision once more; exits 1 where one differs.")
    ] = False,
    records: Annotated[
        bool, typer.Option("--records/--no-records", help="Ask Kafka when records were written and decisions sent.")
    ] = True,
) -> None:
    """Each step with its time, UTC; what the rules decided with; on request whether that gives the same decision again."""
    with database() as connection:
        steps = lineage(connection, get_settings(), name)
        alerts = dict.fromkeys(step.alert_id for step in steps if step.alert_id is not None)
        recomputed = [found for alert in alerts for found in recompute(connection, alert)] if again else []
    steps, unknown = _with_records(steps) if records else (steps, None)
    if as_json:
        found = {"steps": [_object(step) for step in steps]}
        found |= {"recomputed": [_recomputed_object(one) for one in recomputed]} if again else {}
        print(json.dumps(found, indent=2, default=str))
    else:
        print_lines(_lines(steps))
        print_lines(line for one in recomputed for line in _recomputed_lines(one))
    if unknown is not None:
        print_line(f"when records were written and decisions sent is left out: {unknown}", err=True)
    if any(one.differences for one in recomputed):
        raise typer.Exit(1)


def _with_records(steps: list[Step]) -> tuple[list[Step], UserError | None]:
    try:
        with kafka_errors():
            return with_records(get_settings(), steps), None
    except UserError as error:
        return steps, error


def _lines(steps: Sequence[Step]) -> Iterator[str]:
    heading = None
    for step in steps:
        of = f"Alert {step.alert_id}" if step.alert_id is not None else f"Transaction {step.transaction_id}"
        if of != heading:
            heading = of
            yield of
        at = f"{step.at:%Y-%m-%d %H:%M:%S.%f}"[:23] if step.at is not None else " " * 23
        place = "" if step.place is None else "  {}/{}/{}".format(*step.place)
        yield f"  {at}  {step.step:<12} {step.said}{place}"
        if step.step == "verdict" and step.facts:
            yield f"{'':>40}{json.dumps(dict(step.facts), ensure_ascii=False, default=str)}"
        if sql := step.facts.get("sql_rule"):
            by = (
                f", deployed {sql['deployed_at']:%Y-%m-%d %H:%M:%S} by {sql['deployed_by']}"
                if "deployed_at" in sql
                else ""
            )
            yield f"{'':>40}SQL {sql['name']} version {sql['version']}, statements {sql['sql'][:12]}{by}"
        if number := step.facts.get("written_before_replacement"):
            yield f"{'':>40}its record is from before replacement {number} of the rule: by the SQL of before"
        for name in ("blacklist", "allowlist"):
            for entry in step.facts.get(name, ())[:1]:
                when = f"{entry['changed_at']:%Y-%m-%d %H:%M:%S}"
                yield f"{'':>40}{name}: change {entry['change_no']} by {entry['changed_by']}, {when}"


def _recomputed_lines(found: Recomputed) -> Iterator[str]:
    of = f"{found.alert_id} at {found.tx_count}"
    for note in found.notes:
        yield f"NOTE: {of}: {note}"
    for difference in found.differences:
        yield f"DIFFERENT: {of}: {difference}"
    if not found.differences:
        yield f"{of}: the same once more: {found.decision.outcome} ({found.decision.score})"


def _object(step: Step) -> dict[str, Any]:
    place = None if step.place is None else dict(zip(("topic", "partition", "offset"), step.place, strict=True))
    at = None if step.at is None else step.at.isoformat()
    return {**dataclasses.asdict(step), "at": at, "place": place, "facts": dict(step.facts)}


def _recomputed_object(found: Recomputed) -> dict[str, Any]:
    decision = {"outcome": found.decision.outcome, "score": found.decision.score, "reason": found.decision.reason}
    state = {"same": not found.differences, "differences": found.differences, "notes": found.notes}
    return {"alert_id": found.alert_id, "tx_count": found.tx_count, **decision, **state}

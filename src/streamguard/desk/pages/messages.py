"""The records of a topic: searched, live, saved, one whole, and written again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import orjson
from starlette.responses import JSONResponse, Response, StreamingResponse

from streamguard.config import UserError
from streamguard.desk import shown
from streamguard.desk.brokers import reads_kafka
from streamguard.desk.look import LIMITS, SCRIPT_STEP_S, Look
from streamguard.desk.render import link
from streamguard.desk.reveal import note_opened
from streamguard.desk.site import NotFound, Visit, route
from streamguard.kafka.browse import STEP_S, Browser
from streamguard.kafka.messages import Message, cursor_of, cursor_text
from streamguard.kafka.send import send_record
from streamguard.users import audit

LIVE_ROWS = 200
"""Records that a live list takes at once; what came beyond is counted and left out."""


@route("GET", "/topics/{name}", needs="topics.read")
@reads_kafka
def topic(visit: Visit) -> Response:
    """The records of a topic; a fragment has rows only, and with `live` those that came since `at`."""
    name, look = visit.path["name"], Look.of(visit.query)
    live = bool(visit.query.get("live"))
    with look.open(visit, name, step_s=SCRIPT_STEP_S if visit.is_fragment else STEP_S) as browser:
        step = browser.forward(look.at, look.contains, LIVE_ROWS) if live else look.step(browser)
        record, wanted = _opened(visit, browser, look)
    if visit.desk.looks.is_new(visit.user, name, str(look.fields)):
        _note(visit, f"topic {name}", look.fields)
    if record is not None:
        _note(visit, f"record {name}/{record.partition}/{record.offset}")
    left_out = 0
    if live and step.next:
        left_out = browser.left(step, backward=False)
        step.next = {}
        step.looked = {p: (low, browser.ends[p]) for p, (low, _) in step.looked.items()}
    values = {
        "name": name,
        "look": look,
        "step": step,
        "messages": [(message, _moment(message)) for message in step.messages],
        "left_out": left_out,
        "left": browser.left(step, backward=look.backward),
        "next": cursor_text(step.next),
        "tail": cursor_text({p: span[1] for p, span in step.looked.items()} if live else browser.ends),
        "preview": shown.preview,
    }
    if visit.is_fragment:
        return visit.page("topic_rows.html", **values)
    spans = {"begins": sum(browser.begins.values()), "ends": sum(browser.ends.values())}
    return visit.page(
        "topic.html",
        **values,
        **spans,
        limits=LIMITS,
        partitions=browser.all_partitions,
        record=None if record is None else record_values(record),
        selected=wanted,
    )


def _opened(visit: Visit, browser: Browser, look: Look) -> tuple[Message | None, str]:
    """The record at the right: the one that `open` names, or that an address with partition and offset leads to."""
    wanted = visit.query.get("open", "")
    if not wanted and look.partition is not None and look.start.isdecimal() and not visit.is_fragment:
        wanted = f"{look.partition}:{look.start}"
    if not wanted:
        return None, ""
    [(partition, offset), *_] = cursor_of(wanted).items()
    return browser.one(partition, offset), wanted


@route("GET", "/topics/{name}/save", needs="topics.read")
@reads_kafka
def save(visit: Visit) -> Response:
    """All records that fit, as JSON lines, from the place to the end as it is now."""
    name, look = visit.path["name"], Look.of({**visit.query, "at": ""})
    browser = look.open(visit, name, step_s=SCRIPT_STEP_S if visit.is_fragment else STEP_S)
    try:
        start = look.begin(browser)
        _note(visit, f"topic {name}", {**look.fields, "saved": "JSON lines"})
    except BaseException:
        browser.close()
        raise

    def lines() -> Iterator[bytes]:
        with browser:
            for found in browser.every(start, look.contains):
                value = shown.as_line(found) if isinstance(found, Message) else {"not_read": str(found)}
                yield orjson.dumps(value) + b"\n"

    headers = {"content-disposition": f'attachment; filename="{name}.jsonl"'}
    return StreamingResponse(lines(), media_type="application/x-ndjson", headers=headers)


@route("GET", "/topics/{name}/{partition}/{offset}", needs="topics.read")
@reads_kafka
def record(visit: Visit) -> Response:
    """One record whole."""
    name, place = visit.path["name"], f"{visit.path['partition']}:{visit.path['offset']}"
    [(partition, offset)] = cursor_of(place).items()
    with Browser(visit.desk.settings.kafka, name, [partition]) as browser:
        found = browser.one(partition, offset)
    if found is None:
        raise NotFound(
            f"{name} has no record at partition {partition}, offset {offset}: it has {browser.begins[partition]:,} to"
            f" {browser.ends[partition]:,}, some of them markers of transactions"
        )
    _note(visit, f"record {name}/{partition}/{offset}")
    values = {"name": name, "record": record_values(found)}
    return visit.page("topic_record.html" if visit.is_fragment else "topic_record_page.html", **values)


def record_values(message: Message) -> dict[str, Any]:
    """What is shown of a record."""
    key, value = shown.show(message.key), shown.show(message.value)
    editable = key.form != "hex" and value.form != "hex"
    return {
        "message": message,
        "at": _moment(message),
        "key": key,
        "value": value,
        "key_hints": shown.hints(message.key) if key.form == "hex" else [],
        "value_hints": shown.hints(message.value) if value.form == "hex" else [],
        "headers": [(name, shown.show(data)) for name, data in message.headers],
        "editable": editable,
        "key_edit": _editable(message.key, editable),
        "value_edit": _editable(message.value, editable),
    }


def _editable(data: bytes | None, as_text: bool) -> str:
    return (data or b"").decode() if as_text else (data or b"").hex()


@route("POST", "/topic/produce", needs="topics.change")
@reads_kafka
def produce(visit: Visit) -> Response:
    """Write a record: `key` and `value` as text, or as hexadecimal where `form` is hex; `no_key`, `no_value` for null."""
    name, reason, partition = visit.text("topic"), visit.reason(), visit.text("partition")
    if partition and not (partition.isdecimal() and len(partition) < 10):
        raise UserError("a partition is a number, or empty: by the key")
    key, value = (_bytes(visit, part) for part in ("key", "value"))
    headers = shown.read_headers(str(visit.form.get("headers", "")))
    with visit.database() as connection:
        there = send_record(
            visit.desk.settings.kafka,
            name,
            key,
            value,
            headers,
            int(partition) if partition else None,
        )
        audit.note(
            connection,
            visit.user,
            "topics.change",
            f"record {name}/{there[0]}/{there[1]}",
            reason=reason,
            before={"copied_from": visit.text("source")} if visit.text("source") else None,
            after={"key": shown.preview(key)[0], "value_bytes": len(value or b""), "headers": len(headers)},
        )
    target = link("topics", name, str(there[0]), str(there[1]))
    if visit.is_fragment:
        return JSONResponse({"said": f"Written to {name}, partition {there[0]}, offset {there[1]}", "address": target})
    return visit.to(target)


def _note(visit: Visit, subject: str, what: dict[str, Any] | None = None) -> None:
    with visit.database() as connection:
        note_opened(connection, visit.user, subject, what)


def _bytes(visit: Visit, part: str) -> bytes | None:
    if visit.text(f"no_{part}"):
        return None
    words = str(visit.form.get(part, ""))
    if visit.text("form") != "hex":
        return words.replace("\r\n", "\n").encode()
    try:
        return bytes.fromhex(words)
    except ValueError:
        raise UserError(f"the {part} is not hexadecimal: pairs of 0-9 and a-f are needed") from None


def _moment(message: Message) -> datetime | None:
    try:
        return (
            None if message.timestamp_ms is None else datetime.fromtimestamp(message.timestamp_ms / 1000, timezone.utc)
        )
    except (ValueError, OverflowError):
        return None

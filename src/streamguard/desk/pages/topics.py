"""Topics: what there is, the records of one, and one record whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import wraps
from typing import Any

import orjson
from kafka import KafkaAdminClient
from kafka.errors import KafkaError
from starlette.responses import JSONResponse, Response, StreamingResponse

from streamguard.config import UserError
from streamguard.dead_letters.find import BadTime, time_of
from streamguard.desk import shown
from streamguard.desk.cluster import history_of
from streamguard.desk.pages.queue import page_of
from streamguard.desk.render import link
from streamguard.desk.site import Handler, NotFound, Visit, refuse, route
from streamguard.kafka.browse import STEP_S, Browser, Contains, Message, NoSuchTopic, Step, cursor_of, cursor_text
from streamguard.kafka.clients import kafka_admin
from streamguard.kafka.overview import TopicFacts, overview
from streamguard.kafka.send import send_record
from streamguard.stack.readiness import kafka_probe
from streamguard.users import audit

PAGE = 100
LIMITS = (20, 50, 100, 200, 500)
LIVE_ROWS = 200
"""Records that a live list takes at once; what came beyond is counted and left out."""
SCRIPT_STEP_S = 1.0
_INTERESTING = ("cleanup.policy", "retention.ms", "retention.bytes", "max.message.bytes", "min.insync.replicas")


def reads_kafka(handler: Handler) -> Handler:
    """A page that Kafka answers for; where it does not, a page that says so, with 503."""

    @wraps(handler)
    def answer(visit: Visit) -> Response:
        # The client would try for seconds before it gives up.
        if (problem := kafka_probe(visit.desk.settings)) is not None:
            return refuse(visit, 503, f"Kafka is unavailable ({problem}); this page comes back with it.")
        try:
            return handler(visit)
        except NoSuchTopic as error:
            raise NotFound(str(error)) from None
        except (KafkaError, OSError) as error:
            where = visit.desk.settings.kafka_bootstrap_servers
            sentence = f"Kafka at {where} did not answer ({type(error).__name__}); this page comes back with it."
            return refuse(visit, 503, sentence)

    return answer


@contextmanager
def cluster(visit: Visit) -> Iterator[KafkaAdminClient]:
    """A client of the cluster. Raises KafkaError."""
    with kafka_admin(visit.desk.settings) as client:
        yield client


@dataclass(frozen=True)
class TopicRow:
    """A topic in the list; `rate` is records a second, None while it is not known."""

    facts: TopicFacts
    rate: float | None

    @property
    def lag(self) -> int:
        """Records that the slowest group is behind."""
        return max(self.facts.groups.values(), default=0)


def is_behind(lag: int, rate: float | None) -> bool:
    """Whether a lag is more than ten seconds of what arrives, and a hundred: less is what is on its way."""
    return lag > 10 * (rate or 0.0) + 100


ORDERS: dict[str, Callable[[TopicRow], Any]] = {
    "name": lambda row: row.facts.name,
    "messages": lambda row: (-row.facts.records, row.facts.name),
    "size": lambda row: (-(row.facts.size_bytes or 0), row.facts.name),
    "rate": lambda row: (-(row.rate or 0), row.facts.name),
    "lag": lambda row: (-row.lag, row.facts.name),
}


@route("GET", "/topics", needs="topics.read")
@reads_kafka
def topics(visit: Visit) -> Response:
    """All topics; `q` is a part of the name, `internal` shows those that begin with an underscore too."""
    history = history_of(visit.desk.settings.kafka_bootstrap_servers)
    words, internal = visit.query.get("q", "").lower(), bool(visit.query.get("internal"))
    order = visit.query.get("order", "name")
    with cluster(visit) as client:
        seen = overview(client)
    rows = [TopicRow(facts, history.rate_of(facts.name)) for facts in seen.topics if words in facts.name.lower()]
    listed = sorted(
        (row for row in rows if internal or not row.facts.is_internal), key=ORDERS.get(order, ORDERS["name"])
    )
    page = page_of(visit)
    return visit.page(
        "topics.html",
        rows=listed[(page - 1) * PAGE : page * PAGE],
        count=len(listed),
        hidden=len(rows) - len(listed),
        more=len(listed) > page * PAGE,
        page=page,
        wanted={"q": visit.query.get("q", ""), "internal": "1" if internal else "", "order": order},
        orders=ORDERS,
        ever=bool(seen.topics),
        behind=is_behind,
    )


@route("GET", "/topics/{name}/about", needs="topics.read")
@reads_kafka
def about(visit: Visit) -> Response:
    """Partitions, groups and settings of a topic."""
    name = visit.path["name"]
    with cluster(visit) as client:
        seen = overview(client)
    facts = next((found for found in seen.topics if found.name == name), None)
    if facts is None:
        raise NotFound(f"there is no topic {name}")
    history = history_of(visit.desk.settings.kafka_bootstrap_servers)
    return visit.page(
        "topic_about.html",
        name=name,
        topic=facts,
        rate=history.rate_of(name),
        groups=[(group, facts.groups[group.name]) for group in seen.groups if group.name in facts.groups],
        lags=history.lag_of,
        interesting=_INTERESTING,
        behind=is_behind,
    )


@dataclass(frozen=True)
class Look:
    """What is looked for, from the fields of an address. `start` is newest, oldest, an offset or a time."""

    partition: int | None
    start: str
    contains: Contains
    limit: int
    at: dict[int, int]

    @classmethod
    def of(cls, query: dict[str, str]) -> Look:
        """Raises UserError for what cannot be read."""
        partition, limit = query.get("partition", ""), query.get("limit", "50")
        if partition and not (partition.isdecimal() and len(partition) < 10):
            raise UserError(f"{partition[:20]!r} is no partition: a number is needed")
        start = query.get("from", "").strip() or "newest"
        if start.isdecimal() and len(start) > 18:
            raise UserError("an offset has at most 18 digits")
        texts = Contains(query.get("key", ""), query.get("value", ""), query.get("header", ""))
        size = int(limit) if limit.isdecimal() and int(limit) in LIMITS else 50
        at = cursor_of(query["at"]) if query.get("at") else {}
        return cls(int(partition) if partition else None, start, texts, size, at)

    @property
    def backward(self) -> bool:
        """From the newest back."""
        return self.start == "newest"

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of the address, without the place to go on."""
        found = {
            "partition": self.partition,
            "from": "" if self.start == "newest" else self.start,
            "key": self.contains.key,
            "value": self.contains.value,
            "header": self.contains.header,
            "limit": "" if self.limit == 50 else self.limit,
        }
        return {name: value for name, value in found.items() if value not in (None, "")}

    def open(self, visit: Visit, topic: str) -> Browser:
        """The topic. Raises NoSuchTopic, KafkaError."""
        # The page comes at once; its script goes on in longer steps.
        step_s = SCRIPT_STEP_S if visit.is_fragment else STEP_S
        partitions = [] if self.partition is None else [self.partition]
        return Browser(visit.desk.settings.kafka_bootstrap_servers, topic, partitions, step_s=step_s)

    def begin(self, browser: Browser) -> dict[int, int]:
        """Where a look forwards begins. Raises UserError for a time that cannot be read."""
        if self.at:
            return self.at
        if self.start in ("oldest", "newest"):
            return {}
        if self.start.isdecimal():
            return dict.fromkeys(browser.begins, int(self.start))
        return browser.at_time(place_time_ms(self.start))

    def step(self, browser: Browser) -> Step:
        """The next records."""
        if self.backward:
            return browser.backward(self.at, self.contains, self.limit)
        return browser.forward(self.begin(browser), self.contains, self.limit)


def place_time_ms(words: str) -> int:
    """A time in a topic, epoch milliseconds. Raises UserError."""
    if words.startswith("@") and words[1:].isdecimal() and len(words) < 17:
        return int(words[1:])
    try:
        return int(time_of(words).timestamp() * 1000)
    except (BadTime, OverflowError):
        raise UserError(
            f"{words[:40]!r} is no place to begin: newest, oldest, an offset, a time in UTC such as 2026-11-29T10:00, or so"
            " long ago: 2h"
        ) from None


@route("GET", "/topics/{name}", needs="topics.read")
@reads_kafka
def topic(visit: Visit) -> Response:
    """The records of a topic; a fragment has rows only, and with `live` those that came since `at`."""
    name, look = visit.path["name"], Look.of(visit.query)
    live = bool(visit.query.get("live"))
    with look.open(visit, name) as browser:
        step = browser.forward(look.at, look.contains, LIVE_ROWS) if live else look.step(browser)
        record, wanted = _opened(visit, browser, look)
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
    browser = look.open(visit, name)
    try:
        start = look.begin(browser)
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
    with Browser(visit.desk.settings.kafka_bootstrap_servers, name, [partition]) as browser:
        found = browser.one(partition, offset)
    if found is None:
        raise NotFound(
            f"{name} has no record at partition {partition}, offset {offset}: it has {browser.begins[partition]:,} to"
            f" {browser.ends[partition]:,}, some of them markers of transactions"
        )
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
            visit.desk.settings.kafka_bootstrap_servers,
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

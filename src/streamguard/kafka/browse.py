"""Looking through a topic in steps: forwards or backwards from a place, for records that contain a text.

A step reads at most `step_records` records, and says which offsets it looked at, what it could not read, and where the next one
goes on: a search of a large topic is a chain of steps that can end and resume anywhere. Only committed records are seen.

A cursor is a position of each partition. Forwards it is the next offset to read, backwards the offset that comes first behind
those still to be read. As text: `0:17,1:4`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from types import TracebackType

from kafka import TopicPartition
from kafka.errors import CorruptRecordError

from streamguard.kafka import clients
from streamguard.kafka.clients import Servers
from streamguard.kafka.corrupt import CorruptBatch, skip_corrupt
from streamguard.kafka.messages import Contains, Cursor, Message, NoSuchTopic, Step, message_of
from streamguard.kafka.topic_reader import NO_PROGRESS_S, TopicNotRead

STEP_RECORDS = 50_000
STEP_S = 0.2
"""A step ends after so long, even if it has read less."""
FIRST_WINDOW, WINDOW = 500, 5_000
"""Offsets of each partition that are read at once where records are searched: few at first, more as it goes on."""
_POLL_MS = 500


class Browser:
    """Reads one topic, or the partitions of it that are named; to be closed. `begins` and `ends` are its offsets as it opened.

    Every method raises kafka.errors.KafkaError, and TopicNotRead where the broker does not return the records in time.
    """

    def __init__(
        self,
        servers: Servers,
        topic: str,
        partitions: Iterable[int] = (),
        *,
        step_records: int = STEP_RECORDS,
        step_s: float = STEP_S,
    ) -> None:
        self._servers, self.topic = servers, topic
        self._step_records, self._step_s = step_records, step_s
        self._consumer = clients.consumer(
            servers,
            group_id=None,
            client_id="streamguard-browse",
            enable_auto_commit=False,
            isolation_level="read_committed",
            allow_auto_create_topics=False,
            max_poll_records=5_000,
            bootstrap_timeout_ms=5_000,
        )
        try:
            self._partitions = self._chosen(set(partitions))
            asked = [TopicPartition(topic, number) for number in self._partitions]
            self.begins = {p.partition: offset for p, offset in self._consumer.beginning_offsets(asked).items()}
            self.ends = {p.partition: offset for p, offset in self._consumer.end_offsets(asked).items()}
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close(autocommit=False)

    def _chosen(self, wanted: set[int]) -> list[int]:
        self.all_partitions = sorted(self._consumer.partitions_for_topic(self.topic) or ())
        if not self.all_partitions:
            raise NoSuchTopic(f"there is no topic {self.topic}")
        if missing := wanted - set(self.all_partitions):
            count = len(self.all_partitions)
            raise NoSuchTopic(f"the topic {self.topic} has no partition {min(missing)}: it has {count}, from 0 on")
        return sorted(wanted) or self.all_partitions

    def at_time(self, time_ms: int) -> dict[int, int]:
        """The first offset of each partition whose record is not before a time; its end where none is."""
        asked = {TopicPartition(self.topic, number): time_ms for number in self._partitions}
        found = self._consumer.offsets_for_times(asked)
        return {p.partition: at.offset if at is not None else self.ends[p.partition] for p, at in found.items()}

    def forward(self, start: Cursor, wanted: Contains, limit: int) -> Step:
        """The next records from `start` on, up to `limit`; of a partition that is not in `start`, from its beginning."""
        at = {p: min(max(start.get(p, 0), self.begins[p]), self.ends[p]) for p in self._partitions}
        return self._run(at, wanted, limit, backward=False)

    def backward(self, before: Cursor, wanted: Contains, limit: int) -> Step:
        """The newest records before `before`, up to `limit`; of a partition that is not in it, before its end."""
        at = {p: max(min(before.get(p, self.ends[p]), self.ends[p]), self.begins[p]) for p in self._partitions}
        return self._run(at, wanted, limit, backward=True)

    def every(self, start: Cursor, wanted: Contains) -> Iterator[Message | CorruptBatch]:
        """All that fit from `start` to the end, whole, window by window; and what could not be read."""
        at = {p: min(max(start.get(p, 0), self.begins[p]), self.ends[p]) for p in self._partitions}
        while any(at[p] < self.ends[p] for p in at):
            step, high = Step(), {p: min(self.ends[p], at[p] + WINDOW) for p in at}
            found = self._window(at, high, wanted, step, whole=True)
            yield from step.skipped.values()
            yield from sorted((m for messages in found.values() for m in messages), key=_time)
            at = high

    def left(self, step: Step, *, backward: bool) -> int:
        """Offsets that a step left to be looked at."""
        if not step.next:
            return 0
        return sum(at - self.begins[p] if backward else self.ends[p] - at for p, at in step.next.items())

    def one(self, partition: int, offset: int) -> Message | None:
        """The whole record at a place; None where there is none (any more)."""
        if not self.begins.get(partition, 0) <= offset < self.ends.get(partition, 0):
            return None
        found = self._window({partition: offset}, {partition: offset + 1}, Contains(), Step(), whole=True)
        return next(iter(found[partition]), None)

    def _run(self, at: dict[int, int], wanted: Contains, limit: int, *, backward: bool) -> Step:
        step, began = Step(looked={p: (offset, offset) for p, offset in at.items()}), time.monotonic()
        size = min(FIRST_WINDOW if wanted else limit, self._step_records)
        last = self.begins if backward else self.ends
        while len(step.messages) < limit and at != {p: last[p] for p in at}:
            if step.examined >= self._step_records or time.monotonic() - began > self._step_s:
                break
            low, high = (
                ({p: max(self.begins[p], at[p] - size) for p in at}, at)
                if backward
                else (at, {p: min(self.ends[p], at[p] + size) for p in at})
            )
            found = self._window(low, high, wanted, step, whole=False)
            rest = _take(found, step.messages, limit, backward)
            for p in at:
                # What was found beyond the limit is read again by the next step.
                turned = (rest[p].offset + (1 if backward else 0)) if p in rest else (low[p] if backward else high[p])
                seen = step.looked[p]
                step.looked[p] = (turned, seen[1]) if backward else (seen[0], turned)
            at = {p: span[0] if backward else span[1] for p, span in step.looked.items()}
            size = min(2 * size, WINDOW, self._step_records) if wanted else size
        if at != {p: last[p] for p in at}:
            step.next = at
        return step

    def _window(
        self, low: Cursor, high: Cursor, wanted: Contains, step: Step, *, whole: bool
    ) -> dict[int, list[Message]]:
        """The records of `[low, high)` of each partition that fit, in their order."""
        found: dict[int, list[Message]] = {p: [] for p in low}
        todo = {TopicPartition(self.topic, p): high[p] for p in low if low[p] < high[p]}
        self._consumer.assign(list(todo))
        self._consumer.resume(*todo)
        for partition in todo:
            self._consumer.seek(partition, low[partition.partition])
        progress, progressed_at = -1, time.monotonic()
        while todo:
            try:
                polled = self._consumer.poll(timeout_ms=_POLL_MS)
            except CorruptRecordError as error:
                for batch in skip_corrupt(self._servers, self._consumer, error):
                    step.skipped[batch.partition, batch.first] = batch
                continue
            for partition, records in polled.items():
                inside = [record for record in records if record.offset < high[partition.partition]]
                step.examined += len(inside)
                found[partition.partition] += [message_of(r, whole) for r in inside if wanted.fits(r)]
            position = sum(map(self._consumer.position, todo))
            if position != progress:
                progress, progressed_at = position, time.monotonic()
            elif time.monotonic() - progressed_at > NO_PROGRESS_S:
                raise TopicNotRead(
                    f"the topic {self.topic} was not read: no record in {NO_PROGRESS_S:.0f} s; see `streamguard status`"
                )
            if done := [p for p, end in todo.items() if self._consumer.position(p) >= end]:
                # Paused, so that nothing is fetched beyond what is asked for.
                self._consumer.pause(*done)
                todo = {p: end for p, end in todo.items() if p not in done}
        return found


def _take(found: dict[int, list[Message]], into: list[Message], limit: int, backward: bool) -> dict[int, Message]:
    """Move records into a list until it has `limit`, by time and in the order of each partition; returns the first of each
    partition that was left."""
    lines = {p: messages[::-1] if backward else messages for p, messages in found.items()}
    at = dict.fromkeys(lines, 0)
    while len(into) < limit and (heads := [p for p in lines if at[p] < len(lines[p])]):
        chosen = (max if backward else min)(heads, key=lambda p: _time(lines[p][at[p]]))
        into.append(lines[chosen][at[chosen]])
        at[chosen] += 1
    return {p: lines[p][at[p]] for p in lines if at[p] < len(lines[p])}


def _time(message: Message) -> int:
    return message.timestamp_ms or 0

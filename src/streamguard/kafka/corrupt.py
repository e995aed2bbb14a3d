"""Record batches whose checksum does not match: which offsets they are, so that a reader can say so and go on behind them.

A reader that meets one raises CorruptRecordError at each poll, for ever. What the batch holds is lost; what follows is
not. A broker serves batches as they are on its disk (https://kafka.apache.org/protocol#The_Messages_Fetch), and one that
is asked for any offset of a batch answers with the whole of it: so the first offset behind it is found by asking.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from kafka import TopicPartition
from kafka.errors import CorruptRecordError, KafkaTimeoutError

from streamguard.kafka import clients
from streamguard.kafka.clients import Servers

log = logging.getLogger("streamguard.kafka")

_BASE_OFFSET = re.compile(r"at offset (\d+)")
_POLL_MS = 200
_ANSWER_S = 10.0


class CorruptBatch(NamedTuple):
    """The offsets [first, next_offset) of a partition that cannot be read."""

    topic: str
    partition: int
    first: int
    next_offset: int

    @property
    def reason(self) -> str:
        """One sentence: what is lost, and where."""
        last = self.next_offset - 1
        offsets = f"offset {self.first} is" if last == self.first else f"offsets {self.first} to {last} are"
        return f"the record batch is corrupt (its checksum does not match): {offsets} lost"

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}: {self.reason}"


def corrupt_batches(servers: Servers, positions: Mapping[TopicPartition, int]) -> list[CorruptBatch]:
    """The corrupt batches that begin at or hold one of these positions, at most one of each partition.

    Raises kafka.errors.KafkaError where the broker does not answer.
    """
    consumer = clients.consumer(
        servers,
        group_id=None,
        enable_auto_commit=False,
        max_poll_records=1,
        bootstrap_timeout_ms=5_000,
    )
    try:
        found = [(partition, first, _behind(consumer, partition, first)) for partition, first in positions.items()]
    finally:
        consumer.close(autocommit=False)
    return [CorruptBatch(p.topic, p.partition, first, behind) for p, first, behind in found if behind > first]


def skip_corrupt(servers: Servers, consumer: Any, error: CorruptRecordError) -> list[CorruptBatch]:
    """Move `consumer`, whose poll raised `error`, behind the corrupt batches that it is in front of; say what is lost.

    Raises `error` where there is none.
    """
    batches = corrupt_batches(servers, {p: consumer.position(p) for p in consumer.assignment()})
    if not batches:
        raise error
    for batch in batches:
        log.error("%s", batch, extra={"topic": batch.topic, "partition": batch.partition, "offset": batch.first})
        consumer.seek(TopicPartition(batch.topic, batch.partition), batch.next_offset)
    return batches


def _behind(consumer: Any, partition: TopicPartition, first: int) -> int:
    """The offset behind the corrupt batch that has `first`; `first` itself where its batch is whole."""
    consumer.assign([partition])
    end = consumer.end_offsets([partition])[partition]
    base = _corrupt_base(consumer, partition, first, end)
    if base is None:
        return first
    inside, step = first, 1
    while _corrupt_base(consumer, partition, inside + step, end) == base:
        inside, step = inside + step, step * 2
    beyond = inside + step
    while beyond - inside > 1:
        middle = (inside + beyond) // 2
        if _corrupt_base(consumer, partition, middle, end) == base:
            inside = middle
        else:
            beyond = middle
    return beyond


def _corrupt_base(consumer: Any, partition: TopicPartition, offset: int, end: int) -> int | None:
    """The first offset of the batch that has `offset`, if that is corrupt."""
    if offset >= end:
        return None
    consumer.seek(partition, offset)
    deadline = time.monotonic() + _ANSWER_S
    while time.monotonic() < deadline:
        try:
            if consumer.poll(timeout_ms=_POLL_MS) or consumer.position(partition) > offset:
                return None
        except CorruptRecordError as error:
            named = _BASE_OFFSET.search(str(error))
            return int(named.group(1)) if named else offset
    raise KafkaTimeoutError(f"{partition.topic}/{partition.partition}: no answer to a fetch of offset {offset}")

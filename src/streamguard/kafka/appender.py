"""Many records through a producer of kafka-python 3: encoded once, into its own batches, with one callback for each batch.

`KafkaProducer.send` makes two futures of each record, checks each header, and asks for the topic's partitions each time: that is
most of what sending costs. What comes after is the client's own: compression, idempotence, retries, order.

The form is that of a record of a batch of version 2: https://kafka.apache.org/documentation/#record
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from kafka import KafkaProducer, TopicPartition
from kafka.errors import KafkaConnectionError
from kafka.producer.producer_batch import ProducerBatch
from kafka.record.memory_records import MemoryRecordsBuilder

Done = Callable[[TopicPartition, int, int, list[Any], "BaseException | None"], None]
"""Called from the client's thread for each batch: its partition, the offset of its first record, the number of records, what was
noted of them, and the error where the broker refused it."""


def varint(number: int) -> bytes:
    """A number of either sign as records have it: zigzag, seven bits a byte."""
    left = number << 1 if number >= 0 else (-number << 1) - 1
    out = bytearray()
    while left > 0x7F:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    out.append(left)
    return bytes(out)


_VARINTS = [varint(number) for number in range(1 << 13)]
"""Of lengths and deltas as most records have them."""


def _varint(number: int) -> bytes:
    return _VARINTS[number] if 0 <= number < 1 << 13 else varint(number)


def encode_headers(headers: Iterable[tuple[str, bytes]]) -> bytes:
    """The headers of a record, with their number, as they stand at its end."""
    found = [(name.encode(), value) for name, value in headers]
    return varint(len(found)) + b"".join(
        b"%b%b%b%b" % (varint(len(name)), name, varint(len(value)), value) for name, value in found
    )


class Appender:
    """Appends to the batches of `producer`, which nobody else sends with to the same topic. For one thread."""

    def __init__(self, producer: KafkaProducer, done: Done) -> None:
        self._producer = producer
        self._accumulator = producer._accumulator
        self._done = done
        self._largest = int(producer.config["max_request_size"])
        # The client halves a batch that is too large for the broker, and makes new ones of it.
        self._split = self._accumulator.split_and_reenqueue
        self._accumulator.split_and_reenqueue = self._split_and_watch

    def append(
        self, partition: TopicPartition, key: bytes, value: bytes | None, headers: bytes, note: Any = None
    ) -> None:
        """Put a record into the batch of its partition; `headers` are those of `encode_headers`.

        Lets `KafkaProducer` raise MessageSizeTooLargeError. Raises KafkaConnectionError where the producer is closed.
        """
        tail = _varint(len(key)) + key
        tail += b"\x01" if value is None else _varint(len(value)) + value
        tail += headers
        if len(tail) + 100 > self._largest:
            self._producer._ensure_valid_record_size(len(tail) + 100)
        stamp_ms = int(time.time() * 1000)
        accumulator = self._accumulator
        if accumulator._closed:
            raise KafkaConnectionError("the producer is closed")
        with accumulator._tp_lock(partition):
            waiting = accumulator._batches[partition]
            if waiting and _write(waiting[-1].records, stamp_ms, tail):
                waiting[-1].notes.append(note)
                return
            batch = self._new_batch(partition)
            _write(batch.records, stamp_ms, tail)
            batch.notes.append(note)
            waiting.append(batch)
            accumulator._incomplete.add(batch)
        self._producer._sender.wakeup()

    def _new_batch(self, partition: TopicPartition) -> Any:
        config = self._accumulator.config
        records = MemoryRecordsBuilder(2, config["compression_attrs"], config["batch_size"])
        batch = ProducerBatch(partition, records)
        batch.notes = []
        batch.produce_future.add_callback(partial(self._completed, batch))
        return batch

    def _completed(self, batch: Any, result: Any) -> None:
        first, _, error_of = result
        error = None if error_of is None else error_of(0)
        self._done(batch.topic_partition, first, batch.record_count, batch.notes, error)

    def _split_and_watch(self, batch: Any, now: float | None = None) -> Any:
        made = self._split(batch, now)
        notes = getattr(batch, "notes", None)
        if notes is not None:
            with self._accumulator._tp_lock(batch.topic_partition):
                parts = [self._accumulator._batches[batch.topic_partition][number] for number in range(made)]
            for part in parts:
                part.notes, notes = notes[: part.record_count], notes[part.record_count :]
                part.produce_future.add_callback(partial(self._completed, part))
        return made


def _write(records: Any, stamp_ms: int, tail: bytes) -> bool:
    """Write a record behind those of a batch; False where there is no room for it, or it is on its way already."""
    if records._closed:
        return False
    builder, offset = records._builder, records._next_offset
    buffer = builder._buffer
    if offset:
        delta = stamp_ms - builder._first_timestamp
        builder._max_timestamp = max(builder._max_timestamp, stamp_ms)
    else:
        delta = 0
        builder._first_timestamp = builder._max_timestamp = stamp_ms
    record = b"\x00" + _varint(delta) + _varint(offset) + tail
    length = _varint(len(record))
    if offset and len(buffer) + len(length) + len(record) > builder._batch_size:
        return False
    buffer += length
    buffer += record
    builder._num_records += 1
    builder._last_offset = offset
    records._next_offset = offset + 1
    return True

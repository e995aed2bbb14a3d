"""Frames into a broker that runs in this process without sockets, and requests to fill them."""

from __future__ import annotations

import asyncio
from typing import Any

from streamguard_broker.broker import Broker
from streamguard_broker.connection import Connection
from streamguard_broker.registry import Handler
from streamguard_broker.storage.records import build_batch

TOPIC = "there"


class Pipe(asyncio.Transport):
    """Collects what is written."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.written = bytearray()
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


def make_request(handler: Handler, version: int) -> Any:
    """A small but not empty request: names, one topic, one partition wherever the schema has a place for them."""
    return fill(handler.request_class[version](), version)


def fill(message: Any, version: int) -> Any:
    for field in message._struct.fields.values():
        if not field.for_version_q(version) or field.tagged_field_q(version):
            continue
        if field.is_struct_array():
            setattr(message, field.name, [fill(field.data_class(version=version), version)])
        elif field.name in ("topic", "name", "resource_name", "topic_name") and isinstance(field.default, str):
            setattr(message, field.name, TOPIC)
        elif field.name == "group_id":
            message.group_id = "group"
        elif field.name == "records":
            message.records = bytes(build_batch([(b"k", b"v")], 1))
        elif field.name == "session_timeout_ms":
            message.session_timeout_ms = 6000
        elif field.name in ("rebalance_timeout_ms", "timeout_ms"):
            setattr(message, field.name, 1000)
        elif field.name == "topics" and field.default is None:
            message.topics = None
    return message


async def exchange(broker: Broker, frame: bytes) -> bytes:
    """One request frame in, one response frame out."""
    pipe = Pipe()
    connection = Connection(broker, "127.0.0.1", 0, lambda _: None)
    connection.connection_made(pipe)
    buffer = connection.get_buffer(-1)
    buffer[: len(frame)] = frame
    connection.buffer_updated(len(frame))
    for _ in range(300):
        if pipe.written or pipe.closed:
            break
        await asyncio.sleep(0.01)
    connection.connection_lost(None)
    return bytes(pipe.written)

"""Mutated frames of every API: the broker rejects or answers them, without an error and without growing.

300 per API in every run; 100,000 with the marker `soak`.
"""

from __future__ import annotations

import asyncio
import logging
import random
import resource
import struct
from pathlib import Path

import pytest

from streamguard_broker.api import HANDLERS
from streamguard_broker.broker import Broker
from streamguard_broker.connection import Connection
from streamguard_broker.options import BrokerOptions
from streamguard_broker.registry import Handler
from tests.support.frames import TOPIC, Pipe, exchange, make_request

APIS = sorted(HANDLERS.values(), key=lambda handler: handler.key)
GROWTH_MB = 60


def mutate(rng: random.Random, frame: bytes) -> bytes:
    """A few bytes changed, removed, repeated or inserted; the size field stays correct, so that all of it is read."""
    body = bytearray(frame[4:])
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(body)) if body else 0
        kind = rng.randrange(5)
        if kind == 0 and body:
            body[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        elif kind == 1:
            del body[at : at + rng.randint(1, 8)]
        elif kind == 2:
            body[at:at] = rng.randbytes(rng.randint(1, 8))
        elif kind == 3:
            body[at:at] = body[at : at + rng.randint(1, 16)]
        elif len(body) > at + 4:
            struct.pack_into(">i", body, at, rng.choice((-1, 0, 2**31 - 1, -(2**31), 1 << 24)))
    if len(body) >= 2 and rng.random() < 0.9:
        body[:2] = frame[4:6]
    return struct.pack(">i", len(body)) + bytes(body)


async def send_mutated(broker: Broker, handler: Handler, count: int, seed: int) -> None:
    rng = random.Random(seed)
    for number in range(count):
        version = rng.randint(handler.min_version, handler.max_version)
        request = make_request(handler, version)
        request.with_header(correlation_id=number, client_id="fuzz")
        frame = mutate(rng, bytes(request.encode(header=True, framed=True)))
        pipe = Pipe()
        connection = Connection(broker, "127.0.0.1", 0, lambda _: None)
        connection.connection_made(pipe)
        connection.get_buffer(-1)[: len(frame)] = frame
        connection.buffer_updated(len(frame))
        await asyncio.sleep(0)
        if number % 50 == 0:
            await asyncio.sleep(0.001)
        connection.connection_lost(None)


async def survive(folder: Path, handler: Handler, count: int) -> None:
    broker = Broker(BrokerOptions(folder))
    broker.catalog.create(TOPIC, 1)
    await send_mutated(broker, handler, count, seed=handler.key)
    probe = make_request(HANDLERS[18], 3)
    probe.with_header(correlation_id=1, client_id="probe")
    assert await exchange(broker, bytes(probe.encode(header=True, framed=True)))
    await broker.close()


def run(folder: Path, handler: Handler, count: int, caplog: pytest.LogCaptureFixture) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with caplog.at_level(logging.ERROR, logger="streamguard_broker"):
        asyncio.run(survive(folder, handler, count))
    assert not caplog.records, caplog.records[0].getMessage()
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown_mb < GROWTH_MB


@pytest.mark.parametrize("handler", APIS, ids=lambda h: h.name)
def test_mutated_frames(tmp_path: Path, handler: Handler, caplog: pytest.LogCaptureFixture) -> None:
    run(tmp_path, handler, 300, caplog)


@pytest.mark.soak
@pytest.mark.parametrize("handler", APIS, ids=lambda h: h.name)
def test_many_mutated_frames(tmp_path: Path, handler: Handler, caplog: pytest.LogCaptureFixture) -> None:
    run(tmp_path, handler, 100_000, caplog)

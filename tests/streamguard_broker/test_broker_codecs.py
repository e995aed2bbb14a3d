"""Every API in every advertised version: a request of default fields gets a response that the client's codec reads.

The broker runs in this process without sockets: frames go in through a Connection, answers come out of its transport.
"""

from __future__ import annotations

import asyncio
import struct
import sys
from pathlib import Path
from typing import Any

import kafka.protocol.admin as admin
import kafka.protocol.consumer as consumer
import kafka.protocol.metadata as metadata
import kafka.protocol.producer as producer
import kafka.protocol.sasl as sasl
import pytest

from streamguard_broker import schemas
from streamguard_broker.api import HANDLERS
from streamguard_broker.broker import Broker
from streamguard_broker.options import BrokerOptions
from streamguard_broker.registry import Call, Handler, handles
from tests.support.frames import TOPIC, exchange, make_request

CASES = [
    (handler, version)
    for handler in sorted(HANDLERS.values(), key=lambda h: h.key)
    for version in range(handler.min_version, handler.max_version + 1)
]


def response_class(handler: Handler) -> Any:
    name = f"{handler.name}Response"
    return next(getattr(m, name) for m in (admin, consumer, metadata, producer, sasl, schemas) if hasattr(m, name))


@pytest.mark.parametrize(("handler", "version"), CASES, ids=lambda v: getattr(v, "name", v))
def test_a_response_is_what_the_client_can_decode(tmp_path: Path, handler: Handler, version: int) -> None:
    async def scenario() -> bytes:
        broker = Broker(BrokerOptions(tmp_path))
        broker.catalog.create(TOPIC, 1)
        request = make_request(handler, version)
        request.with_header(correlation_id=77, client_id="test")
        if handler.name == "Produce":
            request.acks = -1
        answer = await exchange(broker, bytes(request.encode(header=True, framed=True)))
        await broker.close()
        return answer

    answer = asyncio.run(scenario())
    assert answer, "no response"
    size = struct.unpack_from(">i", answer)[0]
    assert size == len(answer) - 4
    response = response_class(handler).decode(answer, version=version, header=True, framed=True)
    assert response.header.correlation_id == 77
    response._header = None
    encoded = response.encode(version=version)
    assert answer.endswith(bytes(encoded)), "the codec reads back exactly what was sent"


def test_a_double_registration_is_an_error() -> None:
    with pytest.raises(ValueError, match="two handlers"):
        handles(metadata.ApiVersionsRequest, 0, 1)(lambda call, request: None)


def test_a_version_without_codec_is_an_error() -> None:
    with pytest.raises(ValueError, match="no codec"):
        handles(admin.DescribeQuorumRequest, 0, 99)(lambda call, request: None)


def test_an_unknown_version_of_api_versions_is_answered_in_version_0(tmp_path: Path) -> None:
    async def scenario() -> bytes:
        broker = Broker(BrokerOptions(tmp_path))
        body = struct.pack(">hhi", 18, 99, 5) + b"\x00\x04test\x00"
        answer = await exchange(broker, struct.pack(">i", len(body)) + body)
        await broker.close()
        return answer

    answer = asyncio.run(scenario())
    assert struct.unpack_from(">ih", answer, 4) == (5, 35)
    decoded = metadata.ApiVersionsResponse.decode(answer, version=0, header=True, framed=True)
    assert {key.api_key for key in decoded.api_keys} == set(HANDLERS)


def test_a_new_api_is_advertised_and_answered(tmp_path: Path) -> None:
    """One decorated function: nothing else lists the APIs."""
    key = int(admin.UpdateFeaturesRequest.API_KEY)

    async def scenario() -> tuple[bytes, bytes]:
        broker = Broker(BrokerOptions(tmp_path))
        answers = []
        for handler in (HANDLERS[18], HANDLERS[key]):
            request = make_request(handler, 0)
            request.with_header(correlation_id=1, client_id="test")
            answers.append(await exchange(broker, bytes(request.encode(header=True, framed=True))))
        await broker.close()
        return answers[0], answers[1]

    try:

        @handles(admin.UpdateFeaturesRequest, 0, 0)
        def update_features(call: Call, request: Any) -> Any:
            return admin.UpdateFeaturesResponse(throttle_time_ms=0, error_code=42, error_message="no", results=[])

        versions, answer = asyncio.run(scenario())
    finally:
        HANDLERS.pop(key, None)
    decoded = metadata.ApiVersionsResponse.decode(versions, version=0, header=True, framed=True)
    assert key in {api.api_key for api in decoded.api_keys}
    response = admin.UpdateFeaturesResponse.decode(answer, version=0, header=True, framed=True)
    assert (response.error_code, response.error_message) == (42, "no")


def test_every_family_documents_its_keys() -> None:
    """The docstring of a module names each API of its handlers with its key, its behaviour and its version notes."""
    for handler in HANDLERS.values():
        head = sys.modules[handler.function.__module__].__doc__ or ""
        assert f"{handler.name} ({handler.key})" in head
        assert "Behaviour\n" in head and "Version notes\n" in head

"""ListTransactions: filters, among them a pattern that is not a regular expression."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from kafka.protocol.admin import ListTransactionsRequest, ListTransactionsResponse

from streamguard_broker import patterns
from streamguard_broker.broker import Broker
from streamguard_broker.errors import ErrorCode
from streamguard_broker.options import BrokerOptions
from tests.support.frames import exchange


async def list_transactions(broker: Broker, **filters: Any) -> Any:
    wanted = {"state_filters": [], "producer_id_filters": [], "duration_filter": -1, "transactional_id_pattern": None}
    request = ListTransactionsRequest[2](**(wanted | filters))
    request.with_header(correlation_id=1, client_id="test")
    answer = await exchange(broker, bytes(request.encode(header=True, framed=True)))
    return ListTransactionsResponse.decode(answer, version=2, header=True, framed=True)


@pytest.mark.parametrize(
    ("filters", "code", "ids"),
    [
        ({}, ErrorCode.NONE, ["pay-1", "pay-2"]),
        ({"transactional_id_pattern": "pay-[2-9]"}, ErrorCode.NONE, ["pay-2"]),
        ({"transactional_id_pattern": "pay-(["}, ErrorCode.INVALID_REGULAR_EXPRESSION, []),
        ({"state_filters": ["Ongoing"]}, ErrorCode.NONE, []),
        ({"duration_filter": 0}, ErrorCode.NONE, []),
    ],
)
def test_filters(tmp_path: Path, filters: dict[str, Any], code: ErrorCode, ids: list[str]) -> None:
    async def scenario() -> Any:
        broker = Broker(BrokerOptions(tmp_path))
        for name in ("pay-1", "pay-2"):
            await broker.transactions.init_producer(name, 1000)
        response = await list_transactions(broker, **filters)
        await broker.close()
        return response

    response = asyncio.run(scenario())
    assert response.error_code == code
    assert [state.transactional_id for state in response.transaction_states] == ids


def test_a_pattern_that_backtracks_without_end_blocks_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "PATTERN_SECONDS", 0.1)

    async def scenario() -> tuple[Any, int]:
        broker = Broker(BrokerOptions(tmp_path))
        await broker.transactions.init_producer("a" * 60 + "!", 1000)
        slow = asyncio.create_task(list_transactions(broker, transactional_id_pattern="(a|aa)+"))
        answered = 0
        while not slow.done():
            assert len((await list_transactions(broker)).transaction_states) == 1
            answered += 1
        await broker.close()
        return await slow, answered

    response, answered = asyncio.run(scenario())
    assert response.error_code == ErrorCode.INVALID_REGULAR_EXPRESSION
    assert response.transaction_states == []
    assert answered > 1, "others are answered while the pattern is matched"

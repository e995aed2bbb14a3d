"""The sink of HTTP: batches in order, at least once, and what a receiver does that is down, slow or choosy."""

from __future__ import annotations

import base64
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from streamguard.sinks import SINKS, Sink, SinkError, SinkUnavailable
from streamguard.sinks.webhook import MOST_RECORDS
from tests.streamguard.sinks.examples import POISON, decision, poison, transaction
from tests.support.broker import free_port
from tests.support.receiver import Receiver


def opened(url: str, folder: Path, token: str = "") -> Sink:
    return SINKS["http"](url, folder=folder, token=token)


def sent(receiver: Receiver) -> list[Any]:
    return [record for got in receiver.got for record in json.loads(got.body)]


def test_a_batch_is_an_array_of_records(tmp_path: Path) -> None:
    with Receiver() as receiver, closing(opened(receiver.url, tmp_path, "t0ken")) as sink:
        sink.write([decision(0), transaction(4, partition=2)])
        [got] = receiver.got
        assert got.headers["content-type"] == "application/json" and got.headers["authorization"] == "Bearer t0ken"
        first, second = json.loads(got.body)
        assert (first["topic"], first["partition"], first["offset"], first["key"]) == ("decisions", 0, 0, "A1")
        assert first["value"] == json.loads(decision(0).value or b"") and second["partition"] == 2
        assert sink.next_offsets("decisions") == {0: 1} and sink.next_offsets("transactions") == {2: 5}
    with closing(opened(receiver.url, tmp_path)) as sink:
        assert sink.next_offsets("decisions") == {0: 1}


def test_a_value_that_is_no_json_is_base64(tmp_path: Path) -> None:
    with Receiver() as receiver, closing(opened(receiver.url, tmp_path)) as sink:
        sink.write([poison(n, value=value) for n, value in enumerate(POISON)])
        for value, record in zip(POISON, sent(receiver), strict=True):
            if "value_base64" in record:
                assert base64.b64decode(record["value_base64"]) == value
            else:
                assert record["value"] == (None if value is None else json.loads(value))


def test_a_receiver_that_fails_gets_the_same_again_in_order(tmp_path: Path) -> None:
    statuses = iter([204, 503, 302, 429, 507])
    with Receiver(lambda _: next(statuses, 204)) as receiver, closing(opened(receiver.url, tmp_path)) as sink:
        records = [decision(n) for n in range(MOST_RECORDS + 1)]
        for status in (503, 302, 429, 507):
            first = sink.next_offsets("decisions").get(0, 0)
            with pytest.raises(SinkUnavailable, match=f"http://127.0.0.1 answers {status}"):
                sink.write(records[first:])
        first = sink.next_offsets("decisions")[0]
        assert first == MOST_RECORDS, "what was taken is not sent again"
        sink.write(records[first:])
        assert len({got.headers["idempotency-key"] for got in receiver.got[1:]}) == 1
        assert receiver.got[0].headers["idempotency-key"] != receiver.got[1].headers["idempotency-key"]
        assert [record["offset"] for record in sent(receiver)][-1] == MOST_RECORDS


def test_a_batch_that_is_too_large_is_halved(tmp_path: Path) -> None:
    def answer(got: Any) -> int:
        return 413 if len(json.loads(got.body)) > 3 else 204

    with Receiver(answer) as receiver, closing(opened(receiver.url, tmp_path)) as sink:
        sink.write([decision(n) for n in range(10)])
        taken = [json.loads(got.body) for got in receiver.got if len(json.loads(got.body)) <= 3]
        assert [record["offset"] for batch in taken for record in batch] == list(range(10))


def test_nobody_at_the_address_is_an_outage_and_shows_no_path(tmp_path: Path) -> None:
    with (
        closing(opened(f"http://127.0.0.1:{free_port()}/s3cret", tmp_path)) as sink,
        pytest.raises(SinkUnavailable, match=r"^http://127.0.0.1 does not answer: \w+$"),
    ):
        sink.write([decision(0)])


def test_one_process_sends_to_an_address(tmp_path: Path) -> None:
    with closing(opened("http://127.0.0.1:1/a", tmp_path)):
        with pytest.raises(SinkError, match="another process sends to"):
            opened("http://127.0.0.1:1/a", tmp_path)
        opened("http://127.0.0.1:1/b", tmp_path).close()
    with pytest.raises(SinkError, match="needs an address"):
        opened("ftp://x", tmp_path)

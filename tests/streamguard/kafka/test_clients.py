"""Errors of the Kafka client become one sentence with the address."""

from __future__ import annotations

import pytest
from kafka import KafkaAdminClient

from streamguard.kafka.clients import KafkaUnavailable, kafka_errors
from tests.support.broker import free_port


def test_a_broker_that_does_not_answer_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", address)
    with pytest.raises(KafkaUnavailable) as caught, kafka_errors():
        KafkaAdminClient(bootstrap_servers=address, bootstrap_timeout_ms=100)
    assert str(caught.value).startswith(f"Kafka at {address} (KAFKA_BOOTSTRAP_SERVERS): ")
    assert "\n" not in str(caught.value)


def test_any_other_error_passes_through() -> None:
    with pytest.raises(KeyError), kafka_errors():
        raise KeyError("x")

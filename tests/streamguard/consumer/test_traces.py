"""One trace from the record of a transaction to its decision; nothing of it without a sample."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from streamguard.config import load_settings
from streamguard.metrics.traces import MissingExtra, tracer_of
from streamguard.models import Transaction
from tests.support.broker import BrokerProcess
from tests.support.desk import Desk
from tests.support.processes import Program, eventually
from tests.support.records import high_amount
from tests.support.topics import read_topic


class Receiver:
    """Takes spans by OTLP over HTTP; `spans` has service, name, trace, span and parent of each."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, str, str, str, str]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.take(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, request: Any) -> None:
        for resource in request.resource_spans:
            [service] = [a.value.string_value for a in resource.resource.attributes if a.key == "service.name"]
            for scope in resource.scope_spans:
                self.spans += [
                    (service, s.name, s.trace_id.hex(), s.span_id.hex(), s.parent_span_id.hex()) for s in scope.spans
                ]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_one_trace_leads_from_the_record_to_the_decision(
    desk: Desk, broker: BrokerProcess, receiver: Receiver, tmp_path: Path
) -> None:
    environment = {
        "DATABASE_URL": desk.postgres.url(),
        "KAFKA_BOOTSTRAP_SERVERS": broker.address,
        "STREAMGUARD_TRACE_SAMPLE": "1",
        "STREAMGUARD_METRICS_PORT": "0",
        "STREAMGUARD_STATE_DIR": str(tmp_path / "state"),
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{receiver.server.server_port}",
    }
    generator = Program("generator", ["streamguard.cli", "generate", "batch", "--count", "3"], environment, tmp_path)
    generator.start()
    assert generator.process is not None and generator.process.wait(60) == 0, generator.said()
    consumer = Program("consumer", ["streamguard.cli", "consume"], environment, tmp_path)
    consumer.start()
    try:
        record = read_topic(broker.address, "transactions")[0]
        paid = Transaction.from_record(record.value, record.key)
        raised = high_amount(0, paid.transaction_id, paid.account_id, 4_000, paid.event_time)
        from kafka import KafkaProducer

        producer = KafkaProducer(bootstrap_servers=broker.address)
        producer.send("fraud_alerts", raised.value, raised.key)
        producer.close()
        eventually(lambda: read_topic(broker.address, "decisions"), lambda found: len(found) == 1, 60, consumer.said)
    finally:
        consumer.end()
    by_trace: dict[str, dict[str, tuple[str, str, str, str, str]]] = {}
    for span in receiver.spans:
        by_trace.setdefault(span[2], {})[span[1]] = span
    assert len(by_trace) == 3, "one for each transaction"
    [trace] = [names for names in by_trace.values() if "decide" in names]
    assert [*sorted(trace)] == ["decide", "judge", "produce", "store"]
    assert trace["produce"][0] == "streamguard-generator" and trace["decide"][0] == "streamguard-consumer"
    way = [trace[name] for name in ("produce", "store", "judge", "decide")]
    assert [span[4] for span in way] == ["", *(span[3] for span in way[:-1])]
    [decision] = read_topic(broker.address, "decisions")
    header = dict(decision.headers)["traceparent"].decode()
    assert header.split("-")[1:3] == [trace["decide"][2], trace["decide"][3]]
    assert all(set(names) == {"produce", "store"} for names in by_trace.values() if names is not trace)


def test_without_a_sample_nothing_of_it_is_imported() -> None:
    program = (
        "import streamguard.consumer.main, streamguard.cli.generate, sys; assert 'opentelemetry' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
    assert tracer_of("consumer", load_settings()) is None


def test_a_missing_extra_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(MissingExtra, match=r"pip install 'streamguard\[otel\]', or set it to 0"):
        tracer_of("consumer", load_settings(trace_sample=0.5))

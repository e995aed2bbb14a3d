"""Metrics in Prometheus' text format, and the HTTP listener that serves them.

Format: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.process_collector import ProcessCollector

from streamguard_broker.admission import Admission
from streamguard_broker.broker import Broker
from streamguard_broker.connection import Connection
from streamguard_broker.storage.log import PartitionLog

_PROCESS = CollectorRegistry()
ProcessCollector(registry=_PROCESS)
"""CPU, memory, open files and the start of this process, under the names that all programs have."""

_REQUEST_SECONDS = 5.0
_MAX_REQUESTS = 16


def _family(name: str, kind: str, text: str, samples: Iterable[tuple[dict[str, str], float]]) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
    for labels, value in samples:
        inside = ",".join(f'{key}="{_escaped(content)}"' for key, content in labels.items())
        yield f"{name}{{{inside}}} {value}" if inside else f"{name} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _by(label: str, counts: dict[str, int] | dict[str, float]) -> list[tuple[dict[str, str], float]]:
    return [({label: name}, count) for name, count in sorted(counts.items())]


def render(broker: Broker, admission: Admission[Connection]) -> str:
    """All metrics as text."""
    m = broker.metrics
    prefix = "streamguard_broker"
    lines: list[str] = []
    for name, kind, text, samples in (
        ("bytes_in_total", "counter", "Bytes appended, by topic.", _by("topic", m.bytes_in)),
        ("records_in_total", "counter", "Records appended, by topic.", _by("topic", m.records_in)),
        ("bytes_out_total", "counter", "Bytes fetched, by topic.", _by("topic", m.bytes_out)),
        ("records_out_total", "counter", "Records fetched, by topic.", _by("topic", m.records_out)),
        ("requests_total", "counter", "Requests answered, by API.", _by("api", m.requests)),
        ("request_seconds_total", "counter", "From frame to answer, by API.", _by("api", m.request_seconds)),
        ("sync_total", "counter", "Syncs to disk.", [({}, m.syncs)]),
        ("sync_seconds_total", "counter", "Time in syncs.", [({}, m.sync_seconds)]),
        ("connections_total", "counter", "Connections accepted.", [({}, m.connections)]),
        ("connections", "gauge", "Connections open.", [({}, len(admission))]),
        (
            "connections_rejected_total",
            "counter",
            "Connections rejected, by limit.",
            _by("limit", admission.rejected),
        ),
        (
            "connections_closed_silent_total",
            "counter",
            "Connections closed near a limit, because they had sent nothing valid.",
            [({}, admission.closed_silent)],
        ),
        ("log_bytes", "gauge", "Bytes on disk, by topic.", _log_sizes(broker)),
        ("log_end_offset", "gauge", "End of each partition.", _ends(broker)),
        ("log_start_offset", "gauge", "Start of each partition.", _starts(broker)),
        (
            "removed_offsets_total",
            "counter",
            "Offsets that retention or DeleteRecords removed since the topic was created.",
            _removed(broker),
        ),
        ("group_lag_records", "gauge", "Records a group has not committed, by partition.", _lags(broker)),
        ("group_committed_offset", "gauge", "What a group has committed, by partition.", _committed(broker)),
        ("group_members", "gauge", "Members of each group.", _members(broker)),
    ):
        lines += _family(f"{prefix}_{name}", kind, text, samples)
    return "\n".join(lines) + "\n" + generate_latest(_PROCESS).decode()


def _log_sizes(broker: Broker) -> list[tuple[dict[str, str], float]]:
    return [({"topic": t.name}, sum(p.size for p in t.partitions)) for t in broker.catalog.topics.values()]


def _partitions(broker: Broker) -> Iterator[tuple[dict[str, str], PartitionLog]]:
    for t in broker.catalog.topics.values():
        for index, partition in enumerate(t.partitions):
            yield {"topic": t.name, "partition": str(index)}, partition


def _ends(broker: Broker) -> list[tuple[dict[str, str], float]]:
    return [(labels, partition.end_offset) for labels, partition in _partitions(broker)]


def _starts(broker: Broker) -> list[tuple[dict[str, str], float]]:
    return [(labels, partition.start_offset) for labels, partition in _partitions(broker)]


def _removed(broker: Broker) -> list[tuple[dict[str, str], float]]:
    return [
        ({**labels, "reason": reason}, count)
        for labels, partition in _partitions(broker)
        for reason, count in zip(("retention", "DeleteRecords"), partition.removed, strict=True)
    ]


def _lags(broker: Broker) -> list[tuple[dict[str, str], float]]:
    samples: list[tuple[dict[str, str], float]] = []
    for group, offsets in broker.offsets.groups.items():
        for (topic, index), committed in offsets.committed.items():
            partition = broker.catalog.partition(topic, index)
            if partition is not None:
                labels = {"group": group, "topic": topic, "partition": str(index)}
                samples.append((labels, max(0, partition.end_offset - committed.offset)))
    return samples


def _committed(broker: Broker) -> list[tuple[dict[str, str], float]]:
    return [
        ({"group": group, "topic": topic, "partition": str(index)}, committed.offset)
        for group, offsets in broker.offsets.groups.items()
        for (topic, index), committed in offsets.committed.items()
    ]


def _members(broker: Broker) -> list[tuple[dict[str, str], float]]:
    return [({"group": name}, len(group.members)) for name, group in broker.groups.groups.items()]


def not_ready(broker: Broker) -> str | None:
    """Why the broker cannot do its work; None where it can. It listens only after recovery: its disk alone can be in the way."""
    failed = [(labels, partition.failure) for labels, partition in _partitions(broker) if partition.failure]
    if not failed:
        return None
    labels, reason = failed[0]
    first = f"{labels['topic']}-{labels['partition']}"
    return f"{len(failed)} partitions are read-only, the first is {first}: {reason}"


class MetricsServer:
    """GET /metrics, /healthz (it answers) and /readyz (it stores records); everything else is 404.

    One request for each connection.
    """

    def __init__(self, broker: Broker, admission: Admission[Connection]) -> None:
        self._broker = broker
        self._admission = admission
        self._server: asyncio.Server | None = None
        self._requests = 0
        self.port = 0
        """Where it listens; 0 before that."""

    async def start(self, host: str, port: int) -> None:
        """Listen; port 0 is one that the system gives. Raises OSError."""
        self._server = await asyncio.start_server(self._serve, host, port, limit=8192, backlog=_MAX_REQUESTS)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer, or close at once while too many are in progress: their files are the broker's."""
        if self._requests >= _MAX_REQUESTS:
            writer.close()
            return
        self._requests += 1
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _REQUEST_SECONDS)
            status, body = self._answer(head)
            kind = "text/plain; version=0.0.4; charset=utf-8"
            writer.write(
                f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
                "Connection: close\r\n\r\n".encode()
                + body
            )
            await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.TimeoutError, ConnectionError):
            pass
        finally:
            self._requests -= 1
            writer.close()

    def _answer(self, head: bytes) -> tuple[str, bytes]:
        """Status and body for the head of a request."""
        path = head.partition(b"\r\n")[0].removeprefix(b"GET ").partition(b" ")[0].partition(b"?")[0]
        if path == b"/metrics":
            return "200 OK", render(self._broker, self._admission).encode()
        if path == b"/healthz":
            return "200 OK", b"ok\n"
        if path == b"/readyz":
            reason = not_ready(self._broker)
            return ("503 Service Unavailable", f"{reason}\n".encode()) if reason else ("200 OK", b"ok\n")
        return "404 Not Found", b"there are /metrics, /healthz and /readyz\n"

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

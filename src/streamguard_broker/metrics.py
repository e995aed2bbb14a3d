"""The broker's counters: plain dictionaries, cheap enough for the hot path, rendered when scraped."""

from __future__ import annotations

from collections import defaultdict


class Metrics:
    """Counters since the start."""

    def __init__(self) -> None:
        self.bytes_in: dict[str, int] = defaultdict(int)
        self.records_in: dict[str, int] = defaultdict(int)
        self.records_out: dict[str, int] = defaultdict(int)
        self.bytes_out: dict[str, int] = defaultdict(int)
        self.requests: dict[str, int] = defaultdict(int)
        self.request_seconds: dict[str, float] = defaultdict(float)
        self.connections = 0
        self.syncs = 0
        self.sync_seconds = 0.0

    def produced(self, topic: str, records: int, size: int) -> None:
        self.records_in[topic] += records
        self.bytes_in[topic] += size

    def fetched(self, topic: str, records: int, size: int) -> None:
        self.records_out[topic] += records
        self.bytes_out[topic] += size

    def request(self, api: str, seconds: float) -> None:
        self.requests[api] += 1
        self.request_seconds[api] += seconds

    def synced(self, seconds: float) -> None:
        """Called on the sync threads."""
        self.syncs += 1
        self.sync_seconds += seconds

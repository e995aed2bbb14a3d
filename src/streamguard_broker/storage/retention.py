"""Which segments are past the retention limits of their topic (`retention.ms`, `retention.bytes`)."""

from __future__ import annotations

from collections.abc import Sequence

from streamguard_broker.storage.log_config import LogConfig
from streamguard_broker.storage.segment import Segment


def count_expired(segments: Sequence[Segment], config: LogConfig, now_ms: int) -> int:
    """How many of the oldest segments are past a limit; the last one never is.

    By time: all timestamps are older than `retention_ms`. By size: the others have at least `retention_bytes`.
    """
    count, last = 0, len(segments) - 1
    if config.retention_ms >= 0:
        while count < last and segments[count].max_timestamp < now_ms - config.retention_ms:
            count += 1
    if config.retention_bytes >= 0:
        excess = sum(segment.size for segment in segments[count:]) - config.retention_bytes
        while count < last and excess >= segments[count].size:
            excess -= segments[count].size
            count += 1
    return count


def is_expired(active: Segment, config: LogConfig, now_ms: int) -> bool:
    """Whether the active segment has batches, all past `retention_ms`: it must be rolled to be deleted."""
    return config.retention_ms >= 0 and 0 <= active.max_timestamp < now_ms - config.retention_ms

"""The settings of a topic that its partitions use."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class LogConfig:
    """Sizes in bytes, times in ms, -1: no limit. Meanings: https://kafka.apache.org/documentation/#topicconfigs."""

    segment_bytes: int = 64 * 1024 * 1024
    segment_ms: int = 7 * 24 * 3600 * 1000
    retention_bytes: int = -1
    retention_ms: int = -1
    delete: bool = True
    compact: bool = False
    delete_retention_ms: int = 24 * 3600 * 1000
    min_compaction_lag_ms: int = 0
    min_dirty_ratio: float = 0.5

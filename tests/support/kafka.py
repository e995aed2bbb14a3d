"""Apache Kafka for tests; see `benchmarks.kafka_node`."""

from __future__ import annotations

from benchmarks.kafka_node import KafkaProcess, jars, java_tool, kafka_possible

__all__ = ["KafkaProcess", "jars", "java_tool", "kafka_possible"]

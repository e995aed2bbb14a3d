"""A real Apache Kafka for tests; see `streamguard.bench.broker.kafka_node`."""

from __future__ import annotations

from streamguard.bench.broker.kafka_node import KafkaProcess, jars, java_tool, kafka_possible

__all__ = ["KafkaProcess", "jars", "java_tool", "kafka_possible"]

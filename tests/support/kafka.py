"""A real Apache Kafka for tests; see `streamguard.broker_bench.kafka_node`."""

from __future__ import annotations

from streamguard.broker_bench.kafka_node import KafkaProcess, jars, java_tool, kafka_possible

__all__ = ["KafkaProcess", "jars", "java_tool", "kafka_possible"]

"""The engine on a Kafka: queries that poll, run, produce and commit, and statements that survive the process."""

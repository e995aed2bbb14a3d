"""The broker measured: throughput, latency, start and memory."""

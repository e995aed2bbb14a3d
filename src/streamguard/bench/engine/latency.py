"""Latency: from a payment's event to its alert on the topic, at a steady rate, for both rules.

The time of the event is when the producer gets it; that of the alert when a consumer of `fraud_alerts` has it. Every
hundredth payment is over the limit; accounts are few enough that each is over its count within seconds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

ACCOUNTS = 1_000
HIGH_EVERY = 100
WAIT_S = 5.0


@dataclass
class Latencies:
    """Milliseconds by rule, in the order of the alerts."""

    high_amount: list[float] = field(default_factory=list)
    high_velocity: list[float] = field(default_factory=list)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed; 0 for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def measure_latency(servers: str, per_second: int = 1_000, seconds: float = 20.0, warm_up_s: float = 3.0) -> Latencies:
    """Send payments to a running engine with the rules of queries.sql deployed; alerts within `warm_up_s` are left out."""
    sent: dict[str, float] = {}
    found = Latencies()
    ready, done = threading.Event(), threading.Event()
    began = time.perf_counter()
    watcher = threading.Thread(target=_watch, args=(servers, sent, found, ready, done, began + warm_up_s), daemon=True)
    watcher.start()
    if not ready.wait(30):
        raise RuntimeError("the topic fraud_alerts cannot be read within 30 s")
    _send(servers, sent, per_second, seconds + warm_up_s)
    time.sleep(WAIT_S / 5)
    done.set()
    watcher.join(WAIT_S)
    return found


def _send(servers: str, sent: dict[str, float], per_second: int, seconds: float) -> None:
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 0, "acks": "all", "partitioner": "murmur2_random"})
    start = time.perf_counter()
    run = f"{int(time.time() * 1000):x}"
    for number in range(int(per_second * seconds)):
        due = start + number / per_second
        while (left := due - time.perf_counter()) > 0:
            producer.poll(left)
        name, now_ms = f"{run}-{number}", int(time.time() * 1000)
        amount = 5_000.0 if number % HIGH_EVERY == 0 else 10.0
        value = {"transaction_id": name, "amount": amount, "currency": "BRL", "city": "Recife", "event_time": now_ms}
        sent[name] = time.perf_counter()
        producer.produce("transactions", key=f"ACC{number % ACCOUNTS:06d}", value=orjson.dumps(value), timestamp=now_ms)
    producer.flush(10)


def _watch(
    servers: str,
    sent: dict[str, float],
    found: Latencies,
    ready: threading.Event,
    done: threading.Event,
    from_s: float,
) -> None:
    client = Consumer({"bootstrap.servers": servers, "group.id": "latency", "enable.auto.commit": False})
    try:
        partitions = client.list_topics("fraud_alerts", timeout=10).topics["fraud_alerts"].partitions
        wanted = [TopicPartition("fraud_alerts", p) for p in partitions]
        for tp in wanted:
            tp.offset = client.get_watermark_offsets(tp, timeout=10)[1]
        client.assign(wanted)
        ready.set()
        while not done.is_set():
            message = client.poll(0.1)
            if message is None:
                continue
            error = message.error()
            if error is not None:
                if error.code() == KafkaError._PARTITION_EOF:
                    continue
                raise RuntimeError(error.str())
            now = time.perf_counter()
            alert = orjson.loads(message.value() or b"{}")
            began = sent.get(alert.get("TRANSACTION_ID", ""))
            if began is not None and began >= from_s:
                values = found.high_amount if alert["RULE"] == "HIGH_AMOUNT" else found.high_velocity
                values.append((now - began) * 1000)
    finally:
        client.close()

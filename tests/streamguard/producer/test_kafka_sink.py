"""Against a real broker: keys, labels, order, acknowledgements; a broker that is late, dies, or says no."""

from __future__ import annotations

import re
import threading
import time
from collections import defaultdict
from contextlib import closing
from itertools import islice
from pathlib import Path

import psutil
import pytest
from kafka import KafkaAdminClient
from kafka.partitioner.default import murmur2

from streamguard.config import Settings
from streamguard.kafka.topics import MAX_RECORD_BYTES, ensure_topics, topic_configs
from streamguard.metrics.producer import ProducerMetrics, send_seconds
from streamguard.producer.errors import BrokerUnreachable, InputError, NotAcknowledged, PartlyAcknowledged
from streamguard.producer.kafka_sink import KafkaSink
from streamguard.producer.record import Record
from streamguard.producer.runs import Recipe, Run
from streamguard.producer.signals import Stop, Stopped
from tests.support.broker import BrokerProcess, free_port
from tests.support.processes import eventually
from tests.support.topics import read_topic

pytestmark = pytest.mark.integration


def settings_for(address: str) -> Settings:
    return Settings(KAFKA_BOOTSTRAP_SERVERS=address)  # type: ignore[call-arg]


def batch(count: int, **recipe: object) -> list[Record]:
    return list(Run(Recipe(seed=7, **recipe)).batch(count, None, None, 0))  # type: ignore[arg-type]


def test_what_is_sent_is_stored_by_key_with_its_label_and_in_order(broker: BrokerProcess) -> None:
    records = batch(3000, fraud_share=0.2, bad={"malformed": 0.01})
    with closing(KafkaSink(settings_for(broker.address), print)) as sink:
        for record in records:
            sink.send(record)
        sink.finish()
        assert sink.acknowledged == sink.sent == 3000
    stored = read_topic(broker.address)
    assert len(stored) == 3000
    by_value = {(record.key, record.value): record for record in records}
    accounts: defaultdict[bytes, list[bytes | None]] = defaultdict(list)
    for item in stored:
        sent = by_value[item.key, item.value]
        assert dict(item.headers)["label"] == sent.label.encode()
        assert item.partition == (murmur2(item.key) & 0x7FFFFFFF) % 3
        accounts[item.key].append(item.value)
    for key, values in accounts.items():
        assert values == [record.value for record in records if record.key == key]


def test_each_acknowledgement_is_timed(broker: BrokerProcess) -> None:
    latency = send_seconds()
    with closing(KafkaSink(settings_for(broker.address), print, latency=latency)) as sink:
        for record in batch(200):
            sink.send(record)
        sink.finish()
        figures = {s.name: s.value for family in ProducerMetrics(sink, latency).collect() for s in family.samples}
    assert figures["streamguard_producer_records_sent_total"] == 200
    assert figures["streamguard_producer_records_acknowledged_total"] == 200
    assert figures["streamguard_producer_send_seconds_count"] == 200
    assert figures["streamguard_producer_send_seconds_sum"] > 0
    assert figures["streamguard_producer_errors_total"] == figures["streamguard_producer_unacknowledged_records"] == 0


@pytest.mark.parametrize("compression", ["lz4", "gzip"])
def test_compressed_batches_hold_the_same(broker: BrokerProcess, compression: str) -> None:
    records = batch(500)
    with closing(KafkaSink(settings_for(broker.address), print, compression=compression)) as sink:
        for record in records:
            sink.send(record)
        sink.finish()
    assert sorted(item.value for item in read_topic(broker.address)) == sorted(r.value or b"" for r in records)


def test_a_broker_killed_in_the_middle_is_waited_for_and_the_count_is_exact(broker: BrokerProcess) -> None:
    said: list[str] = []
    records = batch(30_000)
    threading.Timer(0.3, _kill_and_restart, [broker, 1.0]).start()
    with closing(KafkaSink(settings_for(broker.address), said.append, patience_s=0.5)) as sink:
        for number, record in enumerate(records):
            sink.send(record)
            if number % 100 == 0:
                time.sleep(0.002)
        sink.finish()
        assert sink.acknowledged == 30_000
    stored = read_topic(broker.address)
    assert len(stored) == 30_000
    assert {item.value for item in stored} == {record.value for record in records}
    assert any("does not answer" in line for line in said), said
    assert any("is back after" in line for line in said), said


def test_a_slow_stream_says_that_the_broker_is_away_too(broker: BrokerProcess) -> None:
    said: list[str] = []
    with closing(KafkaSink(settings_for(broker.address), said.append, patience_s=0.3)) as sink:
        for record in batch(40):
            sink.send(record)
            time.sleep(0.03)
            if sink.sent == 5:
                threading.Thread(target=_kill_and_restart, args=[broker, 0.6]).start()
        sink.finish()
    assert any("does not answer" in line and " records wait for it" in line for line in said), said
    assert said[-1].startswith("the broker is back after")
    assert len(read_topic(broker.address)) == 40


def test_a_broker_that_comes_late_is_waited_for(tmp_path: Path) -> None:
    broker = BrokerProcess(tmp_path / "log")
    said: list[str] = []
    threading.Timer(1.2, broker.start).start()
    with closing(KafkaSink(settings_for(broker.address), said.append, wait_s=20)) as sink:
        sink.send(batch(1)[0])
        sink.finish()
    broker.kill()
    assert said[:1] == [f"waiting for the broker at {broker.address}"]


def test_no_broker_at_all_is_one_sentence() -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(BrokerUnreachable, match=f"no broker answers at {address}: start the stack"):
        KafkaSink(settings_for(address), lambda _: None, wait_s=0.5)


def test_an_address_that_nobody_has_and_an_unknown_compression_are_one_sentence() -> None:
    with pytest.raises(InputError, match="unknown compression 'rar': choose none, lz4, gzip, snappy, zstd"):
        KafkaSink(settings_for("127.0.0.1:1"), print, compression="rar")
    with pytest.raises(BrokerUnreachable, match=r"no broker answers at host\.invalid:9092"):
        KafkaSink(settings_for("host.invalid:9092"), lambda _: None, wait_s=0.5)


def test_a_record_that_is_refused_fails_loudly(broker: BrokerProcess) -> None:
    with closing(KafkaSink(settings_for(broker.address), print)) as sink:
        sink.send(batch(1)[0])
        with pytest.raises(NotAcknowledged, match=r"a record could not be sent \(.*\): [01] of 1 sent"):
            sink.send(Record(b"A", b"x" * (MAX_RECORD_BYTES + 1), 0))


def test_a_record_of_five_megabytes_arrives(broker: BrokerProcess) -> None:
    with closing(KafkaSink(settings_for(broker.address), print)) as sink:
        sink.send(Record(b"A", b"x" * 5_000_000, 0))
        sink.finish()
    assert [len(item.value) for item in read_topic(broker.address)] == [5_000_000]


def test_being_asked_to_stop_ends_the_wait_for_a_broker_that_died(broker: BrokerProcess) -> None:
    stop = Stop()
    sink = KafkaSink(settings_for(broker.address), lambda _: None, stop=stop)
    broker.kill()
    threading.Timer(0.6, stop.ask).start()
    threading.Timer(0.9, stop.ask).start()
    with pytest.raises(Stopped):
        for record in islice(Run(Recipe(seed=1)).batch(None, 0, 10**12, 0), 100_000):
            sink.send(record)
    with pytest.raises(NotAcknowledged, match="0 of 20,000 sent are acknowledged"):
        sink.finish()
    sink.close()


def test_topics_are_made_once_with_their_settings(broker: BrokerProcess) -> None:
    settings = settings_for(broker.address)
    assert sorted(ensure_topics(settings)) == sorted(topic_configs(settings))
    assert ensure_topics(settings) == []
    admin = KafkaAdminClient(bootstrap_servers=broker.address)
    try:
        for topic in admin.describe_topics(list(topic_configs(settings))):
            assert len(topic["partitions"]) == 3
    finally:
        admin.close()


def test_topics_made_by_two_at_once_are_no_error(broker: BrokerProcess) -> None:
    settings, failures = settings_for(broker.address), []

    def make() -> None:
        try:
            ensure_topics(settings)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def _kill_and_restart(broker: BrokerProcess, after_s: float) -> None:
    broker.kill()
    time.sleep(after_s)
    broker.start()


def test_a_full_disk_of_the_broker_is_named_and_waited_for(broker: BrokerProcess) -> None:
    """A limit on the size of files does to the broker's writes what a full disk does, and can be taken away."""
    said: list[str] = []
    stop = Stop()
    assert broker.process is not None
    process = psutil.Process(broker.process.pid)
    unlimited = process.rlimit(psutil.RLIMIT_FSIZE)
    records = iter(batch(3000))
    with closing(KafkaSink(settings_for(broker.address), said.append, stop=stop, patience_s=0.1)) as sink:
        for record in islice(records, 200):
            sink.send(record)
        sink.finish()
        process.rlimit(psutil.RLIMIT_FSIZE, (4096, unlimited[1]))
        try:
            for record in records:
                sink.send(record)
            waiting = threading.Thread(target=sink.finish)
            waiting.start()
            eventually(lambda: [line for line in said if "which may be full" in line], bool)
            assert waiting.is_alive() and 200 <= sink.acknowledged < 3000
        finally:
            process.rlimit(psutil.RLIMIT_FSIZE, unlimited)
        waiting.join(60)
        assert sink.acknowledged == 3000
    assert re.search(r"stores nothing: it cannot write to its disk.*; [\d,]+ records wait for it", "\n".join(said))


def test_what_was_confirmed_in_part_has_a_code_of_its_own(broker: BrokerProcess) -> None:
    with closing(KafkaSink(settings_for(broker.address), print)) as sink:
        sink.send(batch(1)[0])
        sink.finish()
        with pytest.raises(PartlyAcknowledged, match="1 of 1 sent are acknowledged") as caught:
            sink.send(Record(b"A", b"x" * (MAX_RECORD_BYTES + 1), 0))
    assert caught.value.exit_code == 3

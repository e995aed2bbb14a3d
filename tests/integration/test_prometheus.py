"""A real Prometheus beside a real stack at 500 transactions a second: each metric of docs/metrics.md is there and moves, each
panel of Grafana has something to show, and alarms that are provoked fire, and end.

The configuration is that of ops/prometheus, with its durations divided by `FACTOR`; what Prometheus would remember of the weeks
before is given to it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from streamguard.metrics.targets import PORTS, addresses, targets_folder
from streamguard.stack.supervisor import Supervisor
from tests.integration.stackrun import BIN, StackRun
from tests.ops.test_grafana import FILES, expressions
from tests.support import pages
from tests.support.broker import free_port
from tests.support.processes import Program, eventually
from tests.support.prometheus import FACTOR, SCRAPE_MS, Prometheus, is_there
from tests.support.tls import Authority

pytestmark = [
    pytest.mark.integration,
    pytest.mark.soak,
    pytest.mark.skipif(not is_there(), reason="no Prometheus: apt-get install prometheus"),
]

TPS = int(os.environ.get("STREAMGUARD_TEST_TPS", "500"))
DISK_MB = 1_400
"""Of which `DiskFills` wants a gigabyte free."""
UNSEEN = 3
"""So many alerts of a rule more than there were in a minute may be usual: chance gives so few in one of twenty minutes."""
DOCUMENTED = sorted(set(re.findall(r"^\| `((?:streamguard|kafka)_\w+)`", pages.read("docs/metrics.md"), re.MULTILINE)))
STILL = {
    # What a stack that is well does not change.
    *("kafka_topic_partitions", "kafka_topic_partition_replicas", "kafka_topic_partition_in_sync_replica"),
    *("kafka_topic_partition_oldest_offset", "streamguard_broker_log_start_offset", "streamguard_disk_size_bytes"),
    *("streamguard_broker_removed_offsets_total", "streamguard_broker_connections_closed_silent_total"),
    *("streamguard_producer_retries_total", "streamguard_producer_errors_total", "streamguard_kafka_up"),
    *("streamguard_database_up", "streamguard_sink_outages_total", "streamguard_consumer_outages_total"),
    *("streamguard_sink_destination_up", "streamguard_schedule_last_run_failed"),
    *("streamguard_query_errors_total", "streamguard_query_state", "kafka_consumergroup_members"),
    *("streamguard_broker_group_members", "streamguard_desk_live_streams", "streamguard_database_connections"),
    # What may be at 0 at each scrape where work is done at once.
    *("streamguard_alerts_undecided", "streamguard_alerts_undecided_oldest_seconds", "streamguard_table_rows"),
    *("streamguard_outbox_records", "streamguard_outbox_oldest_seconds"),
    *("streamguard_quality_filled_ratio", "streamguard_quality_late_ratio", "streamguard_quality_repeated_ratio"),
    # Of whole hours of the clock.
    "streamguard_quality_hour_records",
}
RARE = {
    "streamguard_broker_connections_rejected_total",
    *("streamguard_quality_usual_filled_ratio", "streamguard_quality_usual_hour_records"),
}
"""Series that there are only after the event, or after weeks."""


@dataclass
class Watched:
    """A stack, its Prometheus, and a monitor whose state folder has a small disk."""

    stack: StackRun
    prometheus: Prometheus
    disk: Path
    certificate: Path
    small: str
    """The address of that monitor."""

    @contextmanager
    def stream(self, *options: str) -> Iterator[None]:
        """A further stream of the generator while the block runs."""
        process = self.stack.begin(BIN / "streamguard", "generate", "stream", *options)
        try:
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)

    def address(self, part: str) -> str:
        return addresses(self.stack.settings)[part]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")
    ports = {"STREAMGUARD_METRICS_PORT": str(_free_block()), "STREAMGUARD_GENERATOR_TPS": str(TPS)}
    stack = StackRun(folder / ".streamguard", ports)
    stack.state.mkdir()
    (stack.state / "schedule.yaml").write_text('looks: {command: "rules list", every: 1m}\n', encoding="utf-8")
    prometheus = Prometheus(folder)
    # Not in pytest's own folder, which it may move away.
    disk = Path(tempfile.mkdtemp(prefix="streamguard-disk-"))
    is_small = (
        os.geteuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(disk)], capture_output=True
        ).returncode
    )
    certificate = folder / "desk.pem"
    shutil.copy(Authority(folder / "authority").issue().file, certificate)
    environment = {"STREAMGUARD_STATE_DIR": str(disk), "STREAMGUARD_METRICS_PORT": "0"}
    environment |= {"STREAMGUARD_DESK_CERTIFICATE": str(certificate)}
    monitor = Program("monitor", ["streamguard.cli", "monitor"], {**stack.environment, **environment}, folder)
    sink = Program("sink", ["streamguard.cli", "sink", "jsonl", str(folder / "copy")], stack.environment, folder)
    try:
        said = stack.start()
        stack.wait_count("transactions", 60 * TPS, timeout_s=400)
        consumer = addresses(stack.settings)["consumer"]
        first = counts(consumer)
        stack.wait_count("transactions", 120 * TPS, timeout_s=400)
        usual = history(first, counts(consumer))
        monitor.environment["DATABASE_URL"] = _database_url(stack)
        sink.environment = {**sink.environment, "DATABASE_URL": _database_url(stack)}
        monitor.start()
        sink.start()
        file = disk / "metrics" / "monitor.json"
        eventually(file.exists, bool, 60, monitor.said)
        shutil.copy(file, targets_folder(stack.settings) / "monitor-of-the-small-disk.json")
        small = json.loads(file.read_text())[0]["targets"][0]
        prometheus.remember(usual)
        prometheus.start()
        with _visitor(stack, said):
            yield Watched(stack, prometheus, disk, certificate, small)
    finally:
        prometheus.stop()
        for program in (monitor, sink):
            program.close()
        stack.run("./stop.sh", "--keep", check=False)
        if is_small:
            subprocess.run(["umount", "--lazy", str(disk)], check=True)
        shutil.rmtree(disk, ignore_errors=True)


def _free_block() -> int:
    """Where a port for each process is free: after a restart each has its own again, so that its series goes on."""
    while True:
        first, *more = [free_port() for _ in PORTS]
        if more == list(range(first + 1, first + len(PORTS))):
            return first


def _database_url(stack: StackRun) -> str:
    password = (stack.state / "postgres.password").read_text().strip()
    return f"postgresql://streamguard:{password}@127.0.0.1:{stack.settings.postgres_port}/streamguard"


@contextmanager
def _visitor(stack: StackRun, said: str) -> Iterator[None]:
    """A person at the desk who listens to the live stream."""
    found = re.search(r"user admin, password (\S+)$", said, re.MULTILINE)
    assert found is not None, said
    url, session = f"http://127.0.0.1:{stack.settings.desk_port}", requests.Session()
    session.post(f"{url}/login", {"user_name": "admin", "password": found[1]}, timeout=30)
    page = session.get(f"{url}/password", timeout=30).text
    token = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert token is not None, page
    own = "a long enough password"
    form = {"old": found[1], "new": own, "again": own, "csrf_token": token[1]}
    assert session.post(f"{url}/password", form, timeout=30).url == f"{url}/"
    live = session.get(f"{url}/live", stream=True, timeout=60)
    listener = threading.Thread(target=_listen, args=(live,), daemon=True)
    listener.start()
    yield
    live.close()


def _listen(live: requests.Response) -> None:
    with suppress(requests.RequestException, AttributeError):
        for _ in live.iter_content(4096):
            pass


@dataclass
class Counts:
    """What the consumer has counted: decisions by rule, flagged and stored transactions."""

    decided: Counter[str] = field(default_factory=Counter)
    flagged: float = 0.0
    stored: float = 0.0


def counts(address: str) -> Counts:
    """What the consumer at the address has counted so far."""
    found = Counts()
    text = requests.get(f"http://{address}/metrics", timeout=30).text
    for sample in (sample for family in text_string_to_metric_families(text) for sample in family.samples):
        if sample.name == "streamguard_consumer_decisions_total":
            found.decided[sample.labels["rule"]] += int(sample.value)
            found.flagged += sample.value if sample.labels["outcome"] in ("review", "block") else 0
        elif sample.name == "streamguard_consumer_records_stored_total" and sample.labels["kind"] == "transaction":
            found.stored = sample.value
    return found


def history(first: Counts, last: Counts) -> str:
    """Four weeks, scaled, in which the share of flagged transactions and the alerts of each rule were what they were between
    these counts: the share of the first minute is not the usual one, since no account has a history yet."""
    stored, decided = last.stored - first.stored, last.decided - first.decided
    flagged = last.flagged - first.flagged
    now_s, share, seconds, hour_s = time.time(), flagged / stored, stored / TPS, 3_600 // FACTOR
    lines = ["# TYPE streamguard:flagged_share:1h gauge"]
    lines += [
        f"streamguard:flagged_share:1h {share} {at_s}"
        for at_s in range(int(now_s) - (4 * 168 + 2) * hour_s, int(now_s) - 2 * hour_s, 60)
    ]
    lines.append("# TYPE streamguard:alerts:rate10m gauge")
    for rule, count in sorted(decided.items()):
        lines += [
            f'streamguard:alerts:rate10m{{rule="{rule}"}} {(count + UNSEEN) / seconds} {at_s}'
            for at_s in range(int(now_s) - 26 * hour_s, int(now_s) - 60, 30)
        ]
    return "\n".join([*lines, "# EOF", ""])


def test_no_alarm_fires_in_an_hour_of_normal_work(watched: Watched) -> None:
    """An hour as long as the alarms' own. One certificate ends soon, and disks are small, some
    for what comes after; at this rate a machine's own may be full within a day."""
    hour_ms = 3_600_000 // FACTOR
    passed = f"count_over_time(up{{part='consumer'}}[{hour_ms}ms]) >= {hour_ms // SCRAPE_MS - 5}"
    eventually(lambda: watched.prometheus.query(passed), bool, 900, "an hour does not pass")
    fired = f"count_over_time(ALERTS{{alertstate='firing', alertname!~'CertificateExpires|DiskFills'}}[{hour_ms}ms])"
    assert watched.prometheus.query(fired) == []


def test_a_consumer_that_is_stopped(watched: Watched) -> None:
    of_consumer = {"consumergroup": "streamguard-consumer", "topic": "transactions"}
    Supervisor(watched.stack.settings).stop("consumer")
    try:
        watched.prometheus.fires("ConsumerLag", of_consumer)
        watched.prometheus.fires("NothingStored")
    finally:
        Supervisor(watched.stack.settings).start("consumer")
    watched.prometheus.resolves("NothingStored")
    watched.prometheus.resolves("ConsumerLag", of_consumer)


def test_an_engine_that_is_frozen_and_one_that_is_killed_again_and_again(watched: Watched) -> None:
    processes = Supervisor(watched.stack.settings).processes
    frozen = processes()["ksqldb"].pid
    os.kill(frozen, signal.SIGSTOP)
    try:
        watched.prometheus.fires("ProcessDown", {"part": "ksqldb"})
    finally:
        os.kill(frozen, signal.SIGCONT)
    watched.prometheus.resolves("ProcessDown", {"part": "ksqldb"})
    starts = "process_start_time_seconds{part='ksqldb'}"
    for _ in range(8):
        [(_, before)] = eventually(lambda: watched.prometheus.query(starts), bool)
        watched.stack.kill("ksqldb")
        eventually(
            lambda before=before: watched.prometheus.query(starts),  # type: ignore[misc]
            lambda found, before=before: bool(found) and found[0][1] != before,  # type: ignore[misc]
            120,
            "the engine does not come back",
        )
        if watched.prometheus.firing("ProcessRestarts", {"part": "ksqldb"}):
            break
    watched.prometheus.fires("ProcessRestarts", {"part": "ksqldb"}, timeout_s=20)
    watched.prometheus.resolves("ProcessRestarts", {"part": "ksqldb"})


def test_a_source_that_sends_nonsense(watched: Watched) -> None:
    with watched.stream("--tps", "100", "--bad", "malformed=0.5"):
        watched.prometheus.fires("DeadLetters")
        watched.prometheus.fires("SchemaViolations", {"topic": "transactions", "reason": "no JSON"})
    watched.prometheus.resolves("SchemaViolations", {"topic": "transactions", "reason": "no JSON"})
    watched.prometheus.resolves("DeadLetters")


def test_a_rule_that_floods_and_more_than_twice_the_fraud(watched: Watched) -> None:
    watched.prometheus.resolves("UnusualFlaggedShare")
    watched.prometheus.resolves("RuleFloods", {"rule": "HIGH_AMOUNT"})
    with watched.stream("--tps", "150", "--mix", "high_amount=0.9"):
        watched.prometheus.fires("RuleFloods", {"rule": "HIGH_AMOUNT"})
        watched.prometheus.fires("UnusualFlaggedShare")
    watched.prometheus.resolves("RuleFloods", {"rule": "HIGH_AMOUNT"})
    watched.prometheus.resolves("UnusualFlaggedShare")


def test_a_disk_that_fills(watched: Watched) -> None:
    if not watched.disk.is_mount():
        pytest.skip("a small disk is mounted by root alone")
    watched.prometheus.resolves("DiskFills", {"instance": watched.small})
    ballast = watched.disk / "ballast"
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 600 << 20)
    watched.prometheus.fires("DiskFills", {"instance": watched.small})
    ballast.unlink()
    watched.prometheus.resolves("DiskFills", {"instance": watched.small})


def test_a_certificate_that_ends_within_days(watched: Watched) -> None:
    watched.prometheus.fires("CertificateExpires", {"certificate": "desk_certificate"})
    longer = Authority(watched.certificate.parent / "longer").issue(days=900)
    longer.file.replace(watched.certificate)
    watched.prometheus.resolves("CertificateExpires", {"certificate": "desk_certificate"})


@pytest.fixture(scope="module")
def used(watched: Watched) -> None:
    """A few records that are none, and some behind their window, and a mistyped password: so that what counts those moves."""
    watched.stack.generate("stream", "--tps", "50", "--duration", "5", "--bad", "malformed=0.3", "--bad", "late=0.3")
    login = f"http://127.0.0.1:{watched.stack.settings.desk_port}/login"
    requests.get(login, timeout=30)
    requests.post(login, {"user_name": "admin", "password": "mistyped"}, timeout=30)


@pytest.mark.usefixtures("used")
@pytest.mark.parametrize("name", sorted(set(DOCUMENTED) - RARE))
def test_each_metric_of_the_page_is_there_and_moves(watched: Watched, name: str) -> None:
    series = f'{{__name__=~"{name}(_bucket|_count)?"}}'
    eventually(lambda: watched.prometheus.query(f"count({series})"), bool, 60, f"{name} is not there")
    if name not in STILL:
        moved = f"max(changes({series}[1h])) > 0"
        eventually(lambda: watched.prometheus.query(moved), bool, 120, f"{name} does not move")


def test_prometheus_has_no_metric_that_the_page_does_not_name(watched: Watched) -> None:
    found = watched.prometheus.query('group by (__name__) ({__name__=~"(streamguard|kafka)_.+"})')
    names = {re.sub(r"_(bucket|sum|count)$", "", labels["__name__"]) for labels, _ in found}
    assert {name for name in names if name not in DOCUMENTED and f"{name}_sum" not in DOCUMENTED} == set()


@pytest.mark.usefixtures("used")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_panel_has_something_to_show(watched: Watched, file: Path) -> None:
    for expression in expressions(json.loads(file.read_text())):
        if any(name in expression for name in RARE):
            continue
        eventually(
            lambda expression=expression: watched.prometheus.query(expression),  # type: ignore[misc]
            bool,
            180,
            f"{expression} is empty",
        )

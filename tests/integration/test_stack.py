"""The main job, end to end, by the commands that a person types: what issue and README promise."""

from __future__ import annotations

import csv
import gzip
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from streamguard.stack.conf import pid_file
from tests.integration.stackrun import ALERTS, BIN, PAYMENTS, StackRun, expected_alerts
from tests.support.cards import HANDBOOK, NO_HANDBOOK, write_months
from tests.support.processes import eventually
from tests.support.project import PROJECT_ROOT

pytestmark = pytest.mark.integration

RECORDED_RULES = PROJECT_ROOT / "tests" / "recordings" / "streamguard.json"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackRun]:
    run = StackRun(tmp_path_factory.mktemp("stack") / "state")
    yield run
    run.run("./stop.sh", "--keep", check=False)


@pytest.fixture
def running(stack: StackRun) -> StackRun:
    """The stack with its generator stream, and an alert or more."""
    stack.start()
    stack.wait_count("fraud_alerts", 1)
    return stack


@pytest.fixture
def empty(stack: StackRun) -> StackRun:
    """The stack without data and without the generator stream."""
    stack.stop("--wipe")
    stack.start_core()
    return stack


def alerts_of(stack: StackRun) -> dict[str, tuple[int, float]]:
    return {alert_id: (count, amount) for alert_id, count, amount in stack.query(ALERTS)}


def test_start_shows_services_and_alerts_and_a_second_start_that_they_run(stack: StackRun) -> None:
    stack.stop("--wipe")
    said = stack.start()
    for name in ("postgres", "broker", "ksqldb", "consumer", "desk", "generator", "monitor"):
        assert re.search(rf"^  {name} +(running|starting) ", said, re.MULTILINE), said
    assert stack.settings.ksqldb_url in said
    password = re.search(r"user admin, password ([a-z2-9-]{24})$", said, re.MULTILINE)
    assert password is not None, said
    fields = {"user_name": "admin", "password": password[1]}
    answer = requests.post(
        f"http://127.0.0.1:{stack.settings.desk_port}/login", fields, allow_redirects=False, timeout=30
    )
    assert answer.headers["location"] == "/password"
    stack.wait_count("fraud_alerts", 1)
    again = stack.start()
    assert "runs already" in again and "password" not in again
    status = lambda: stack.streamguard("status").stdout  # noqa: E731
    eventually(status, lambda shown: shown.count("running") == 7, 60, "all parts run")
    secret = stack.settings.database.password
    assert len(secret) == 32 and secret not in said + again + stack.streamguard("status").stdout
    assert stack.streamguard("status", "--secrets").stdout.strip().endswith(f"password {secret}")


def test_everything_in_the_state_folder_is_its_owners_alone(running: StackRun) -> None:
    running.streamguard("status")  # which keeps there what it saw
    found = [running.state, *running.state.rglob("*")]
    assert {"logs", "broker", "ksqldb", "postgres", "postgres.password"} <= {path.name for path in found}
    modes = {str(path): path.lstat().st_mode & 0o077 for path in found if path.exists()}
    assert [path for path, others in modes.items() if others] == []


def _sockets(process: psutil.Process) -> Sequence[Any]:
    """Of a process of the stack; none of one that has ended meanwhile, as those do that Postgres starts for a while."""
    try:
        return process.net_connections("inet")
    except psutil.NoSuchProcess:
        return ()


def test_nothing_of_the_stack_is_reached_from_another_address(running: StackRun) -> None:
    supervisord = psutil.Process(int(pid_file(running.settings).read_text()))
    family = [supervisord, *supervisord.children(recursive=True)]
    found = [one for process in family for one in _sockets(process) if one.status == psutil.CONN_LISTEN]
    settings = running.settings
    ports = {one.laddr.port for one in found}
    assert ports >= {settings.kafka_port, settings.ksqldb_port, settings.postgres_port, settings.desk_port}
    assert not [one for one in found if not ip_address(one.laddr.ip).is_loopback]
    addresses = [one.address for card in psutil.net_if_addrs().values() for one in card if one.family == socket.AF_INET]
    for address in addresses:
        for port in ports if not ip_address(address).is_loopback else ():
            with pytest.raises(OSError):
                socket.create_connection((address, port), timeout=5, source_address=(address, 0)).close()


def test_the_queries_of_the_readme_run_as_written(running: StackRun) -> None:
    readme = (PROJECT_ROOT / "README.md").read_text()
    queries = re.findall(r'^\.venv/bin/streamguard psql -c "([^"]+)"', readme, re.MULTILINE)
    assert len(queries) >= 3
    for query in queries:
        assert "(0 rows)" not in running.streamguard("psql", "-c", query).stdout, query


def test_the_ksql_shell_and_the_test_runner_answer(running: StackRun) -> None:
    url = running.settings.ksqldb_url
    topics = running.run(BIN / "ksql", "-e", "SHOW TOPICS;", url).stdout
    assert "fraud_alerts" in topics
    query = "SET 'auto.offset.reset'='earliest'; SELECT transaction_id, amount FROM transactions EMIT CHANGES LIMIT 3;"
    assert "Limit Reached" in running.run(BIN / "ksql", "-e", query, url).stdout


def test_alerts_can_be_listed_shown_and_confirmed(running: StackRun) -> None:
    line = running.streamguard("alerts", "list", "--limit", "1").stdout
    alert_id = line.split()[-1]
    assert "Decisions:" in running.streamguard("alerts", "show", alert_id).stdout
    running.streamguard("alerts", "confirm", alert_id, "--reason", "the customer called", "--by", "ana")
    assert "analyst:ana: confirmed" in running.streamguard("alerts", "show", alert_id).stdout
    assert running.streamguard("alerts", "show", "none", check=False).returncode == 1


def test_a_seeded_batch_gives_exactly_the_alerts_of_a_plain_computation(empty: StackRun) -> None:
    empty.generate("batch", "--count", "5000", "--seed", "7")
    empty.wait_count("transactions", 5_000)
    empty.wait_settled()
    payments = empty.query(PAYMENTS)
    assert len(payments) == 5_000
    wanted = expected_alerts(payments, above=3_000, window_ms=60_000, more_than=3)
    assert {alert_id.split(":")[0] for alert_id in wanted} == {"HIGH_AMOUNT", "HIGH_VELOCITY"}
    assert alerts_of(empty) == wanted
    for rule in ("HIGH_AMOUNT", "HIGH_VELOCITY"):
        alert_id = next(alert_id for alert_id in sorted(wanted) if alert_id.startswith(rule))
        assert f"{rule} is confirmed" in empty.streamguard("alerts", "verify", alert_id).stdout
    high = {alert_id.split(":")[1] for alert_id in wanted if alert_id.startswith("HIGH_AMOUNT")}
    windows = {tuple(alert_id.split(":")[1:]) for alert_id in wanted if alert_id.startswith("HIGH_VELOCITY")}
    fraud = {t for t, account, _, at in payments if t in high or (account, str(at - at % 60_000)) in windows}
    assert {row[0] for row in empty.query("SELECT transaction_id FROM transactions WHERE is_fraud")} == fraud
    sizes = empty.streamguard("bench", "sizes").stdout
    assert re.search(
        r"5,000 transactions: [1-9]\d* bytes each in the topics that grow, [1-9][\d,]* in the database", sizes
    )
    assert "topic transactions " in sizes and "index transactions_pkey" in sizes
    profile = "SELECT sum(transactions), sum(fraud_transactions), sum(alerts) FROM account_risk_profile"
    assert empty.query(profile) == [(5_000, len(fraud), len(wanted))]


def test_stop_and_start_lose_and_double_nothing(stack: StackRun) -> None:
    before = stack.snapshot()
    assert len(before["transactions"]) == 5_000
    stack.stop("--keep")
    said = stack.start_core()
    assert "6 unchanged" in said
    assert "consumer runs" in said and "desk" not in said
    stack.wait_settled()
    assert stack.snapshot() == before


def test_killing_every_part_in_turn_changes_nothing(stack: StackRun) -> None:
    batch = ("batch", "--count", "20000", "--seed", "11")
    stack.stop("--wipe")
    stack.start_core()
    stack.generate(*batch)
    stack.wait_count("transactions", 20_000)
    stack.wait_settled()
    undisturbed = stack.snapshot()
    stack.stop("--wipe")
    stack.start_core()
    sending = stack.begin(BIN / "python", "generate_transactions.py", *batch)
    for number, part in enumerate(("broker", "ksqldb", "consumer", "postgres"), 1):
        stack.wait_count("transactions", 3_000 * number - 2_500)
        stack.kill(part)
    assert sending.wait(timeout=120) == 0
    stack.wait_count("transactions", 20_000, timeout_s=90)
    stack.wait_settled(quiet_s=4)
    disturbed = stack.snapshot()
    for name, rows in undisturbed.items():
        assert disturbed[name] == rows, name


@pytest.mark.soak
def test_made_card_payments_replayed_give_exactly_the_plain_alerts(empty: StackRun, tmp_path: Path) -> None:
    (month,) = write_months(tmp_path, "04")
    check_replay(empty, month, 5_000, tmp_path)


@pytest.mark.soak
@pytest.mark.shared
@pytest.mark.skipif(not HANDBOOK.exists(), reason=NO_HANDBOOK)
def test_real_card_payments_replayed_give_exactly_the_plain_alerts(empty: StackRun, tmp_path: Path) -> None:
    assert check_replay(empty, HANDBOOK / "transactions-2018-04.csv.gz", 50_000, tmp_path) == 144


def check_replay(empty: StackRun, file: Path, count: int, folder: Path) -> int:
    """Replay the first rows of a month through rules that fit cards, and compare the alerts; the number of HIGH_VELOCITY."""
    rules = (PROJECT_ROOT / "ksqldb" / "queries.sql").read_text().replace("SIZE 1 MINUTE", "SIZE 1 HOUR")
    (folder / "cards.sql").write_text(rules)
    limits = ("--define", "high_amount=220", "--define", "velocity_count=2")
    said = empty.streamguard("deploy", folder / "cards.sql", *limits, "--replace").stdout
    assert said.count("unchanged") == 2
    assert said.count("replaced ") == 4
    empty.generate("replay", str(file), "--limit", str(count), "--speed", "max")
    empty.wait_count("transactions", count, timeout_s=120)
    empty.wait_settled(quiet_s=4)
    payments = empty.query(PAYMENTS)
    assert len(payments) == count
    with gzip.open(file, "rt") as lines:
        amounts = [float(row["amount"]) for _, row in zip(range(count), csv.DictReader(lines), strict=False)]
    assert round(sum(amount for _, _, amount, _ in payments), 2) == round(sum(amounts), 2)
    wanted = expected_alerts(payments, above=220, window_ms=3_600_000, more_than=2)
    bursts = sum(alert_id.startswith("HIGH_VELOCITY") for alert_id in wanted)
    assert bursts
    assert sum(alert_id.startswith("HIGH_AMOUNT") for alert_id in wanted) == sum(amount > 220 for amount in amounts)
    assert alerts_of(empty) == wanted
    assert "tumbling windows miss" in empty.streamguard("demo", "border-evasion").stdout
    return bursts


@pytest.mark.soak
def test_a_changed_rule_is_different_until_it_is_replaced(empty: StackRun, tmp_path: Path) -> None:
    stack = empty
    changed = tmp_path / "changed.sql"
    text = (PROJECT_ROOT / "ksqldb" / "queries.sql").read_text()
    changed.write_text(text.replace("DEFINE velocity_count = '3'", "DEFINE velocity_count = '4'"))
    said = stack.streamguard("deploy", changed, check=False)
    assert said.returncode == 1
    assert "different  table   ACCOUNT_VELOCITY" in said.stdout
    assert said.stdout.count("unchanged") == 5
    said = stack.streamguard("deploy", changed, "--replace")
    assert re.findall(r"^replaced +\w+ +(\w+)", said.stdout, re.MULTILINE)[0] == "ACCOUNT_VELOCITY"
    assert stack.streamguard("deploy", changed).stdout.count("unchanged") == 6
    rules = Path("ksqldb/account-rules.sql")
    assert stack.streamguard("deploy", rules).stdout.count("new ") == 10
    assert stack.streamguard("deploy", rules).stdout.count("unchanged") == 10
    wrong = tmp_path / "wrong.sql"
    wrong.write_text("CREATE STREAM x AS\n  SELECT nothing FROM transactions;\n")
    said = stack.streamguard("deploy", wrong, check=False)
    assert said.returncode == 1
    assert "wrong.sql:1:" in said.stderr and "NOTHING" in said.stderr and "Traceback" not in said.stderr


def test_the_test_runner_passes_the_recorded_rules(stack: StackRun) -> None:
    said = stack.run(BIN / "ksql-test-runner", RECORDED_RULES, check=False).stdout
    assert re.search(r"[1-9]\d* passed", said), said


def test_a_taken_port_is_said_in_one_sentence(stack: StackRun, tmp_path: Path) -> None:
    other = StackRun(tmp_path / "other", {"STREAMGUARD_KAFKA_PORT": stack.environment["STREAMGUARD_KAFKA_PORT"]})
    done = other.run("./start.sh", check=False)
    assert done.returncode == 1
    assert "is in use, broker needs it" in done.stderr
    assert "STREAMGUARD_KAFKA_PORT" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.skipif(
    shutil.which("docker") is not None and subprocess.run(["docker", "info"], capture_output=True).returncode == 0,
    reason="a Docker daemon answers here",
)
def test_without_a_docker_daemon_the_embedded_way_is_named(stack: StackRun, tmp_path: Path) -> None:
    other = StackRun(tmp_path / "other")
    done = other.run("./start.sh", "--docker", check=False)
    assert done.returncode == 1
    assert "./start.sh without --docker runs everything without it" in done.stderr
    assert "nothing runs" in other.stop()


def test_in_the_foreground_everything_ends_with_the_command(tmp_path: Path) -> None:
    run = StackRun(tmp_path / "state")
    process = run.begin(BIN / "streamguard", "up", "--foreground", "--no-generator")
    try:
        eventually(lambda: run.streamguard("status", check=False).returncode, lambda code: code == 0, 60, "healthy")
        process.terminate()
        assert process.wait(timeout=60) == 0
        assert "nothing runs" in run.stop()
    finally:
        run.stop("--wipe")
        process.wait(timeout=60)


def test_an_unreachable_database_and_nonsense_settings_are_one_sentence(stack: StackRun) -> None:
    for variable, value, code in (("DATABASE_URL", "postgresql://x:y@127.0.0.1:1/z", 1), ("KSQLDB_URL", "nonsense", 2)):
        other = StackRun(stack.state, {**stack.environment, variable: value})
        done = other.run(BIN / "streamguard", "alerts", "list", check=False)
        assert done.returncode == code
        assert variable in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1

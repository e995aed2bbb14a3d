"""The stack with a SQL engine that speaks TLS and asks for logins: it works as the open one, and faults are one sentence each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests

from streamguard.stack.conf import conf_file, pid_file
from tests.integration.stackrun import BIN, StackRun
from tests.support.tls import Authority

pytestmark = [pytest.mark.integration, pytest.mark.soak]

PASSWORD = "nobody may read this"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[StackRun]:
    made = authority.issue()
    secured = {
        "STREAMGUARD_KSQLDB_CERTIFICATE": str(made.file),
        "STREAMGUARD_KSQLDB_KEY": str(made.key),
        "STREAMGUARD_KSQLDB_SSL_CAFILE": str(authority.file),
        "STREAMGUARD_KSQLDB_USERNAME": "wanda",
        "STREAMGUARD_KSQLDB_PASSWORD": PASSWORD,
    }
    run = StackRun(tmp_path_factory.mktemp("secured") / "state", secured)
    run.start("--no-generator")
    yield run
    run.stop("--wipe")


def test_it_works_as_the_open_one(stack: StackRun) -> None:
    url = stack.settings.ksqldb_url
    assert url.startswith("https://")
    assert requests.get(f"{url}/info", timeout=30, verify=str(stack.settings.ksqldb_ssl_cafile)).status_code == 401
    stack.generate("batch", "--count", "2000", "--seed", "7")
    stack.wait_count("transactions", 2_000)
    stack.wait_settled()
    assert stack.query("SELECT count(*) FROM fraud_alerts")[0][0] > 0
    stack.streamguard("status")
    assert "HIGH_AMOUNT" in stack.run(BIN / "ksql", "-e", "SHOW QUERIES;").stdout
    assert stack.streamguard("deploy").stdout.count("unchanged") > 20
    assert "runs already" in stack.start("--no-generator")


def test_the_password_is_shown_nowhere(stack: StackRun) -> None:
    supervisord = psutil.Process(int(pid_file(stack.settings).read_text()))
    lines = [" ".join(process.cmdline()) for process in (supervisord, *supervisord.children(recursive=True))]
    assert any("authentication.method=BASIC" in line for line in lines)
    logs = "".join(file.read_text(errors="replace") for file in (stack.state / "logs").glob("*.log"))
    assert PASSWORD not in " ".join(lines) + logs
    for file in (conf_file(stack.settings), stack.state / "ksqldb" / "users.properties"):
        assert file.stat().st_mode & 0o077 == 0, file


WRONG_PASSWORD = (
    {"STREAMGUARD_KSQLDB_PASSWORD": "wrong"},
    "refuses the user wanda: The user name or the password is wrong",
)
OTHER_AUTHORITY = ({"STREAMGUARD_KSQLDB_SSL_CAFILE": "other"}, "is of no authority that is known here")
HTTP = ({"KSQLDB_URL": "http"}, "it speaks TLS: its address begins with https://")


def faulty(stack: StackRun, folder: Path, variables: dict[str, str], *command: str) -> str:
    url = stack.settings.ksqldb_url
    made = {"other": str(Authority(folder).file), "http": url.replace("https", "http")}
    other = StackRun(stack.state, {**stack.environment, **{name: made.get(v, v) for name, v in variables.items()}})
    done = other.streamguard(*command, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 1 and "Traceback" not in said and PASSWORD not in said, said
    return said


@pytest.mark.parametrize("command", ["status", "deploy"])
@pytest.mark.parametrize(("variables", "reason"), [WRONG_PASSWORD, OTHER_AUTHORITY, HTTP])
def test_faults_are_one_sentence_at_once(
    stack: StackRun, tmp_path: Path, variables: dict[str, str], reason: str, command: str
) -> None:
    assert reason in faulty(stack, tmp_path, variables, command)


def test_a_start_applies_another_password_and_names_what_cannot_be(stack: StackRun, tmp_path: Path) -> None:
    other = StackRun(stack.state, {**stack.environment, "STREAMGUARD_KSQLDB_PASSWORD": "another one"})
    other.streamguard("up", "--no-generator", "--no-desk")
    assert "unchanged" in other.streamguard("deploy").stdout
    assert WRONG_PASSWORD[1] in faulty(stack, tmp_path, {}, "deploy")
    for variables, reason in (OTHER_AUTHORITY, HTTP):
        said = faulty(other, tmp_path, variables, "up", "--no-generator", "--no-desk")
        assert reason in said and "not ready after" not in said

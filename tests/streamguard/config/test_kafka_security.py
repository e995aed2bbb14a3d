"""How clients reach a secured Kafka: read from the settings, checked together, and said in each client's words."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from streamguard.config import Settings, SettingsError, load_settings
from streamguard.kafka.clients import librdkafka_options, python_options
from tests.support.project import PROJECT_ROOT
from tests.support.tls import Authority, Certificate

LOGIN = {
    "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
    "KAFKA_SASL_USERNAME": "ana",
    "KAFKA_SASL_PASSWORD": "s3cret",
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> Certificate:
    return authority.issue()


def given(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> Settings:
    for name, value in variables.items():
        monkeypatch.setenv(f"STREAMGUARD_{name}", value)
    return load_settings()


def test_a_plain_kafka_needs_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = given(monkeypatch, {"KAFKA_SASL_MECHANISM": "", "KAFKA_SSL_CAFILE": ""}).kafka
    assert python_options(cluster) == {"bootstrap_servers": ["127.0.0.1:9092"], "security_protocol": "PLAINTEXT"}
    assert librdkafka_options(cluster) == {"bootstrap.servers": "127.0.0.1:9092", "security.protocol": "PLAINTEXT"}


def test_each_client_gets_what_is_set(
    monkeypatch: pytest.MonkeyPatch, authority: Authority, certificate: Certificate
) -> None:
    files = {"CAFILE": authority.file, "CERTFILE": certificate.file, "KEYFILE": certificate.key}
    more = {f"KAFKA_SSL_{name}": str(file) for name, file in files.items()}
    cluster = given(monkeypatch, LOGIN | more | {"KAFKA_SSL_CHECK_HOSTNAME": "false"}).kafka
    assert python_options(cluster) == {
        "bootstrap_servers": ["127.0.0.1:9092"],
        "security_protocol": "SASL_SSL",
        "ssl_cafile": str(authority.file),
        "ssl_certfile": str(certificate.file),
        "ssl_keyfile": str(certificate.key),
        "ssl_check_hostname": False,
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "ana",
        "sasl_plain_password": "s3cret",
    }
    assert librdkafka_options(cluster) == {
        "bootstrap.servers": "127.0.0.1:9092",
        "security.protocol": "SASL_SSL",
        "ssl.ca.location": str(authority.file),
        "ssl.certificate.location": str(certificate.file),
        "ssl.key.location": str(certificate.key),
        "ssl.endpoint.identification.algorithm": "none",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "ana",
        "sasl.password": "s3cret",
    }
    assert "s3cret" not in repr(cluster)


def test_the_password_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "password").write_text(" with spaces \n")
    settings = given(
        monkeypatch, LOGIN | {"KAFKA_SASL_PASSWORD": "", "KAFKA_SASL_PASSWORD_FILE": str(tmp_path / "password")}
    )
    (tmp_path / "password").unlink()
    assert settings.kafka.security.password == " with spaces "


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"KAFKA_SECURITY_PROTOCOL": "TLS"}, "STREAMGUARD_KAFKA_SECURITY_PROTOCOL: Input should be 'PLAINTEXT'"),
        (LOGIN | {"KAFKA_SASL_MECHANISM": "GSSAPI"}, "STREAMGUARD_KAFKA_SASL_MECHANISM: Input should be 'PLAIN'"),
        (LOGIN | {"KAFKA_SASL_MECHANISM": ""}, "STREAMGUARD_KAFKA_SASL_MECHANISM is not set (PLAIN, SCRAM-SHA-256 or"),
        (LOGIN | {"KAFKA_SASL_USERNAME": ""}, "STREAMGUARD_KAFKA_SASL_USERNAME is not set: a login by SASL_SSL needs it"),
        (LOGIN | {"KAFKA_SASL_PASSWORD": ""}, "STREAMGUARD_KAFKA_SASL_PASSWORD is not set: a login by SASL_SSL needs it, or"),
        (LOGIN | {"KAFKA_SASL_USERNAME": "a,b"}, "STREAMGUARD_KAFKA_SASL_USERNAME: a name with , or ="),
        (LOGIN | {"KAFKA_SASL_PASSWORD_FILE": "/none"}, "STREAMGUARD_KAFKA_SASL_PASSWORD_FILE are both set: set one"),
        (
            LOGIN | {"KAFKA_SASL_PASSWORD": "", "KAFKA_SASL_PASSWORD_FILE": "/none"},
            "STREAMGUARD_KAFKA_SASL_PASSWORD_FILE: the file /none cannot be read: No such file or directory",
        ),
        (
            LOGIN | {"KAFKA_SASL_PASSWORD": "", "KAFKA_SASL_PASSWORD_FILE": "/dev/null"},
            "STREAMGUARD_KAFKA_SASL_PASSWORD_FILE: the file /dev/null is empty",
        ),
        (LOGIN | {"KAFKA_SECURITY_PROTOCOL": "SSL"}, "STREAMGUARD_KAFKA_SASL_MECHANISM has no meaning with SSL: set"),
        (LOGIN | {"KAFKA_SSL_CAFILE": "/none"}, "STREAMGUARD_KAFKA_SSL_CAFILE: the file /none cannot be read"),
        (LOGIN | {"KAFKA_SSL_CAFILE": "/etc/passwd"}, "STREAMGUARD_KAFKA_SSL_CAFILE: /etc/passwd holds no PEM certificate"),
        ({"KAFKA_SSL_CAFILE": "/etc/passwd"}, "STREAMGUARD_KAFKA_SSL_CAFILE has no meaning with PLAINTEXT: set"),
        (LOGIN | {"KAFKA_SSL_CERTFILE": "/etc/passwd"}, "STREAMGUARD_KAFKA_SSL_CERTFILE, STREAMGUARD_KAFKA_SSL_KEYFILE: "),
        (LOGIN | {"KAFKA_SSL_KEYFILE": "/etc/passwd"}, "STREAMGUARD_KAFKA_SSL_KEYFILE is the key of a certificate: set"),
        ({"KAFKA_CERTIFICATE": "/none"}, "STREAMGUARD_KAFKA_CERTIFICATE: the file /none cannot be read"),
        ({"KAFKA_KEY": "/none"}, "STREAMGUARD_KAFKA_KEY is the key of a certificate: set STREAMGUARD_KAFKA_CERTIFICATE"),
        ({"KAFKA_ADVERTISE": "broker"}, "STREAMGUARD_KAFKA_ADVERTISE: HOST:PORT is expected"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_one_sentence_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], sentence: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        given(monkeypatch, variables)
    assert sentence in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_key_has_to_fit_its_certificate(monkeypatch: pytest.MonkeyPatch, authority: Authority) -> None:
    one, other = authority.issue("one"), authority.issue("other")
    variables = {"KAFKA_CERTIFICATE": str(one.file), "KAFKA_KEY": str(other.key)}
    with pytest.raises(SettingsError, match=r"STREAMGUARD_KAFKA_KEY: the key in .* does not fit the certificate"):
        given(monkeypatch, variables)


CLIENTS = {"KafkaConsumer", "KafkaProducer", "KafkaAdminClient", "Consumer", "Producer", "AdminClient"}
MAKERS = {"streamguard/kafka/clients.py", "streamguard_ksql/runtime/clients.py"}
"""The two places that make clients: of the application, and of the SQL engine, which imports nothing of it."""
MEASURED = "streamguard/bench/"
"""Benchmarks make clients of nodes that they start themselves."""


def test_no_client_of_kafka_is_made_elsewhere() -> None:
    source = PROJECT_ROOT / "src"
    made = {name: clients_made(ast.parse((source / name).read_text(encoding="utf-8"))) for name in files_of(source)}
    where = {name for name, kinds in made.items() if kinds and not name.startswith(MEASURED)}
    assert where == MAKERS, made
    assert set().union(*made.values()) == CLIENTS, "each kind is looked for under the name that it has"


def files_of(folder: Path) -> list[str]:
    return [str(file.relative_to(folder)) for file in folder.rglob("*.py")]


def clients_made(tree: ast.Module) -> set[str]:
    """The kinds of clients of Kafka's libraries that a module makes."""
    imported = {
        alias.asname or alias.name: alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("kafka", "confluent_kafka")
        for alias in node.names
    }
    called = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = {imported.get(function.id, "") for function in called if isinstance(function, ast.Name)}
    return CLIENTS & (names | {function.attr for function in called if isinstance(function, ast.Attribute)})


SHOWN = {
    "cli/stack.py": "the table of services",
    "config/settings.py": "where it is",
    "producer/kafka_sink.py": "sentences",
    "sinks/runner.py": "a line of the log",
    "stack/parts.py": "the table of services, and the engine's command line",
    "stack/status/parts.py": "the table of services",
}
"""Who uses the bare addresses outside of an f-string, and what for."""


def test_the_bare_addresses_are_only_shown() -> None:
    """What connects to them would speak to a secured Kafka without TLS and login."""
    source = PROJECT_ROOT / "src" / "streamguard"
    used = {name for name in files_of(source) if bare_addresses(ast.parse((source / name).read_text(encoding="utf-8")))}
    assert used == set(SHOWN)


def bare_addresses(tree: ast.AST) -> bool:
    return any(
        (isinstance(node, ast.Attribute) and node.attr == "kafka_bootstrap_servers") or bare_addresses(node)
        for node in ast.iter_child_nodes(tree)
        if not isinstance(node, ast.FormattedValue)
    )

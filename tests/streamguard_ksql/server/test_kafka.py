"""How the server reaches a secured Kafka: the settings that ksqlDB takes for it, from a file as it has."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamguard_broker.security.users import USERS_FILE, Users
from streamguard_broker.storage.filesystem import FileSystem
from streamguard_ksql.errors import KsqlError
from streamguard_ksql.server.config_file import parse_properties
from streamguard_ksql.server.kafka import cluster_of, without_connection
from tests.support.broker import BrokerProcess, free_port
from tests.support.ksqldb import EARLIEST, KsqlServerProcess
from tests.support.tls import Authority

PASSWORD = 'p"a\\s s;w=ö'
JAAS = 'org.apache.kafka.common.security.scram.ScramLoginModule required username="ana" password="p\\"a\\\\s s;w=ö";'


def test_a_file_is_read_as_java_reads_it() -> None:
    text = "\n".join(
        [
            "# a comment",
            "! another",
            "plain=value",
            "  indented : with spaces",
            "by.space value of it",
            "empty=",
            "alone",
            "long=one, \\",
            "    two",
            "path=C:\\\\temp\\tend",
            "letters=\\u00e4\\n",
            "key\\=with=equals=sign",
            "twice=1",
            "twice=2",
            "",
        ]
    )
    assert parse_properties(text) == {
        "plain": "value",
        "indented": "with spaces",
        "by.space": "value of it",
        "empty": "",
        "alone": "",
        "long": "one, two",
        "path": "C:\\temp\tend",
        "letters": "ä\n",
        "key=with": "equals=sign",
        "twice": "2",
    }


def test_without_settings_it_speaks_in_plain_text() -> None:
    assert cluster_of("h:1", {"ksql.service.id": "a_"}).options == ()


@pytest.mark.parametrize("prefix", ["", "ksql.streams."])
def test_login_and_trust_may_have_the_prefix_or_not(tmp_path: Path, prefix: str) -> None:
    (tmp_path / "ca.pem").touch()
    config = {
        f"{prefix}security.protocol": "SASL_SSL",
        f"{prefix}sasl.mechanism": "SCRAM-SHA-512",
        f"{prefix}sasl.jaas.config": JAAS,
        f"{prefix}ssl.truststore.type": "PEM",
        f"{prefix}ssl.truststore.location": str(tmp_path / "ca.pem"),
        f"{prefix}ssl.endpoint.identification.algorithm": "",
    }
    assert dict(cluster_of("h:1", config).options) == {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "ana",
        "sasl.password": PASSWORD,
        "ssl.ca.location": str(tmp_path / "ca.pem"),
        "ssl.endpoint.identification.algorithm": "none",
    }
    left = without_connection({**config, "ksql.service.id": "a_"})
    assert {name for name in left if not name.startswith("ssl.")} == {"ksql.service.id"}


def test_a_certificate_of_the_server_s_own_listener_is_not_shown_to_kafka() -> None:
    config = {
        "security.protocol": "SSL",
        "ssl.keystore.location": "server.jks",
        "ksql.streams.ssl.keystore.key": "KEY",
        "ksql.streams.ssl.keystore.certificate.chain": "CHAIN",
    }
    assert dict(cluster_of("h:1", config).options) == {
        "security.protocol": "SSL",
        "ssl.endpoint.identification.algorithm": "https",
        "ssl.key.pem": "KEY",
        "ssl.certificate.pem": "CHAIN",
    }
    assert without_connection(config) == {"ssl.keystore.location": "server.jks"}


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"security.protocol": "TLS"}, "security.protocol is TLS: it has to be one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"),
        ({"security.protocol": "SASL_SSL"}, "sasl.mechanism is not set: with SASL_SSL it has to be one of PLAIN, SCRAM"),
        ({"security.protocol": "SASL_SSL", "sasl.mechanism": "GSSAPI"}, "sasl.mechanism is GSSAPI: with SASL_SSL it has to"),
        (
            {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.jaas.config": "x required;"},
            "sasl.jaas.config has no username and password",
        ),
        (
            {"security.protocol": "SSL", "ssl.truststore.location": "/a.jks"},
            "ssl.truststore.type is not set, which means JKS: only PEM is read here; convert /a.jks",
        ),
        (
            {"security.protocol": "SSL", "ssl.truststore.location": "/none", "ssl.truststore.type": "PEM"},
            "ssl.truststore.location: the file /none cannot be read: No such file",
        ),
    ],
)  # fmt: skip
def test_what_cannot_work_is_one_sentence(config: dict[str, str], sentence: str) -> None:
    with pytest.raises(KsqlError) as caught:
        cluster_of("h:1", config)
    assert sentence in caught.value.message


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[BrokerProcess]:
    """A broker that takes SASL_SSL alone."""
    data_dir = tmp_path_factory.mktemp("secured") / "broker"
    data_dir.mkdir()
    Users(data_dir / USERS_FILE, FileSystem()).set_password("ana", PASSWORD)
    made = authority.issue()
    arguments = ("--sasl", "--tls-certificate", str(made.file), "--tls-key", str(made.key))
    with BrokerProcess(data_dir, arguments=arguments) as broker:
        yield broker


def config_file(folder: Path, authority: Authority, jaas: str = JAAS) -> Path:
    file = folder / "ksql-server.properties"
    quoted = jaas.replace("\\", "\\\\")
    lines = {"security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-256", "sasl.jaas.config": quoted}
    lines |= {"ssl.truststore.type": "PEM", "ssl.truststore.location": str(authority.file)}
    file.write_text("".join(f"ksql.streams.{name}={value}\n" for name, value in lines.items()), encoding="utf-8")
    return file


def test_every_client_of_a_query_uses_it(secured: BrokerProcess, authority: Authority, tmp_path: Path) -> None:
    file = config_file(tmp_path, authority)
    server = KsqlServerProcess(tmp_path, secured.address, ("--config-file", str(file))).start()
    try:
        server.ksql("CREATE STREAM s (id INT KEY, v INT) WITH (kafka_topic='s', value_format='JSON', partitions=1);")
        server.ksql("CREATE TABLE t AS SELECT id, COUNT(*) AS n FROM s GROUP BY id;", streamsProperties=EARLIEST)
        server.ksql("INSERT INTO s VALUES (1, 1);")
        assert server.rows("SELECT * FROM t EMIT CHANGES LIMIT 1;")[0] == [1, 1]
        shown = str(server.ksql("SHOW PROPERTIES;"))
        assert "ScramLoginModule" not in shown and "jaas" not in shown
    finally:
        server.stop()


def test_a_wrong_password_ends_the_server_with_one_sentence(
    secured: BrokerProcess, authority: Authority, tmp_path: Path
) -> None:
    file = config_file(tmp_path, authority, JAAS.replace("password=", 'password="wrong" x='))
    ended = subprocess.run(
        [sys.executable, "-m", "streamguard_ksql.server", "--data-dir", str(tmp_path / "data"), "--listen",
         f"127.0.0.1:{free_port()}", "--bootstrap-servers", secured.address, "--config-file", str(file)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    last = ended.stderr.splitlines()[-1]
    assert last.startswith(f"streamguard ksqldb: Kafka at {secured.address} cannot be used: ")
    assert "authentication" in last.lower() and "Traceback" not in ended.stderr

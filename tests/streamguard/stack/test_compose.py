"""docker-compose.yaml: valid by the Compose specification (https://compose-spec.io), with the defaults of the settings."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from streamguard.config import Settings
from streamguard.config.resources import DATA
from streamguard.metrics.targets import port_of
from streamguard.stack import compose
from tests.support.project import PROJECT_ROOT

compose_spec = pytest.importorskip("compose_spec", reason="its wheels are for Linux")

TEXT = (PROJECT_ROOT / "docker-compose.yaml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DEFAULTS = {
    "STREAMGUARD_" + name.upper(): str(field.default)
    for name, field in Settings.model_fields.items()
    if field.validation_alias is None
}
REFERENCE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


def strings(node: Any) -> list[str]:
    """Every string in a YAML tree."""
    if isinstance(node, dict):
        return [text for value in node.values() for text in strings(value)]
    if isinstance(node, list):
        return [text for value in node for text in strings(value)]
    return [node] if isinstance(node, str) else []


def test_the_file_is_valid_by_the_compose_specification() -> None:
    # Docker's word for the host's address, which the validator takes for an address that is wrong.
    with_defaults = REFERENCE.sub(lambda found: found.group(2), TEXT).replace("host-gateway", "172.17.0.1")
    compose_spec.PyCompose.from_yaml(with_defaults).validate()
    with pytest.raises(ValueError, match="service_healthy"):
        compose_spec.PyCompose.from_yaml(with_defaults.replace("condition: service_healthy", "condition: nonsense"))


def test_the_file_has_its_services_and_named_volumes() -> None:
    usual = {name for name, service in SERVICES.items() if "profiles" not in service}
    assert usual == {"kafka", "ksqldb-server", "ksqldb-cli", "postgres", "kafka-ui"}
    assert {name for name, service in SERVICES.items() if service.get("profiles") == ["metrics"]} == {
        "prometheus",
        "grafana",
    }
    named = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert {name for name in named if not name.startswith((".", "/"))} == set(COMPOSE["volumes"])


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_healthy_before_another_needs_it_and_listens_on_loopback(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"[\w./-]+:v?\d[\w.-]*", service["image"]), "an image names its version"
    assert service["healthcheck"]["test"]
    for other, how in service.get("depends_on", {}).items():
        assert how == {"condition": "service_healthy"}
        assert "healthcheck" in SERVICES[other]
    for port in service.get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\$\{\w+:-\d+\}:\d+", port), "loopback only, movable"


def test_every_variable_is_a_setting_with_the_same_default() -> None:
    found = [match for text in strings(COMPOSE) for match in REFERENCE.findall(text.replace("$$", ""))]
    assert {name for name, _ in found} == {
        "STREAMGUARD_KAFKA_PORT",
        "STREAMGUARD_KSQLDB_PORT",
        "STREAMGUARD_POSTGRES_PORT",
        "STREAMGUARD_KAFKA_UI_PORT",
        "STREAMGUARD_PROMETHEUS_PORT",
        "STREAMGUARD_GRAFANA_PORT",
        "STREAMGUARD_POSTGRES_USER",
        "STREAMGUARD_POSTGRES_PASSWORD",
        "STREAMGUARD_POSTGRES_DB",
    }
    for name, default in found:
        assert default == DEFAULTS[name], name


def test_the_addresses_of_the_settings_are_the_published_ports() -> None:
    settings = Settings(_env_file=None)  # type: ignore[call-arg]
    published = {name: service["ports"][0] for name, service in SERVICES.items() if "ports" in service}
    assert f":-{settings.kafka_bootstrap_servers.split(':')[1]}}}:9092" in published["kafka"]
    assert f":-{settings.ksqldb_url.rsplit(':', 1)[1]}}}:8088" in published["ksqldb-server"]
    assert f":-{settings.database.port}}}:5432" in published["postgres"]


@pytest.mark.parametrize("root", [PROJECT_ROOT, DATA], ids=["clone", "package"])
def test_what_prometheus_and_grafana_read_is_there(root: Path) -> None:
    mounts = [mount.split(":") for name in ("prometheus", "grafana") for mount in SERVICES[name]["volumes"]]
    mounted = {target: root / source for source, target, *_ in mounts if source.startswith("./")}
    found = [line.partition("=")[2] for line in SERVICES["prometheus"]["command"] if line.startswith("--config.file=")]
    [config] = found
    folder, _, name = config.rpartition("/")
    rules = yaml.safe_load((mounted[folder] / name).read_text())["rule_files"]
    assert all((mounted[folder] / rule).is_file() for rule in rules)
    assert (mounted["/etc/grafana/provisioning"] / "datasources" / "prometheus.yml").is_file()
    assert len(list(mounted[SERVICES["grafana"]["environment"]["STREAMGUARD_DASHBOARDS"]].glob("*.json"))) == 5


def test_prometheus_asks_the_application_where_it_listens() -> None:
    config = yaml.safe_load((PROJECT_ROOT / "ops" / "prometheus" / "prometheus-compose.yml").read_text())
    [job] = config["scrape_configs"]
    settings = Settings(_env_file=None)  # type: ignore[call-arg]
    parts = ("consumer", "desk", "generator", "monitor")
    assert [(one["labels"]["part"], one["targets"]) for one in job["static_configs"]] == [
        (part, [f"host.docker.internal:{port_of(settings, part)}"]) for part in parts
    ]
    embedded = yaml.safe_load((PROJECT_ROOT / "ops" / "prometheus" / "prometheus.yml").read_text())
    assert job["job_name"] == embedded["scrape_configs"][0]["job_name"]


def test_the_schema_file_is_what_postgres_runs_first() -> None:
    assert "./docker/init-db.sql:/docker-entrypoint-initdb.d/10-streamguard.sql:ro" in SERVICES["postgres"]["volumes"]
    assert (PROJECT_ROOT / "docker" / "init-db.sql").exists()


def test_the_example_shows_the_defaults() -> None:
    shown = dict(re.findall(r"^# (STREAMGUARD_\w+)=(\S+)$", (PROJECT_ROOT / ".env.example").read_text(), re.MULTILINE))
    for name, value in shown.items():
        # true and True are the same value, 20 and 20.0 the same number.
        assert value.lower() == DEFAULTS[name].lower() or float(value) == float(DEFAULTS[name]), name


def test_docker_gets_the_packaged_file_and_the_env_file_of_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a wheel too: nothing is looked up relative to a checkout."""
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\necho "$STREAMGUARD_POSTGRES_PASSWORD" > {tmp_path}/password\n'
    )
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{docker.parent}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").touch()
    compose.up("streamguard up", "sesame")
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls == [
        "info",
        f"compose --project-directory {DATA} -f {DATA}/docker-compose.yaml --env-file {tmp_path}/.env up --detach --wait",
    ]
    assert (tmp_path / "password").read_text() == "sesame\n"
    (tmp_path / ".env").unlink()
    assert "--env-file /dev/null" in " ".join(compose.command("ps"))

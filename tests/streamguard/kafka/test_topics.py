"""The application's topics: made by whoever comes first, with their settings; what differs is named and can be set."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from typer.testing import CliRunner

from streamguard.cli.topics import topics_app
from streamguard.config import Settings, load_settings
from streamguard.config.resources import sql_file
from streamguard.kafka.topics import differences, ensure_topics, mend, topic_configs
from streamguard.sqldeploy import topics_of
from tests.support.broker import BrokerProcess


@pytest.fixture
def settings(broker: BrokerProcess, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", broker.address)
    return load_settings()


@pytest.fixture
def admin(settings: Settings) -> Iterator[KafkaAdminClient]:
    client = KafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap_servers)
    yield client
    client.close()


def setting_of(admin: KafkaAdminClient, topic: str, name: str = "retention.ms") -> str:
    described = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)], config_filter="all")
    return str(described["topic"][topic][name]["value"])


def test_all_are_made_and_none_differs(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    assert sorted(ensure_topics(settings)) == sorted(topic_configs(settings))
    assert ensure_topics(settings) == []
    assert differences(settings) == []
    assert caplog.text == ""


def test_a_topic_with_other_settings_is_named_and_set(
    settings: Settings, admin: KafkaAdminClient, caplog: pytest.LogCaptureFixture
) -> None:
    """As ksqlDB makes it, if it comes first."""
    week = {"num_partitions": 1, "replication_factor": -1, "configs": {"retention.ms": "604800000"}}
    admin.create_topics({"fraud_alerts": week})
    with caplog.at_level(logging.WARNING):
        ensure_topics(settings)
    assert (
        "topic fraud_alerts has retention.ms=604800000, -1 is expected; `streamguard topics check --mend`"
        in caplog.text
    )
    assert (
        "topic fraud_alerts has partitions=1, 3 is expected; `streamguard topics check --mend` sets it" in caplog.text
    )
    found = differences(settings)
    assert {difference.topic for difference in found} == {"fraud_alerts"}
    mend(settings, found)
    assert differences(settings) == []
    assert setting_of(admin, "fraud_alerts") == "-1"


def test_partitions_cannot_become_fewer(settings: Settings, admin: KafkaAdminClient) -> None:
    ensure_topics(settings)
    admin.create_partitions({"transactions": 6})
    [difference] = differences(settings)
    mend(settings, [difference])
    assert differences(settings) == [difference]
    assert "set STREAMGUARD_TOPIC_PARTITIONS=6 if that is meant" in difference.advice


def test_the_command_says_and_sets(settings: Settings, admin: KafkaAdminClient) -> None:
    ensure_topics(settings)
    change = {"retention.ms": ("SET", "1000")}
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, "decisions", configs=change)])
    said = CliRunner().invoke(topics_app, ["check"])
    assert said.exit_code == 1 and "topic decisions has retention.ms=1000, -1 is expected" in said.output
    assert CliRunner().invoke(topics_app, ["check", "--mend"]).exit_code == 0
    assert CliRunner().invoke(topics_app, ["check"]).output == "The topics are as the application needs them.\n"


def test_the_sources_of_the_sql_files_are_kept_too(settings: Settings, admin: KafkaAdminClient) -> None:
    """ksqlDB would make them with a week: what is stamped 2018 would be gone within minutes."""
    files = [sql_file(name) for name in ("queries.sql", "blacklist.sql", "currency-limits.sql", "chargebacks.sql")]
    topics = {topic.name: topic for topic in topics_of(files)}
    assert {"transactions", "fraud_alerts", "blacklist", "currency_limits", "fraud_labels"} <= topics.keys()
    created = ensure_topics(settings, extra=topics.values())
    assert {"blacklist", "currency_limits"} <= set(created)
    assert setting_of(admin, "fraud_labels") == "-1"
    compacted = admin.describe_configs(
        [ConfigResource(ConfigResourceType.TOPIC, "currency_limits")], config_filter="all"
    )["topic"]
    assert compacted["currency_limits"]["cleanup.policy"]["value"] == "compact"


def test_a_deploy_makes_the_topics_before_it_sends_anything(settings: Settings, admin: KafkaAdminClient) -> None:
    """Without a server there is nothing to deploy to; the topics are there already."""
    environment = {**os.environ, "KSQLDB_URL": "http://127.0.0.1:1"}
    command = [sys.executable, "-m", "streamguard.cli", "deploy"]
    said = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert said.returncode == 1 and "no ksqlDB server answers" in said.stderr, said.stderr
    assert set(topic_configs(settings)) <= set(admin.list_topics())
    assert differences(settings) == []

"""Topic settings: which have an effect, and what the others are marked as."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamguard_broker.config_docs import BROKER_CONFIGS, GROUP_CONFIGS, TOPIC_DOCUMENTATION
from streamguard_broker.configs import TOPIC_CONFIGS, TopicConfig, check_topic_config
from streamguard_broker.errors import ErrorCode, KafkaError
from streamguard_broker.options import BrokerOptions


class Recording(TopicConfig):
    """Keeps the names that are read."""

    def __init__(self) -> None:
        super().__init__({}, {})
        self.read: set[str] = set()

    def value(self, name: str) -> str:
        self.read.add(name)
        return super().value(name)


def test_the_keys_that_are_read_are_marked_as_used() -> None:
    config = Recording()
    properties = (config.max_message_bytes, config.record_rules, config.log_config())
    assert properties
    assert config.read == {key.name for key in TOPIC_CONFIGS.values() if key.used}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("no.such.key", "1"),
        ("retention.ms", None),
        ("retention.ms", "soon"),
        ("retention.ms", "-2"),
        ("cleanup.policy", "delete,keep"),
        ("min.cleanable.dirty.ratio", "1.5"),
        ("min.cleanable.dirty.ratio", "half"),
        ("preallocate", "maybe"),
        ("message.timestamp.type", "Never"),
    ],
)
def test_invalid_values_are_rejected(name: str, value: str | None) -> None:
    with pytest.raises(KafkaError) as rejected:
        check_topic_config(name, value)
    assert rejected.value.code is ErrorCode.INVALID_CONFIG and name in rejected.value.message


def test_every_default_is_valid() -> None:
    for key in TOPIC_CONFIGS.values():
        check_topic_config(key.name, key.default)


def test_every_setting_that_is_shown_is_documented(tmp_path: Path) -> None:
    options = BrokerOptions(tmp_path)
    assert set(options.as_kafka_configs()) == set(BROKER_CONFIGS)
    assert set(options.as_group_configs()) == set(GROUP_CONFIGS)
    assert set(TOPIC_CONFIGS) == set(TOPIC_DOCUMENTATION)
    assert all(text for _, text in (*BROKER_CONFIGS.values(), *GROUP_CONFIGS.values()))
    assert all(TOPIC_DOCUMENTATION.values())

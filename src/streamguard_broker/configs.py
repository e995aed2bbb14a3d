"""Topic and broker configuration: the names Kafka knows, their types, defaults and bounds.

Meanings: https://kafka.apache.org/documentation/#topicconfigs. A key with `used=False` is accepted, stored and shown,
because tools set it, but has no effect on one node; docs/not-implemented.md lists them.

Defaults are Kafka's, but for three. `retention.ms`: Kafka removes records after seven days, this broker keeps them. Event
times are often years old, and what retention removes before a rule or the consumer has read it is lost.
`message.timestamp.after.max.ms`: Kafka rejects what is dated more than an hour ahead, here there is no limit unless one is
set. `segment.bytes`: 64 MiB here, 1 GiB there.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from streamguard_broker.errors import ErrorCode, KafkaError
from streamguard_broker.storage.log_config import LogConfig
from streamguard_broker.storage.record_checks import RecordRules


class ConfigType(IntEnum):
    """As in DescribeConfigs v3+."""

    UNKNOWN = 0
    BOOLEAN = 1
    STRING = 2
    INT = 3
    SHORT = 4
    LONG = 5
    DOUBLE = 6
    LIST = 7


class ConfigSource(IntEnum):
    """As in DescribeConfigs v1+: whose setting is in effect."""

    DYNAMIC_TOPIC_CONFIG = 1
    STATIC_BROKER_CONFIG = 4
    DEFAULT_CONFIG = 5


@dataclass(frozen=True)
class ConfigKey:
    """One key. `default` is text.

    used     it has an effect here
    synonym  the broker's setting that is the default of topics without their own, None where Kafka has none
    retired  Kafka 4 has it no more: accepted, for older tools, and described where a topic sets it
    """

    name: str
    default: str
    type: ConfigType
    minimum: int | None = None
    choices: tuple[str, ...] = ()
    used: bool = True
    synonym: str | None = None
    retired: bool = False

    def check(self, value: str) -> None:
        """Raises KafkaError INVALID_CONFIG that names the allowed values."""
        if self.type in (ConfigType.INT, ConfigType.LONG):
            self._check_number(value)
        elif self.type is ConfigType.DOUBLE:
            self._check_ratio(value)
        elif self.type is ConfigType.BOOLEAN and value.lower() not in ("true", "false"):
            raise self._invalid(value, "true or false")
        elif self.choices:
            given = [item.strip() for item in value.split(",")] if self.type is ConfigType.LIST else [value]
            if not set(given) <= set(self.choices):
                raise self._invalid(value, " or ".join(self.choices))

    def _check_number(self, value: str) -> None:
        try:
            number = int(value)
        except ValueError:
            raise self._invalid(value, "a whole number") from None
        if self.minimum is not None and number < self.minimum:
            raise self._invalid(value, f"at least {self.minimum}")

    def _check_ratio(self, value: str) -> None:
        try:
            if 0 <= float(value) <= 1:
                return
        except ValueError:
            pass
        raise self._invalid(value, "a number from 0 to 1")

    def _invalid(self, value: str, wanted: str) -> KafkaError:
        return KafkaError(ErrorCode.INVALID_CONFIG, f"Invalid value {value!r} for {self.name}: expected {wanted}.")


_DAY_MS = 24 * 3600 * 1000
_LONG_MAX = str(2**63 - 1)

TOPIC_CONFIGS: dict[str, ConfigKey] = {
    key.name: key
    for key in (
        ConfigKey(
            "cleanup.policy", "delete", ConfigType.LIST, choices=("delete", "compact", ""), synonym="log.cleanup.policy"
        ),
        ConfigKey(
            "compression.gzip.level", "-1", ConfigType.INT, minimum=-1, used=False, synonym="compression.gzip.level"
        ),
        ConfigKey("compression.lz4.level", "9", ConfigType.INT, minimum=1, used=False, synonym="compression.lz4.level"),
        ConfigKey(
            "compression.type",
            "producer",
            ConfigType.STRING,
            used=False,
            choices=("producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"),
            synonym="compression.type",
        ),
        ConfigKey("compression.zstd.level", "3", ConfigType.INT, used=False, synonym="compression.zstd.level"),
        ConfigKey(
            "delete.retention.ms", str(_DAY_MS), ConfigType.LONG, minimum=0, synonym="log.cleaner.delete.retention.ms"
        ),
        ConfigKey(
            "file.delete.delay.ms",
            "60000",
            ConfigType.LONG,
            minimum=0,
            used=False,
            synonym="log.segment.delete.delay.ms",
        ),
        ConfigKey(
            "flush.messages", _LONG_MAX, ConfigType.LONG, minimum=1, used=False, synonym="log.flush.interval.messages"
        ),
        ConfigKey("flush.ms", _LONG_MAX, ConfigType.LONG, minimum=0, used=False),
        ConfigKey("follower.replication.throttled.replicas", "", ConfigType.LIST, used=False),
        ConfigKey(
            "index.interval.bytes", "4096", ConfigType.INT, minimum=0, used=False, synonym="log.index.interval.bytes"
        ),
        ConfigKey("leader.replication.throttled.replicas", "", ConfigType.LIST, used=False),
        ConfigKey(
            "local.retention.bytes", "-2", ConfigType.LONG, minimum=-2, used=False, synonym="log.local.retention.bytes"
        ),
        ConfigKey(
            "local.retention.ms", "-2", ConfigType.LONG, minimum=-2, used=False, synonym="log.local.retention.ms"
        ),
        ConfigKey(
            "max.compaction.lag.ms",
            _LONG_MAX,
            ConfigType.LONG,
            minimum=1,
            used=False,
            synonym="log.cleaner.max.compaction.lag.ms",
        ),
        ConfigKey("max.message.bytes", "1048588", ConfigType.INT, minimum=0, synonym="message.max.bytes"),
        ConfigKey("message.downconversion.enable", "true", ConfigType.BOOLEAN, used=False, retired=True),
        ConfigKey("message.format.version", "3.0-IV1", ConfigType.STRING, used=False, retired=True),
        ConfigKey(
            "message.timestamp.after.max.ms",
            _LONG_MAX,
            ConfigType.LONG,
            minimum=0,
            synonym="log.message.timestamp.after.max.ms",
        ),
        ConfigKey(
            "message.timestamp.before.max.ms",
            _LONG_MAX,
            ConfigType.LONG,
            minimum=0,
            synonym="log.message.timestamp.before.max.ms",
        ),
        ConfigKey(
            "message.timestamp.difference.max.ms", _LONG_MAX, ConfigType.LONG, minimum=0, used=False, retired=True
        ),
        ConfigKey(
            "message.timestamp.type",
            "CreateTime",
            ConfigType.STRING,
            choices=("CreateTime", "LogAppendTime"),
            synonym="log.message.timestamp.type",
        ),
        ConfigKey("min.cleanable.dirty.ratio", "0.5", ConfigType.DOUBLE, synonym="log.cleaner.min.cleanable.ratio"),
        ConfigKey(
            "min.compaction.lag.ms", "0", ConfigType.LONG, minimum=0, synonym="log.cleaner.min.compaction.lag.ms"
        ),
        ConfigKey("min.insync.replicas", "1", ConfigType.INT, minimum=1, used=False, synonym="min.insync.replicas"),
        ConfigKey("preallocate", "false", ConfigType.BOOLEAN, used=False, synonym="log.preallocate"),
        ConfigKey("remote.log.copy.disable", "false", ConfigType.BOOLEAN, used=False),
        ConfigKey("remote.log.delete.on.disable", "false", ConfigType.BOOLEAN, used=False),
        ConfigKey("remote.storage.enable", "false", ConfigType.BOOLEAN, used=False),
        ConfigKey("retention.bytes", "-1", ConfigType.LONG, minimum=-1, synonym="log.retention.bytes"),
        ConfigKey("retention.ms", "-1", ConfigType.LONG, minimum=-1),
        ConfigKey("segment.bytes", str(64 * 1024 * 1024), ConfigType.INT, minimum=14, synonym="log.segment.bytes"),
        ConfigKey(
            "segment.index.bytes", "10485760", ConfigType.INT, minimum=4, used=False, synonym="log.index.size.max.bytes"
        ),
        ConfigKey("segment.jitter.ms", "0", ConfigType.LONG, minimum=0, used=False),
        ConfigKey("segment.ms", str(7 * _DAY_MS), ConfigType.LONG, minimum=1),
        ConfigKey(
            "unclean.leader.election.enable",
            "false",
            ConfigType.BOOLEAN,
            used=False,
            synonym="unclean.leader.election.enable",
        ),
    )
}


def check_topic_config(name: str, value: str | None) -> None:
    """Raises KafkaError INVALID_CONFIG for an unknown key or a value out of bounds."""
    key = TOPIC_CONFIGS.get(name)
    if key is None:
        raise KafkaError(ErrorCode.INVALID_CONFIG, f"Unknown topic config name: {name}")
    if value is None:
        raise KafkaError(ErrorCode.INVALID_CONFIG, f"Null value not supported for topic configs: {name}")
    key.check(value)


class TopicConfig:
    """The effective configuration of one topic: its own settings over the broker's defaults."""

    def __init__(self, own: dict[str, str], defaults: dict[str, str]) -> None:
        self.own = own
        self._defaults = defaults

    def value(self, name: str) -> str:
        own = self.own.get(name)
        return own if own is not None else self._defaults.get(name, TOPIC_CONFIGS[name].default)

    def source(self, name: str) -> ConfigSource:
        if name in self.own:
            return ConfigSource.DYNAMIC_TOPIC_CONFIG
        return ConfigSource.STATIC_BROKER_CONFIG if name in self._defaults else ConfigSource.DEFAULT_CONFIG

    def synonyms(self, name: str) -> list[tuple[str, str, ConfigSource]]:
        """Name, value and source of all that sets this, what is in effect first, as DescribeConfigs shows them."""
        key, known = TOPIC_CONFIGS[name], []
        if name in self.own:
            known.append((name, self.own[name], ConfigSource.DYNAMIC_TOPIC_CONFIG))
        if name in self._defaults:
            known.append((key.synonym or name, self._defaults[name], ConfigSource.STATIC_BROKER_CONFIG))
        if key.synonym is not None:
            known.append((key.synonym, key.default, ConfigSource.DEFAULT_CONFIG))
        return known

    @property
    def max_message_bytes(self) -> int:
        return int(self.value("max.message.bytes"))

    @property
    def log_append_time(self) -> bool:
        return self.value("message.timestamp.type") == "LogAppendTime"

    @property
    def compacted(self) -> bool:
        return "compact" in self.value("cleanup.policy")

    @property
    def record_rules(self) -> RecordRules:
        """What each produced record must satisfy."""
        return RecordRules(
            keyed=self.compacted,
            log_append_time=self.log_append_time,
            before_max_ms=int(self.value("message.timestamp.before.max.ms")),
            after_max_ms=int(self.value("message.timestamp.after.max.ms")),
        )

    def log_config(self) -> LogConfig:
        """The part that storage needs."""
        policy = self.value("cleanup.policy")
        return LogConfig(
            segment_bytes=int(self.value("segment.bytes")),
            segment_ms=int(self.value("segment.ms")),
            retention_bytes=int(self.value("retention.bytes")),
            retention_ms=int(self.value("retention.ms")),
            delete="delete" in policy,
            compact="compact" in policy,
            delete_retention_ms=int(self.value("delete.retention.ms")),
            min_compaction_lag_ms=int(self.value("min.compaction.lag.ms")),
            min_dirty_ratio=float(self.value("min.cleanable.dirty.ratio")),
        )

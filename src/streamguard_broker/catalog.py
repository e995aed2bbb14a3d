"""The topics: their ids, partitions and configurations, kept in `topics.json`, with a PartitionLog for each.

A topic exists once `topics.json` names it and is gone once it does not; folders that no topic owns are removed at the
start, so a crash during a creation or deletion leaves nothing behind.
"""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import orjson

from streamguard_broker.clock import Clock
from streamguard_broker.configs import TopicConfig, check_topic_config
from streamguard_broker.errors import ErrorCode, KafkaError
from streamguard_broker.storage.filesystem import FileSystem
from streamguard_broker.storage.log import PartitionLog

log = logging.getLogger(__name__)

MAX_NAME_LENGTH = 249
MAX_PARTITIONS = 20_000
_NAME = re.compile(r"[a-zA-Z0-9._-]+")


@dataclass
class Topic:
    """One topic with its open partitions."""

    name: str
    id: uuid.UUID
    config: TopicConfig
    partitions: list[PartitionLog]


def check_topic_name(name: str) -> None:
    """Kafka's rule: 1 to 249 of letters, digits, dot, underscore, hyphen; not "." or "..". Raises KafkaError."""
    if not name or len(name) > MAX_NAME_LENGTH or name in (".", "..") or not _NAME.fullmatch(name):
        raise KafkaError(
            ErrorCode.INVALID_TOPIC_EXCEPTION,
            f"Topic name {name[:300]!r} is invalid: 1 to {MAX_NAME_LENGTH} letters, digits, '.', '_' or '-'.",
        )


class Catalog:
    """All topics of a data folder."""

    def __init__(
        self,
        folder: Path,
        fs: FileSystem,
        clock: Clock,
        defaults: dict[str, str],
        schedule: Callable[[PartitionLog], None] | None = None,
        *,
        max_topics: int = 10_000,
        max_partitions: int = MAX_PARTITIONS,
    ) -> None:
        """Open every partition in `folder`, recovering as needed; `schedule` as in PartitionLog. Raises OSError."""
        self._folder = folder
        self._fs = fs
        self._clock = clock
        self.defaults = defaults
        self._schedule = schedule
        self._max_topics = max_topics
        self._max_partitions = max_partitions
        self.topics: dict[str, Topic] = {}
        self.by_id: dict[uuid.UUID, Topic] = {}
        self._logs_folder = folder / "logs"
        fs.make_directory(self._logs_folder)
        self._load()

    def _load(self) -> None:
        data = self._fs.read_file(self._folder / "topics.json")
        entries = orjson.loads(data) if data else []
        known = {f"{e['name']}-{p}" for e in entries for p in range(e["partitions"])}
        for name in self._fs.list_directory(self._logs_folder):
            if name not in known:
                log.info("removing %s: no topic owns it", name)
                self._fs.remove_tree(self._logs_folder / name)
        for entry in entries:
            self._open(entry["name"], uuid.UUID(entry["id"]), entry["partitions"], entry["configs"])

    def _open(self, name: str, topic_id: uuid.UUID, partitions: int, configs: dict[str, str]) -> Topic:
        config = TopicConfig(configs, self.defaults)
        topic = Topic(name, topic_id, config, [])
        for partition in range(partitions):
            topic.partitions.append(self._open_log(topic, partition))
        self.topics[name] = topic
        self.by_id[topic_id] = topic
        return topic

    def _open_log(self, topic: Topic, partition: int) -> PartitionLog:
        folder = self._logs_folder / f"{topic.name}-{partition}"
        return PartitionLog(folder, self._fs, self._clock, topic.config.log_config(), self._schedule)

    def _save(self) -> None:
        entries = [
            {"name": t.name, "id": str(t.id), "partitions": len(t.partitions), "configs": t.config.own}
            for t in self.topics.values()
        ]
        try:
            self._fs.replace_file(self._folder / "topics.json", orjson.dumps(entries, option=orjson.OPT_INDENT_2))
        except OSError as error:
            raise self._storage_error(error) from error

    @staticmethod
    def _storage_error(error: OSError) -> KafkaError:
        return KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, f"The list of topics cannot be stored: {error.strerror}.")

    # Reading

    def get(self, name: str) -> Topic | None:
        return self.topics.get(name)

    def partition(self, name: str, index: int) -> PartitionLog | None:
        """A partition, None if there is no such topic or partition."""
        topic = self.topics.get(name)
        if topic is None or not 0 <= index < len(topic.partitions):
            return None
        return topic.partitions[index]

    def logs(self) -> Iterable[PartitionLog]:
        """Every open partition."""
        for topic in self.topics.values():
            yield from topic.partitions

    # Changing

    def check_new(self, name: str, partitions: int, configs: dict[str, str | None]) -> None:
        """Raises the KafkaError that `create` would raise."""
        check_topic_name(name)
        if name in self.topics:
            raise KafkaError(ErrorCode.TOPIC_ALREADY_EXISTS, f"Topic '{name}' already exists.")
        if partitions < 1:
            raise KafkaError(ErrorCode.INVALID_PARTITIONS, "Number of partitions must be larger than 0.")
        if len(self.topics) >= self._max_topics:
            raise KafkaError(ErrorCode.POLICY_VIOLATION, f"The limit is {self._max_topics} topics.")
        self._check_partition_total(partitions)
        for key, value in configs.items():
            check_topic_config(key, value)

    def _check_partition_total(self, more: int) -> None:
        if sum(len(t.partitions) for t in self.topics.values()) + more > self._max_partitions:
            raise KafkaError(ErrorCode.INVALID_PARTITIONS, f"The limit is {self._max_partitions} partitions.")

    def create(self, name: str, partitions: int, configs: dict[str, str | None] | None = None) -> Topic:
        """Create a topic, durably. Raises KafkaError."""
        configs = configs or {}
        self.check_new(name, partitions, configs)
        own = {key: value for key, value in configs.items() if value is not None}
        try:
            topic = self._open(name, uuid.uuid4(), partitions, own)
            self._save()
        except OSError as error:
            self._forget(name)
            raise self._storage_error(error) from error
        except KafkaError:
            self._forget(name)
            raise
        log.info("created topic %s with %d partitions", name, partitions)
        return topic

    def _forget(self, name: str) -> None:
        topic = self.topics.pop(name, None)
        if topic is not None:
            self.by_id.pop(topic.id, None)
            for partition in topic.partitions:
                partition.delete()

    def delete(self, name: str) -> None:
        """Remove a topic and its data. Raises KafkaError UNKNOWN_TOPIC_OR_PARTITION."""
        topic = self.topics.pop(name, None)
        if topic is None:
            raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"Topic '{name}' does not exist.")
        try:
            self._save()
        except KafkaError:
            self.topics[name] = topic
            raise
        del self.by_id[topic.id]
        for partition in topic.partitions:
            partition.delete()
        log.info("deleted topic %s", name)

    def add_partitions(self, name: str, count: int) -> None:
        """Grow a topic to `count` partitions. Raises KafkaError."""
        topic = self.topics.get(name)
        if topic is None:
            raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"Topic '{name}' does not exist.")
        have = len(topic.partitions)
        if count <= have:
            raise KafkaError(
                ErrorCode.INVALID_PARTITIONS, f"Topic '{name}' has {have} partitions, which is not below {count}."
            )
        self._check_partition_total(count - have)
        try:
            for partition in range(have, count):
                topic.partitions.append(self._open_log(topic, partition))
            self._save()
        except (OSError, KafkaError) as error:
            for extra in topic.partitions[have:]:
                extra.delete()
            del topic.partitions[have:]
            raise self._storage_error(error) if isinstance(error, OSError) else error from error

    def set_configs(self, name: str, own: dict[str, str]) -> None:
        """Replace a topic's own settings and apply them. Raises KafkaError."""
        topic = self.topics.get(name)
        if topic is None:
            raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"Topic '{name}' does not exist.")
        for key, value in own.items():
            check_topic_config(key, value)
        before, topic.config = topic.config, TopicConfig(own, self.defaults)
        try:
            self._save()
        except KafkaError:
            topic.config = before
            raise
        for partition in topic.partitions:
            partition.config = topic.config.log_config()

    def close(self) -> None:
        """Sync and close every partition."""
        for partition in self.logs():
            partition.close()

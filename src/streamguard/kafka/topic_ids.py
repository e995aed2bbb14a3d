"""Whether a topic is still the one that it was: one that is deleted and made again has another id under the same name."""

from __future__ import annotations

from collections.abc import Sequence

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from streamguard.kafka.clients import Servers, admin


class TopicIds:
    """Asks for the ids of topics, over one connection. Raises KafkaError; the next question then connects anew."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._client: KafkaAdminClient | None = None

    def of(self, names: Sequence[str]) -> dict[str, str]:
        """The id of each topic that is there; none of brokers before Kafka 2.8, which have no ids."""
        try:
            if self._client is None:
                self._client = admin(self._servers, client_id="streamguard-topic-ids", bootstrap_timeout_ms=5_000)
            found = self._client.describe_topics(list(names))
        except KafkaError:
            self.close()
            raise
        return {
            topic["name"]: str(topic["topic_id"]) for topic in found if not topic["error_code"] and topic["topic_id"]
        }

    def close(self) -> None:
        """End the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None

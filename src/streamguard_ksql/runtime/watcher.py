"""Looks now and then whether the topics that queries read have more partitions than before."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from streamguard_ksql.runtime.clients import KafkaTopics, KafkaUnavailable
from streamguard_ksql.runtime.query import QueryRunner

log = logging.getLogger(__name__)
INTERVAL_S = 10.0


class Watcher:
    """One thread for all queries: one request every `interval_s`."""

    def __init__(
        self, topics: KafkaTopics, runners: Callable[[], Sequence[QueryRunner]], interval_s: float = INTERVAL_S
    ) -> None:
        self._topics = topics
        self._runners = runners
        self._interval_s = interval_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._main, name="topics", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def _main(self) -> None:
        while not self._stop.wait(self._interval_s):
            try:
                self.look()
            except KafkaUnavailable:
                log.debug("the topics could not be listed", exc_info=True)

    def look(self) -> None:
        """Restart every query that reads a topic with more partitions than before."""
        runners = [(r, r.source_partitions()) for r in self._runners()]
        if not any(counts for _, counts in runners):
            return
        found = {name: len(topic.partitions) for name, topic in self._topics.all().items()}
        for runner, counts in runners:
            grown = [t for t, n in counts.items() if found.get(t, 0) > n]
            if grown:
                log.info("query %s: %s has more partitions now", runner.query.query_id, ", ".join(grown))
                runner.restart()

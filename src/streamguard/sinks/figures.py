"""Live figures into the table `live_figures`: the newest state of each window that `ksqldb/analytics.sql` counts.

It reads the topics `figures_by_...`, also those that are made later. A window is stored whole, so a record that is read again
changes nothing; offsets are in the same database transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from streamguard.config import Settings, get_settings
from streamguard.database import error_message, is_outage
from streamguard.figures.kinds import TOPICS
from streamguard.figures.store import FigureStore, OtherWriter
from streamguard.kafka.topic_ids import TopicIds
from streamguard.sinks.base import Batch, SinkRecord, SinkUnavailable, sink

BATCH = Batch(20_000, 0.5)
"""What comes within half a second is one change of each window."""


@sink(
    "figures",
    destination=lambda settings: settings.database_url,
    options=lambda settings: {"settings": settings},
    batch=lambda settings: BATCH,
    topics=lambda settings: list(TOPICS),
    sql=("analytics.sql",),
)
class FiguresSink:
    """Writes to the database of DATABASE_URL, or another one. One process at a time: another waits until it ends."""

    def __init__(self, destination: str, settings: Settings | None = None) -> None:
        given = settings or get_settings()
        self._store = FigureStore(given.model_copy(update={"database_url": destination}))
        self._ids = TopicIds(given.kafka)
        self._known: dict[str, str] = {}

    def next_offsets(self, topic: str) -> Mapping[int, int]:
        """Continue behind the windows that are stored; a topic that was made anew is read from its beginning."""
        found = self._ids.of([topic])
        self._known = {name: known for name, known in self._known.items() if name != topic} | found
        with _waiting():
            return self._store.next_offsets(topic, found.get(topic))

    def is_outdated(self) -> bool:
        """Whether a topic is another one than when `next_offsets` was asked: its SQL was replaced."""
        now = self._ids.of(list(self._known)) if self._known else {}
        return any(now.get(topic, known) != known for topic, known in self._known.items())

    def write(self, records: Sequence[SinkRecord]) -> None:
        """Store the newest state of each window."""
        with _waiting():
            self._store.write(records, self._known)

    def close(self) -> None:
        self._ids.close()
        self._store.close()


@contextmanager
def _waiting() -> Iterator[None]:
    """What passes by itself is SinkUnavailable."""
    try:
        yield
    except OtherWriter as error:
        raise SinkUnavailable(f"{error}; this one waits until that ends") from None
    except Exception as error:
        if not is_outage(error):
            raise
        raise SinkUnavailable(f"the database is unavailable: {error_message(error)}") from None

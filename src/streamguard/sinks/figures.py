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
from streamguard.sinks.base import Batch, SinkRecord, SinkUnavailable, sink

BATCH = Batch(20_000, 0.5)
"""What comes within half a second is one change of each window."""


@sink(
    "figures",
    destination=lambda settings: settings.database_url,
    options=lambda settings: {"settings": settings},
    batch=lambda settings: BATCH,
    topics=lambda settings: list(TOPICS),
)
class FiguresSink:
    """Writes to the database of DATABASE_URL, or another one. One process at a time: another waits until it ends."""

    def __init__(self, destination: str, settings: Settings | None = None) -> None:
        given = settings or get_settings()
        self._store = FigureStore(given.model_copy(update={"database_url": destination}))

    def next_offsets(self, topic: str) -> Mapping[int, int]:
        """Continue behind the windows that are stored."""
        with _waiting():
            return self._store.next_offsets(topic)

    def write(self, records: Sequence[SinkRecord]) -> None:
        """Store the newest state of each window."""
        with _waiting():
            self._store.write(records)

    def close(self) -> None:
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

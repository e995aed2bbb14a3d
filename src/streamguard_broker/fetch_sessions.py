"""Fetch sessions (KIP-227): the broker remembers what a client fetches, so that both say only what has changed.

A session lives in memory. The least recently used one gives way when there are too many; its client, told so, opens
another. No I/O and no request objects: `api.fetch` translates.
"""

from __future__ import annotations

import random
import uuid
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from streamguard_broker.errors import ErrorCode, KafkaError

NO_SESSION = 0
INITIAL_EPOCH = 0
FINAL_EPOCH = -1
MAX_SESSIONS = 1000

TopicKey = str | uuid.UUID
Target = tuple[TopicKey, int]


@dataclass
class FetchSession:
    """What one client fetches. `sent` is what it was last told of a partition: end, stable and start offset.

    `by_id`: it names topics by their ids (Fetch 13 and above), which cannot change under way.
    """

    session_id: int
    next_epoch: int
    by_id: bool
    partitions: OrderedDict[Target, Any] = field(default_factory=OrderedDict)
    sent: dict[Target, tuple[int, int, int]] = field(default_factory=dict)

    def update(self, wanted: dict[Target, Any], forgotten: list[Target]) -> None:
        """Take in what a request wants from now on, then what it forgets: of a partition in both, nothing is left."""
        self.partitions.update(wanted)
        for target in forgotten:
            self.partitions.pop(target, None)
            self.sent.pop(target, None)

    def rotate(self, served: Target) -> None:
        """A partition that gave data goes to the end, so that a full response does not starve the others."""
        self.partitions.move_to_end(served)


class FetchSessions:
    """All sessions of the broker, the least recently used first."""

    def __init__(self, limit: int = MAX_SESSIONS, rng: random.Random | None = None) -> None:
        self._limit = limit
        self._rng = rng or random.SystemRandom()
        self._sessions: OrderedDict[int, FetchSession] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sessions)

    def resolve(
        self, session_id: int, epoch: int, wanted: dict[Target, Any], forgotten: list[Target], *, by_id: bool = False
    ) -> tuple[FetchSession | None, bool]:
        """The session of a request (None: it has none, or its last partition went) and whether the answer is incremental.

        Raises KafkaError FETCH_SESSION_ID_NOT_FOUND, INVALID_FETCH_SESSION_EPOCH or FETCH_SESSION_TOPIC_ID_ERROR; a
        refused request changes nothing.
        """
        if epoch in (INITIAL_EPOCH, FINAL_EPOCH):
            self._sessions.pop(session_id, None)
            return (None, False) if epoch == FINAL_EPOCH else (self._open(wanted, by_id=by_id), False)
        session = self._sessions.get(session_id)
        if session is None:
            raise KafkaError(ErrorCode.FETCH_SESSION_ID_NOT_FOUND)
        if epoch != session.next_epoch:
            raise KafkaError(ErrorCode.INVALID_FETCH_SESSION_EPOCH)
        if by_id != session.by_id:
            raise KafkaError(ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR)
        session.update(wanted, forgotten)
        if not session.partitions:
            del self._sessions[session_id]
            return None, False
        session.next_epoch = 1 if epoch == 2**31 - 1 else epoch + 1
        self._sessions.move_to_end(session_id)
        return session, True

    def _open(self, wanted: dict[Target, Any], *, by_id: bool) -> FetchSession:
        session_id = NO_SESSION
        while session_id == NO_SESSION or session_id in self._sessions:
            session_id = self._rng.randrange(1, 2**31 - 1)
        session = FetchSession(session_id, INITIAL_EPOCH + 1, by_id, OrderedDict(wanted))
        self._sessions[session_id] = session
        if len(self._sessions) > self._limit:
            self._sessions.popitem(last=False)
        return session

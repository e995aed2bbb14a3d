"""Fetch sessions (KIP-227): the broker keeps what a client fetches, so that requests and responses have changes only.

Sessions are in memory. Above the limit the least recently used one is evicted; its client gets
FETCH_SESSION_ID_NOT_FOUND and opens another. No I/O and no request objects: `api.fetch` translates.
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
    """What one client fetches. `sent` is what was last reported of a partition: end, stable and start offset.

    `by_id`: topics are given by id (Fetch 13 and above); a session cannot change between names and ids.
    """

    session_id: int
    next_epoch: int
    by_id: bool
    partitions: OrderedDict[Target, Any] = field(default_factory=OrderedDict)
    sent: dict[Target, tuple[int, int, int]] = field(default_factory=dict)

    def update(self, wanted: dict[Target, Any], forgotten: list[Target]) -> None:
        """Add what a request wants, then remove what it forgets: a partition in both is removed."""
        self.partitions.update(wanted)
        for target in forgotten:
            self.partitions.pop(target, None)
            self.sent.pop(target, None)

    def rotate(self, served: Target) -> None:
        """Move a partition that returned data to the end, so that a full response does not starve the others."""
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
        """The session of a request (None: without one, or its last partition is removed); is the response incremental?

        Raises KafkaError FETCH_SESSION_ID_NOT_FOUND, INVALID_FETCH_SESSION_EPOCH or FETCH_SESSION_TOPIC_ID_ERROR; a
        rejected request changes nothing.
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

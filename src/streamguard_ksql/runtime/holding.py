"""What one query reads on this engine: its share of its topics, taken, kept and given back as the engines' slots change."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping

from streamguard_ksql.plan import Node
from streamguard_ksql.runtime.shares import Share, share_of, slots_of
from streamguard_ksql.runtime.sharing import Sharing

POLL_S = 0.1


class Holding:
    """One query's share. All but `slots`, `share_with`, `is_elsewhere` and `still` are for the query's own thread.

    `still` is set while nothing is read and all is committed: another engine may have the share. `ends` says whether the
    query has something else to do than to wait.
    """

    def __init__(self, plan: Node, query_id: str, sharing: Sharing, ends: Callable[[], bool]) -> None:
        self.sharing = sharing
        self.share: Share = {}
        self.partitions: Mapping[str, int] = {}
        """How many each topic of the query has; empty while that is not known."""
        self.still = threading.Event()
        self.still.set()
        self._plan, self._query_id, self._ends = plan, query_id, ends
        self._slots: frozenset[int] | None = None
        """Those that the share was made of."""
        self._losses = 0

    # --- from outside -------------------------------------------------------------------------------------------------

    def slots(self) -> Collection[int]:
        """The slots in which the query is, whoever has them; empty while that is not known."""
        return slots_of(self._plan, self._query_id, self.partitions) if self.partitions else ()

    def share_with(self, slots: Collection[int]) -> Share:
        """What an engine with these slots reads; empty where that is nothing, or not known."""
        return share_of(self._plan, self._query_id, self.partitions, slots) if self.partitions else {}

    @property
    def is_elsewhere(self) -> bool:
        """Whether other engines run all of it."""
        return self._slots is not None and not self.share

    # --- the query's thread -------------------------------------------------------------------------------------------

    def take(self, partitions: Callable[[], Mapping[str, int]]) -> bool:
        """Find out what to read; False where that is nothing at the moment. `still` is the caller's to set after it."""
        self.still.clear()
        self._losses, self._slots = self.sharing.losses, self.sharing.slots
        self.share = {}
        if self._slots is not None:
            self.partitions = partitions()
            self.share = self.share_with(self._slots)
        return bool(self.share)

    def wait(self) -> None:
        """Wait until the slots have changed."""
        while self.is_current and not self._ends():
            self.sharing.wait(POLL_S)

    @property
    def is_current(self) -> bool:
        """Whether the slots are those that the share was made of."""
        return self.sharing.slots is self._slots

    @property
    def is_lost(self) -> bool:
        """Whether others have had the share since it was taken: what was not committed is not to be."""
        return self.sharing.losses != self._losses

    def keep(self) -> bool:
        """Whether the share is still this one; waits while the slots are divided anew. All has to be committed."""
        self.still.set()
        while (slots := self.sharing.slots) is None and not self._ends():
            self.sharing.wait(POLL_S)
        if slots is None or self.is_lost or self.share_with(slots) != self.share:
            return False
        self.still.clear()
        self._slots = slots
        # Where they have changed once more, whoever asked for that may have found the query standing still.
        return self.is_current

    def own_partitions(self) -> frozenset[int] | None:
        """Which partitions' state is here; None: all."""
        mine = frozenset(p for partitions in self.share.values() for p in partitions)
        return None if len(mine) == max(self.partitions.values()) else mine

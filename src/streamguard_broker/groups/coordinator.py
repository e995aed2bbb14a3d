"""All groups of the broker: looks them up, applies their timeouts, stores them in the offset store."""

from __future__ import annotations

import logging

from streamguard_broker.clock import Clock
from streamguard_broker.errors import ErrorCode, KafkaError
from streamguard_broker.groups.formats import restore_group
from streamguard_broker.groups.group import Group
from streamguard_broker.groups.offsets import OffsetStore
from streamguard_broker.groups.states import GroupState

log = logging.getLogger(__name__)


class GroupCoordinator:
    """Groups by id. Times in ms."""

    def __init__(
        self, store: OffsetStore, clock: Clock, *, initial_delay_ms: int = 0, offsets_retention_ms: int = 7 * 86_400_000
    ) -> None:
        self.store = store
        self.clock = clock
        self.groups: dict[str, Group] = {}
        self._initial_delay_ms = initial_delay_ms
        self._offsets_retention_ms = offsets_retention_ms
        for group_id, value in store.stored_groups.items():
            restore_group(self.group(group_id), value, clock.monotonic_ms())
        for group_id in store.groups:
            self.group(group_id)

    def group(self, group_id: str) -> Group:
        """The group of this id, created if there is none."""
        group = self.groups.get(group_id)
        if group is None:
            group = Group(group_id, initial_delay_ms=self._initial_delay_ms, persist=self._store)
            group.empty_since_ms = self.clock.monotonic_ms()
            self.groups[group_id] = group
        return group

    def find(self, group_id: str) -> Group | None:
        return self.groups.get(group_id)

    def _store(self, group: Group) -> None:
        log.info(
            "group %s: generation %d %s, %d members",
            group.group_id,
            group.generation,
            group.state.value,
            len(group.members),
        )
        try:
            self.store.store_group(group, self.clock.wall_ms())
        except KafkaError as error:
            log.error("group %s: generation %d not stored: %s", group.group_id, group.generation, error)

    def tick(self) -> None:
        """Apply session and rebalance timeouts of every group; called many times a second."""
        now_ms = self.clock.monotonic_ms()
        for group in list(self.groups.values()):
            if not group.roster.is_empty:
                for member_id in group.expire(now_ms):
                    log.info("group %s: session of member %s timed out", group.group_id, member_id)

    def expire_offsets(self) -> None:
        """Delete the offsets of groups that have been empty, without commits, for the retention time."""
        now_ms = self.clock.monotonic_ms()
        horizon_ms = self.clock.wall_ms() - self._offsets_retention_ms
        for group in list(self.groups.values()):
            idle = group.state is GroupState.EMPTY and group.roster.is_empty
            since_ms = group.empty_since_ms
            if not idle or since_ms is None or now_ms - since_ms < self._offsets_retention_ms:
                continue
            offsets = self.store.fetch(group.group_id)
            if not offsets.pending and all(c.committed_ms < horizon_ms for c in offsets.committed.values()):
                log.info("group %s: expired", group.group_id)
                self.delete(group.group_id)

    def delete(self, group_id: str) -> ErrorCode:
        """Remove an empty group with its offsets."""
        group = self.groups.get(group_id)
        if group is None:
            return ErrorCode.GROUP_ID_NOT_FOUND
        if not group.roster.is_empty:
            return ErrorCode.NON_EMPTY_GROUP
        self.store.delete_group(group_id)
        group.kill()
        del self.groups[group_id]
        return ErrorCode.NONE

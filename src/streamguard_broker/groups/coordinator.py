"""All groups of the broker: looks them up, applies their timeouts, stores them in the offset store.

A group is of the classic protocol or of the consumer protocol (KIP-848). An empty one becomes what the next member
speaks, with its offsets; one with members stays what it is.
"""

from __future__ import annotations

import logging

from streamguard_broker.clock import Clock
from streamguard_broker.errors import ErrorCode, KafkaError
from streamguard_broker.groups.consumer_formats import encode_consumer_group, restore_consumer_group
from streamguard_broker.groups.consumer_group import ConsumerGroup
from streamguard_broker.groups.formats import restore_group
from streamguard_broker.groups.group import Group
from streamguard_broker.groups.offsets import OffsetStore

log = logging.getLogger(__name__)

AnyGroup = Group | ConsumerGroup


class GroupCoordinator:
    """Groups by id. Times in ms."""

    def __init__(
        self,
        store: OffsetStore,
        clock: Clock,
        *,
        initial_delay_ms: int = 0,
        offsets_retention_ms: int = 7 * 86_400_000,
        consumer_session_timeout_ms: int = 45_000,
    ) -> None:
        self.store = store
        self.clock = clock
        self.groups: dict[str, AnyGroup] = {}
        self._initial_delay_ms = initial_delay_ms
        self._offsets_retention_ms = offsets_retention_ms
        self._consumer_session_timeout_ms = consumer_session_timeout_ms
        for group_id, value in store.stored_groups.items():
            restore_group(self._new_classic(group_id), value, clock.monotonic_ms())
        for group_id, value in store.stored_consumer_groups.items():
            group = self._new_consumer(group_id)
            restore_consumer_group(group, value, clock.monotonic_ms(), consumer_session_timeout_ms)
        for group_id in store.groups:
            self.group(group_id)

    def group(self, group_id: str) -> AnyGroup:
        """The group of this id, created (of the classic protocol) if there is none."""
        return self.groups.get(group_id) or self._new_classic(group_id)

    def find(self, group_id: str) -> AnyGroup | None:
        return self.groups.get(group_id)

    def find_classic(self, group_id: str) -> Group | None:
        """The group of this id, if it is of the classic protocol."""
        group = self.groups.get(group_id)
        return group if isinstance(group, Group) else None

    def classic(self, group_id: str) -> Group:
        """The group for a member of the classic protocol. Raises KafkaError INCONSISTENT_GROUP_PROTOCOL."""
        group = self.groups.get(group_id)
        if isinstance(group, Group):
            return group
        if group is not None and not group.is_empty:
            raise KafkaError(
                ErrorCode.INCONSISTENT_GROUP_PROTOCOL, f"The group {group_id} has members of the consumer protocol."
            )
        self._replace(group)
        return self._new_classic(group_id)

    def consumer(self, group_id: str) -> ConsumerGroup:
        """The group for a member that joins by the consumer protocol. Raises KafkaError GROUP_ID_NOT_FOUND."""
        group = self.groups.get(group_id)
        if isinstance(group, ConsumerGroup):
            return group
        if group is not None and not group.is_empty:
            raise KafkaError(
                ErrorCode.GROUP_ID_NOT_FOUND,
                f"The group {group_id} has members of the classic protocol; it can be joined once they have left.",
            )
        self._replace(group)
        return self._new_consumer(group_id)

    def _replace(self, group: AnyGroup | None) -> None:
        """An empty group changes its protocol."""
        if group is not None:
            log.info("group %s: no longer of the %s protocol", group.group_id, group.kind)
            self.store.forget_group(group.group_id)
            group.kill()
            del self.groups[group.group_id]

    def _new_classic(self, group_id: str) -> Group:
        group = Group(group_id, initial_delay_ms=self._initial_delay_ms, persist=self._store)
        group.empty_since_ms = self.clock.monotonic_ms()
        self.groups[group_id] = group
        return group

    def _new_consumer(self, group_id: str) -> ConsumerGroup:
        timeout_ms = self._consumer_session_timeout_ms
        group = ConsumerGroup(group_id, session_timeout_ms=timeout_ms, persist=self._store_consumer)
        group.empty_since_ms = self.clock.monotonic_ms()
        self.groups[group_id] = group
        return group

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

    def _store_consumer(self, group: ConsumerGroup) -> None:
        log.info(
            "group %s: epoch %d %s, %d members", group.group_id, group.epoch, group.state.value, len(group.members)
        )
        try:
            self.store.store_consumer_group(group.group_id, encode_consumer_group(group))
        except KafkaError as error:
            log.error("group %s: epoch %d not stored: %s", group.group_id, group.epoch, error)

    @property
    def patterns(self) -> set[str]:
        """The regular expressions by which members of any group subscribe."""
        return {p for group in self.groups.values() if isinstance(group, ConsumerGroup) for p in group.patterns}

    def tick(self) -> None:
        """Apply session and rebalance timeouts of every group; called many times a second."""
        now_ms = self.clock.monotonic_ms()
        for group in list(self.groups.values()):
            if not group.is_empty:
                for member_id in group.expire(now_ms):
                    log.info("group %s: session of member %s timed out", group.group_id, member_id)

    def expire_offsets(self) -> None:
        """Delete the offsets of groups that have been empty, without commits, for the retention time."""
        now_ms = self.clock.monotonic_ms()
        horizon_ms = self.clock.wall_ms() - self._offsets_retention_ms
        for group in list(self.groups.values()):
            since_ms = group.empty_since_ms
            if not group.is_empty or since_ms is None or now_ms - since_ms < self._offsets_retention_ms:
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
        if not group.is_empty:
            return ErrorCode.NON_EMPTY_GROUP
        self.store.delete_group(group_id)
        group.kill()
        del self.groups[group_id]
        return ErrorCode.NONE

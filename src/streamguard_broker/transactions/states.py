"""The states of a transactional id, its transitions, and the answers to EndTxn, as tables (KIP-98)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from streamguard_broker.errors import ErrorCode

TopicPartition = tuple[str, int]


class TransactionState(Enum):
    """Named as Kafka's tools print them."""

    EMPTY = "Empty"
    ONGOING = "Ongoing"
    PREPARE_COMMIT = "PrepareCommit"
    PREPARE_ABORT = "PrepareAbort"
    COMPLETE_COMMIT = "CompleteCommit"
    COMPLETE_ABORT = "CompleteAbort"


_S = TransactionState

#: state -> the states it may move to
TRANSITIONS: dict[TransactionState, frozenset[TransactionState]] = {
    _S.EMPTY: frozenset({_S.EMPTY, _S.ONGOING}),
    _S.ONGOING: frozenset({_S.ONGOING, _S.PREPARE_COMMIT, _S.PREPARE_ABORT}),
    _S.PREPARE_COMMIT: frozenset({_S.COMPLETE_COMMIT}),
    _S.PREPARE_ABORT: frozenset({_S.COMPLETE_ABORT}),
    _S.COMPLETE_COMMIT: frozenset({_S.EMPTY, _S.ONGOING}),
    _S.COMPLETE_ABORT: frozenset({_S.EMPTY, _S.ONGOING}),
}

#: (state, commit?) -> the answer to EndTxn; None: end the transaction now. A retry gets the first answer again.
END: dict[tuple[TransactionState, bool], ErrorCode | None] = {
    (_S.EMPTY, True): ErrorCode.INVALID_TXN_STATE,
    (_S.EMPTY, False): ErrorCode.INVALID_TXN_STATE,
    (_S.ONGOING, True): None,
    (_S.ONGOING, False): None,
    (_S.PREPARE_COMMIT, True): ErrorCode.CONCURRENT_TRANSACTIONS,
    (_S.PREPARE_COMMIT, False): ErrorCode.INVALID_TXN_STATE,
    (_S.PREPARE_ABORT, True): ErrorCode.INVALID_TXN_STATE,
    (_S.PREPARE_ABORT, False): ErrorCode.CONCURRENT_TRANSACTIONS,
    (_S.COMPLETE_COMMIT, True): ErrorCode.NONE,
    (_S.COMPLETE_COMMIT, False): ErrorCode.INVALID_TXN_STATE,
    (_S.COMPLETE_ABORT, True): ErrorCode.INVALID_TXN_STATE,
    (_S.COMPLETE_ABORT, False): ErrorCode.NONE,
}


@dataclass
class Transaction:
    """One transactional id. Times are wall-clock ms; `started_ms` is -1 while none is open."""

    transactional_id: str
    producer_id: int
    epoch: int
    timeout_ms: int
    state: TransactionState = TransactionState.EMPTY
    partitions: set[TopicPartition] = field(default_factory=set)
    groups: set[str] = field(default_factory=set)
    started_ms: int = -1
    updated_ms: int = -1

    def move(self, state: TransactionState, now_ms: int) -> None:
        """Change state; a transition that is not in the table is a programming error."""
        if state not in TRANSITIONS[self.state]:
            raise AssertionError(f"transaction {self.transactional_id}: {self.state.value} -> {state.value}")
        if state is TransactionState.ONGOING and self.state is not TransactionState.ONGOING:
            self.started_ms = now_ms
        self.state = state
        self.updated_ms = now_ms

    def clear(self) -> None:
        """Remove partitions and groups of the completed transaction."""
        self.partitions.clear()
        self.groups.clear()
        self.started_ms = -1

    def expired(self, now_ms: int) -> bool:
        """Whether the transaction is open for longer than its producer allowed."""
        return self.state is TransactionState.ONGOING and now_ms - self.started_ms > self.timeout_ms

    def encode(self) -> dict[str, Any]:
        """Plain values, for the state log."""
        return {
            "producer_id": self.producer_id,
            "epoch": self.epoch,
            "timeout_ms": self.timeout_ms,
            "state": self.state.value,
            "partitions": sorted(self.partitions),
            "groups": sorted(self.groups),
            "started_ms": self.started_ms,
            "updated_ms": self.updated_ms,
        }

    @classmethod
    def decode(cls, transactional_id: str, data: dict[str, Any]) -> Transaction:
        """The inverse of `encode`."""
        return cls(
            transactional_id,
            data["producer_id"],
            data["epoch"],
            data["timeout_ms"],
            TransactionState(data["state"]),
            {(topic, partition) for topic, partition in data["partitions"]},
            set(data["groups"]),
            data["started_ms"],
            data["updated_ms"],
        )

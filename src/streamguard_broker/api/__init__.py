"""The handlers, one file for each family of API keys. Importing this package fills the registry."""

from streamguard_broker.api import (
    cluster,
    configs,
    fetch,
    group_admin,
    group_members,
    group_offsets,
    metadata,
    offsets,
    produce,
    producer_ids,
    sasl,
    single_node,
    topics,
    transactions,
    versions,
)

__all__ = [
    "cluster",
    "configs",
    "fetch",
    "group_admin",
    "group_members",
    "group_offsets",
    "metadata",
    "offsets",
    "produce",
    "producer_ids",
    "sasl",
    "single_node",
    "topics",
    "transactions",
    "versions",
]

"""The authorized operations of responses (KIP-430). Without an authorizer all operations are authorized."""

from __future__ import annotations

from kafka.protocol.admin import ACLOperation as Op

TOPIC_OPERATIONS = {
    Op.READ, Op.WRITE, Op.CREATE, Op.DELETE, Op.ALTER, Op.DESCRIBE, Op.DESCRIBE_CONFIGS, Op.ALTER_CONFIGS,
}  # fmt: skip
GROUP_OPERATIONS = {Op.READ, Op.DELETE, Op.DESCRIBE}
CLUSTER_OPERATIONS = {
    Op.CREATE, Op.ALTER, Op.DESCRIBE, Op.CLUSTER_ACTION, Op.DESCRIBE_CONFIGS, Op.ALTER_CONFIGS, Op.IDEMPOTENT_WRITE,
}  # fmt: skip

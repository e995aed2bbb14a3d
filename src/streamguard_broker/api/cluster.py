"""AlterReplicaLogDirs (34), DescribeLogDirs (35), DescribeCluster (60).

Behaviour
- One node, which is the controller; one data folder, with sizes of partitions and of the disk.
- AlterReplicaLogDirs: a partition "moves" to the data folder, where it is; any other folder is LOG_DIR_NOT_FOUND.

Version notes
- DescribeCluster 1: endpoint type 2 (controllers) is INVALID_REQUEST: clients cannot reach the controller. 2: fenced
  brokers; there is none.
- DescribeLogDirs 4: bytes of the disk. 5: cordoned folders; there is none.
"""

from __future__ import annotations

import shutil
from typing import Any

from kafka.protocol.admin import (
    AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
    DescribeClusterRequest,
    DescribeClusterResponse,
    DescribeLogDirsRequest,
    DescribeLogDirsResponse,
)

from streamguard_broker.api.operations import CLUSTER_OPERATIONS
from streamguard_broker.errors import ErrorCode
from streamguard_broker.registry import Call, handles


@handles(DescribeClusterRequest, 0, 2)
def describe_cluster(call: Call, request: Any) -> Any:
    """The one node; endpoint type 2 (controllers) is INVALID_REQUEST."""
    broker = call.broker
    host, port = broker.advertised
    endpoint = request.endpoint_type if call.version >= 1 else 1
    code = ErrorCode.NONE if endpoint == 1 else ErrorCode.INVALID_REQUEST
    return DescribeClusterResponse(
        throttle_time_ms=0,
        error_code=code,
        error_message=None if endpoint == 1 else "Only broker endpoints (type 1) are supported.",
        endpoint_type=endpoint,
        cluster_id=broker.cluster_id,
        authorized_operations=CLUSTER_OPERATIONS if request.include_cluster_authorized_operations else None,
        controller_id=broker.node_id,
        brokers=[
            DescribeClusterResponse.DescribeClusterBroker(
                broker_id=broker.node_id, host=host, port=port, rack=None, is_fenced=False
            )
        ],
    )


@handles(DescribeLogDirsRequest, 1, 5)
def describe_log_dirs(call: Call, request: Any) -> Any:
    """The one data folder: bytes of each partition, and of the disk."""
    broker = call.broker
    wanted = None if request.topics is None else {(t.topic, p) for t in request.topics for p in t.partitions}
    result_class = DescribeLogDirsResponse.DescribeLogDirsResult
    topic_class = result_class.DescribeLogDirsTopic
    topics = []
    for topic in broker.catalog.topics.values():
        partitions = [
            topic_class.DescribeLogDirsPartition(
                partition_index=index, partition_size=log.size, offset_lag=0, is_future_key=False
            )
            for index, log in enumerate(topic.partitions)
            if wanted is None or (topic.name, index) in wanted
        ]
        if partitions:
            topics.append(topic_class(name=topic.name, partitions=partitions))
    disk = shutil.disk_usage(broker.options.data_dir)
    folder = _folder(call)
    return DescribeLogDirsResponse(
        throttle_time_ms=0,
        error_code=0,
        results=[
            result_class(
                error_code=0,
                log_dir=folder,
                topics=topics,
                total_bytes=disk.total,
                usable_bytes=disk.free,
                is_cordoned=False,
            )
        ],
    )


def _folder(call: Call) -> str:
    """The one data folder, as clients see and name it."""
    return str(call.broker.options.data_dir.resolve())


@handles(AlterReplicaLogDirsRequest, 1, 2)
def alter_replica_log_dirs(call: Call, request: Any) -> Any:
    """Nothing moves: there is one folder, and every partition is in it."""
    result_class = AlterReplicaLogDirsResponse.AlterReplicaLogDirTopicResult
    partition_class = result_class.AlterReplicaLogDirPartitionResult
    codes: dict[str, list[Any]] = {}
    for folder in request.dirs:
        for topic in folder.topics:
            for index in topic.partitions:
                code = _move_error(call, folder.path, topic.name, index)
                codes.setdefault(topic.name, []).append(partition_class(partition_index=index, error_code=code))
    return AlterReplicaLogDirsResponse(
        throttle_time_ms=0,
        results=[result_class(topic_name=name, partitions=partitions) for name, partitions in codes.items()],
    )


def _move_error(call: Call, path: str, topic: str, index: int) -> ErrorCode:
    if path != _folder(call):
        return ErrorCode.LOG_DIR_NOT_FOUND
    known = call.broker.catalog.partition(topic, index) is not None
    return ErrorCode.NONE if known else ErrorCode.UNKNOWN_TOPIC_OR_PARTITION

"""DescribeLogDirs (35), DescribeCluster (60).

Behaviour
- One node, which is the controller; one data folder, with sizes of partitions and of the disk.

Version notes
- DescribeCluster 1: endpoint type 2 (controllers) is INVALID_REQUEST: clients cannot reach the controller. 2: fenced
  brokers; there is none.
- DescribeLogDirs 4: bytes of the disk. 5: cordoned folders; there is none.
"""

from __future__ import annotations

import shutil
from typing import Any

from kafka.protocol.admin import (
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
    folder = str(broker.options.data_dir.resolve())
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

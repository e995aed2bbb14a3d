"""DescribeCluster (60): one broker, which is the controller."""

from __future__ import annotations

from typing import Any

from kafka.protocol.admin import DescribeClusterRequest, DescribeClusterResponse

from streamguard.broker.errors import ErrorCode
from streamguard.broker.registry import Call, handles


@handles(DescribeClusterRequest, 0, 2)
def describe_cluster(call: Call, request: Any) -> Any:
    """The cluster of one; its controllers (endpoint type 2) are not reached by clients."""
    broker = call.broker
    host, port = broker.advertised
    endpoint = request.endpoint_type if call.version >= 1 else 1
    code = ErrorCode.NONE if endpoint == 1 else ErrorCode.INVALID_REQUEST
    return DescribeClusterResponse(
        throttle_time_ms=0,
        error_code=code,
        error_message=None if endpoint == 1 else "Only broker endpoints are known here.",
        endpoint_type=endpoint,
        cluster_id=broker.cluster_id,
        controller_id=broker.node_id,
        brokers=[
            DescribeClusterResponse.DescribeClusterBroker(
                broker_id=broker.node_id, host=host, port=port, rack=None, is_fenced=False
            )
        ],
    )

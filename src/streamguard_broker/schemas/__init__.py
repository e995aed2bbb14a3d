"""Messages that the codec library lacks. Their layouts are JSON files beside this one, in the form of its own schemas.

Fields and versions: https://kafka.apache.org/protocol#protocol_api_keys
"""

from __future__ import annotations

from kafka.protocol.api_message import ApiMessage

# The library has no types for its base class, which takes the layout's package as a keyword.


class ConsumerGroupHeartbeatRequest(ApiMessage, load_json=__name__):  # type: ignore[misc, call-arg]
    """API key 68."""


class ConsumerGroupHeartbeatResponse(ApiMessage, load_json=__name__):  # type: ignore[misc, call-arg]
    """API key 68."""


class ConsumerGroupDescribeRequest(ApiMessage, load_json=__name__):  # type: ignore[misc, call-arg]
    """API key 69."""


class ConsumerGroupDescribeResponse(ApiMessage, load_json=__name__):  # type: ignore[misc, call-arg]
    """API key 69."""

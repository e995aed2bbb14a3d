"""ApiVersions (18): what this broker speaks, straight from the registry."""

from __future__ import annotations

from typing import Any

from kafka.protocol.metadata import ApiVersionsRequest, ApiVersionsResponse

from streamguard_broker.errors import ErrorCode
from streamguard_broker.registry import HANDLERS, Call, handles


@handles(ApiVersionsRequest, 0, 4)
def api_versions(call: Call, request: Any) -> Any:
    """All APIs with their versions."""
    return versions_response(ErrorCode.NONE)


def versions_response(error: ErrorCode) -> Any:
    """The answer; for a version of ApiVersions that we do not know, sent with UNSUPPORTED_VERSION in version 0."""
    keys = [
        ApiVersionsResponse.ApiVersion(api_key=h.key, min_version=h.advertised_min, max_version=h.max_version)
        for h in sorted(HANDLERS.values(), key=lambda handler: handler.key)
    ]
    return ApiVersionsResponse(error_code=error, api_keys=keys, throttle_time_ms=0)

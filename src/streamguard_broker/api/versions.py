"""ApiVersions (18).

Behaviour
- All registered APIs with their versions; before authentication too.

Version notes
- 0 to 4. A higher version is answered in version 0 with UNSUPPORTED_VERSION and the same list, so that the client can
  choose a version that this broker supports (KIP-511).
- 3: flexible, but the response header never has tagged fields: the client does not know the versions yet.
- 3: features. `group.version` 1 is finalised: the consumer protocol (KIP-848). The node flags are left out.
"""

from __future__ import annotations

from typing import Any

from kafka.protocol.metadata import ApiVersionsRequest, ApiVersionsResponse

from streamguard_broker.errors import ErrorCode
from streamguard_broker.registry import HANDLERS, Call, handles

_GROUP_VERSION = "group.version"


def _response(error: ErrorCode = ErrorCode.UNSUPPORTED_VERSION) -> Any:
    keys = [
        ApiVersionsResponse.ApiVersion(api_key=h.key, min_version=h.advertised_min, max_version=h.max_version)
        for h in sorted(HANDLERS.values(), key=lambda handler: handler.key)
    ]
    return ApiVersionsResponse(
        error_code=error,
        api_keys=keys,
        throttle_time_ms=0,
        supported_features=[ApiVersionsResponse.SupportedFeatureKey(name=_GROUP_VERSION, min_version=0, max_version=1)],
        finalized_features_epoch=0,
        finalized_features=[
            ApiVersionsResponse.FinalizedFeatureKey(name=_GROUP_VERSION, max_version_level=1, min_version_level=1)
        ],
    )


@handles(ApiVersionsRequest, 0, 4, before_authentication=True, plain_header=True, unsupported_version=_response)
def api_versions(call: Call, request: Any) -> Any:
    """All APIs with their versions."""
    return _response(ErrorCode.NONE)

"""The APIs of this broker. The registry is the response to ApiVersions: an API exists if a handler is registered for it.

A new API is a function in `api/`, decorated with `handles`. Two handlers for one key are a programming error, raised at
import.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from streamguard_broker.broker import Broker

#: what a handler may return: the response message; None (nothing is sent); the body's buffers; or an awaitable of these
Answer = Any


@dataclass
class Caller:
    """The client of a connection.

    principal    the authenticated user; None before authentication, or without SASL
    close_after  the connection ends after the current response
    sasl         the SASL exchange in progress
    """

    host: str
    port: int
    principal: str | None = None
    close_after: bool = False
    sasl: Any = None


@dataclass(frozen=True)
class Call:
    """The context of one request."""

    broker: Broker
    caller: Caller
    client_id: str
    version: int


@dataclass(frozen=True)
class Handler:
    """One API.

    key, name              as in Kafka's protocol, e.g. 0, "Produce"
    request_class          its codec from kafka.protocol
    min_version            the versions that are answered,
    max_version            both ends included
    function               makes the answer
    advertised_min         the lowest version in ApiVersions; below `min_version` where clients look for it
    raw                    `function` gets the undecoded body
    pipelined              the next request is taken before this one is answered; responses stay in order
    before_authentication  answered without a login
    plain_header           the response header never has tagged fields
    unsupported_version    makes the answer, in version 0, to versions that are not supported; None: the connection ends
    """

    key: int
    name: str
    request_class: Any
    min_version: int
    max_version: int
    function: Callable[[Call, Any], Answer | Awaitable[Answer]]
    advertised_min: int
    raw: bool = False
    pipelined: bool = False
    before_authentication: bool = False
    plain_header: bool = False
    unsupported_version: Callable[[], Answer] | None = None

    def flexible(self, version: int) -> bool:
        """Whether header and body of this version have tagged fields (KIP-482)."""
        return bool(self.request_class.flexible_version_q(version))


HANDLERS: dict[int, Handler] = {}

_F = TypeVar("_F", bound=Callable[..., Any])


def handles(
    request_class: Any, min_version: int, max_version: int, *, advertised_min: int | None = None, **properties: Any
) -> Callable[[_F], _F]:
    """Register the decorated function for the API of `request_class`; `properties` are the others of `Handler`.

    Raises ValueError for a key that has a handler, or a version without a codec.
    """

    def register(function: _F) -> _F:
        key = int(request_class.API_KEY)
        name = str(request_class.name).removesuffix("Request")
        if key in HANDLERS:
            raise ValueError(f"API {key} ({name}) has two handlers: {HANDLERS[key].function} and {function}")
        if max_version > request_class.valid_versions[1]:
            raise ValueError(f"API {key} ({name}) has no codec for version {max_version}")
        lowest = min_version if advertised_min is None else advertised_min
        HANDLERS[key] = Handler(
            key, name, request_class, min_version, max_version, function, advertised_min=lowest, **properties
        )
        return function

    return register

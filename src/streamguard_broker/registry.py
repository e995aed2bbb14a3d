"""Who answers what. The registry IS the answer to ApiVersions: an API exists if a handler is registered for it.

A new API is one function in `api/`, decorated with `handles`. Two handlers for one key are a programming error, found
at import.
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
    """The client of a connection; with `close_after` the connection ends after the current response."""

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
    """One API: its codec class from kafka.protocol, the versions spoken, the function.

    `raw`: the function gets the undecoded body.
    """

    key: int
    name: str
    request_class: Any
    min_version: int
    max_version: int
    function: Callable[[Call, Any], Answer | Awaitable[Answer]]
    raw: bool
    advertised_min: int

    def flexible(self, version: int) -> bool:
        """Whether header and body of this version carry tagged fields."""
        return bool(self.request_class.flexible_version_q(version))


HANDLERS: dict[int, Handler] = {}

_F = TypeVar("_F", bound=Callable[..., Any])


def handles(
    request_class: Any,
    min_version: int,
    max_version: int,
    *,
    raw: bool = False,
    advertised_min: int | None = None,
) -> Callable[[_F], _F]:
    """Register the decorated function for the API of `request_class`. Raises ValueError if it is taken."""

    def register(function: _F) -> _F:
        key = int(request_class.API_KEY)
        name = str(request_class.name).removesuffix("Request")
        if key in HANDLERS:
            raise ValueError(f"API {key} ({name}) has two handlers: {HANDLERS[key].function} and {function}")
        if max_version > request_class.valid_versions[1]:
            raise ValueError(f"API {key} ({name}) has no codec for version {max_version}")
        lowest = min_version if advertised_min is None else advertised_min
        HANDLERS[key] = Handler(key, name, request_class, min_version, max_version, function, raw, lowest)
        return function

    return register

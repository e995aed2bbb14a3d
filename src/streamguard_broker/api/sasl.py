"""SaslHandshake (17), SaslAuthenticate (36), DescribeUserScramCredentials (50), AlterUserScramCredentials (51).

Behaviour
- SCRAM-SHA-512, SCRAM-SHA-256, PLAIN (`security.sasl`). A failed authentication is answered, logged with the client's
  address, and ends the connection. Sessions do not expire, so there is no re-authentication (KIP-368).
- Credentials can be altered by every authenticated client; clients send salted passwords (KIP-554).

Version notes
- SaslHandshake 0, after which tokens have no request header, is advertised, because librdkafka looks for it, and not
  supported; librdkafka uses 1.
"""

from __future__ import annotations

import logging
from typing import Any

from kafka.protocol.admin import (
    AlterUserScramCredentialsRequest,
    AlterUserScramCredentialsResponse,
    DescribeUserScramCredentialsRequest,
    DescribeUserScramCredentialsResponse,
)
from kafka.protocol.sasl import (
    SaslAuthenticateRequest,
    SaslAuthenticateResponse,
    SaslHandshakeRequest,
    SaslHandshakeResponse,
)

from streamguard_broker.errors import ErrorCode
from streamguard_broker.registry import Call, handles
from streamguard_broker.security.sasl import MECHANISMS, AuthenticationFailed, begin
from streamguard_broker.security.users import MAX_ITERATIONS, MIN_ITERATIONS, derive

log = logging.getLogger(__name__)

_MECHANISM_NUMBERS = {1: "SCRAM-SHA-256", 2: "SCRAM-SHA-512"}
_NUMBERS = {name: number for number, name in _MECHANISM_NUMBERS.items()}


@handles(SaslHandshakeRequest, 1, 1, advertised_min=0, before_authentication=True)
def sasl_handshake(call: Call, request: Any) -> Any:
    """Choose a mechanism."""
    if not call.broker.options.sasl:
        return SaslHandshakeResponse(error_code=ErrorCode.ILLEGAL_SASL_STATE, mechanisms=[])
    if request.mechanism not in MECHANISMS:
        return SaslHandshakeResponse(error_code=ErrorCode.UNSUPPORTED_SASL_MECHANISM, mechanisms=list(MECHANISMS))
    call.caller.sasl = begin(request.mechanism, call.broker.users)
    return SaslHandshakeResponse(error_code=0, mechanisms=list(MECHANISMS))


@handles(SaslAuthenticateRequest, 0, 2, before_authentication=True)
def sasl_authenticate(call: Call, request: Any) -> Any:
    """One step of the exchange; a failure is answered, logged with the address, and ends the connection."""
    exchange = call.caller.sasl
    if exchange is None:
        return _failed(ErrorCode.ILLEGAL_SASL_STATE, "SaslHandshake is required before SaslAuthenticate.")
    try:
        answer = exchange.step(bytes(request.auth_bytes))
    except AuthenticationFailed as error:
        log.warning("login refused for %s:%d: %s", call.caller.host, call.caller.port, error)
        call.caller.close_after = True
        return _failed(ErrorCode.SASL_AUTHENTICATION_FAILED, str(error))
    if exchange.user is not None:
        call.caller.principal, call.caller.sasl = exchange.user, None
    return SaslAuthenticateResponse(error_code=0, error_message=None, auth_bytes=answer, session_lifetime_ms=0)


def _failed(code: ErrorCode, message: str) -> Any:
    return SaslAuthenticateResponse(error_code=code, error_message=message, auth_bytes=b"", session_lifetime_ms=0)


@handles(DescribeUserScramCredentialsRequest, 0, 0)
def describe_users(call: Call, request: Any) -> Any:
    """Users with mechanisms and iterations, without keys."""
    known = call.broker.users.credentials
    result_class = DescribeUserScramCredentialsResponse.DescribeUserScramCredentialsResult
    names = list(known) if not request.users else [user.name for user in request.users]
    results = [
        result_class(
            user=name,
            error_code=0 if name in known else ErrorCode.RESOURCE_NOT_FOUND,
            error_message=None if name in known else f"Unknown user {name}.",
            credential_infos=[
                result_class.CredentialInfo(mechanism=_NUMBERS[mechanism], iterations=credential.iterations)
                for mechanism, credential in known.get(name, {}).items()
            ],
        )
        for name in names
    ]
    return DescribeUserScramCredentialsResponse(throttle_time_ms=0, error_code=0, error_message=None, results=results)


@handles(AlterUserScramCredentialsRequest, 0, 0)
def alter_users(call: Call, request: Any) -> Any:
    """Add, change and remove credentials (KIP-554); the client has salted the password."""
    users = call.broker.users
    outcomes: dict[str, tuple[ErrorCode, str | None]] = {}
    for wanted in request.deletions:
        mechanism = _MECHANISM_NUMBERS.get(wanted.mechanism)
        gone = mechanism is not None and users.remove(wanted.name, mechanism)
        missing = (ErrorCode.RESOURCE_NOT_FOUND, "The user has no such credential.")
        outcomes[wanted.name] = (ErrorCode.NONE, None) if gone else missing
    for wanted in request.upsertions:
        mechanism = _MECHANISM_NUMBERS.get(wanted.mechanism)
        if mechanism is None:
            outcomes[wanted.name] = (ErrorCode.UNSUPPORTED_SASL_MECHANISM, "Unknown SCRAM mechanism")
        elif not MIN_ITERATIONS <= wanted.iterations <= MAX_ITERATIONS or not wanted.name:
            text = f"A name and {MIN_ITERATIONS} to {MAX_ITERATIONS} iterations are required."
            outcomes[wanted.name] = (ErrorCode.UNACCEPTABLE_CREDENTIAL, text)
        else:
            salt = bytes(wanted.salt)
            users.set(wanted.name, mechanism, derive(mechanism, bytes(wanted.salted_password), salt, wanted.iterations))
            outcomes[wanted.name] = (ErrorCode.NONE, None)
    result_class = AlterUserScramCredentialsResponse.AlterUserScramCredentialsResult
    return AlterUserScramCredentialsResponse(
        throttle_time_ms=0,
        results=[
            result_class(user=name, error_code=code, error_message=text) for name, (code, text) in outcomes.items()
        ],
    )

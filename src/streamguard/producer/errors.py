"""What can go wrong in a way that a person can put right: each is said as one sentence, and ends in a non-zero exit."""

from __future__ import annotations


class ProducerError(Exception):
    """The base: `str()` of it is the sentence, `exit_code` what the process ends with."""

    exit_code = 1


class InputError(ProducerError):
    """An option, a profile or a file that cannot be used; names the value and the choices."""

    exit_code = 2


class BrokerUnreachable(ProducerError):
    """No broker answered within the time one was willing to wait."""


class NotAcknowledged(ProducerError):
    """Records were sent that the broker did not confirm to have stored."""

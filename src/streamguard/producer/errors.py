"""The errors of the generator."""

from __future__ import annotations

from streamguard.config import UserError


class ProducerError(UserError):
    """The base of them."""


class InputError(ProducerError):
    """An option, a profile or a file that cannot be used; names the value and the choices."""

    exit_code = 2


class BrokerUnreachable(ProducerError):
    """No broker answered within the given time."""


class StoppedEarly(ProducerError):
    """Ctrl-C or SIGTERM came while a broker was waited for."""

    exit_code = 130


class NotAcknowledged(ProducerError):
    """Records were sent that the broker did not confirm to have stored: none of them."""


class PartlyAcknowledged(NotAcknowledged):
    """Some of the records are stored, others were not confirmed; the sentence says how many."""

    exit_code = 3

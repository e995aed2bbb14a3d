"""Why a topic is not connected, one sentence each."""

from __future__ import annotations

from streamguard.config.errors import UserError


class UnusableTopic(UserError):
    """A topic that is not there, is empty, or has records of a kind that this setup cannot read."""

    exit_code = 2


class OpenQuestion(UserError):
    """What the records do not say and only their owner knows; the sentence names the option that answers it."""

    exit_code = 2

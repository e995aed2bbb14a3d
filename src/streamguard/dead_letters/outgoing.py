"""The record that a dead letter is sent again as, or why there is none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from streamguard.dead_letters.find import Body, Place
from streamguard.dead_letters.originals import Original, Originals
from streamguard.kafka.topics import MAX_RECORD_BYTES
from streamguard.models.fragments import text_field
from streamguard.privacy.protection import Protection


class NotSendable(Exception):
    """A dead letter that cannot be sent again; the sentence says why."""


@dataclass(frozen=True)
class Outgoing:
    """The record that a dead letter is sent again as."""

    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]] = ()


Prepare = Callable[[bytes | None, bytes | None], Outgoing]
"""Key and value of a dead letter to the record that is sent; raises NotSendable."""


def as_it_was(key: bytes | None, value: bytes | None) -> Outgoing:
    """The record itself; one without a key has the account that its value names. Raises NotSendable."""
    if value is None:
        raise NotSendable("it has no bytes: it had none, they were cut by age, or the disk lost them")
    if key is None and (account := text_field(value, "account_id")):
        key = account.encode("utf-8", "replace")
    if key is None:
        raise NotSendable("it has no key, and its value names no account_id: by the key Kafka finds the partition")
    return Outgoing(key, value)


def original_of(body: Body, topics: Originals, place: Place, protection: Protection) -> Original:
    """The record of a dead letter as it came. Raises NotSendable."""
    if not topics.has_topic(place.topic):
        raise NotSendable(f"the topic {place.topic} does not exist any more")
    key, value = (None if part is None else bytes(part) for part in (body.key, body.value))
    there = topics.at(place)
    # A topic that was made anew may have another record at the place.
    if there is not None and protection.kept(there.key, there.value) == (key, value):
        return there
    if protection.active:
        raise NotSendable("personal data is protected, and the topic does not have the record as it came any more")
    return Original(key, value)


def outgoing_of(original: Original, place: Place, prepare: Prepare) -> Outgoing:
    """The record that it is sent again as, with its headers and the place of the dead letter. Raises NotSendable."""
    record = prepare(original.key, original.value)
    if len(record.value) > MAX_RECORD_BYTES:
        raise NotSendable(f"its {len(record.value):,} bytes are more than the topic takes")
    headers = [(name, value) for name, value in original.headers if name not in ("id", "dead_letter")]
    return replace(record, headers=(*headers, ("dead_letter", str(place).encode())))

"""What a topic's settings ask of each record of a produced batch: a key, a timestamp near the broker's clock.

A batch is rejected as a whole; the error names its bad records (KIP-467). Records are decoded only where a setting asks
for it: keys in compacted topics, timestamps where the header's are out of range or the past is limited.
"""

from __future__ import annotations

from typing import NamedTuple

from streamguard_broker.errors import ErrorCode, InvalidRecordsError, KafkaError
from streamguard_broker.storage.batch import CODEC_MASK, LOG_APPEND_TIME, BatchHeader
from streamguard_broker.storage.codecs import iter_records
from streamguard_broker.storage.records import Record, every_record_has_a_key

NO_TIMESTAMP = -1
NO_LIMIT_MS = 2**63 - 1


class RecordRules(NamedTuple):
    """From the settings of a topic.

    keyed            every record has a key (`cleanup.policy` has compact)
    log_append_time  the broker sets the timestamps
    before_max_ms    how far a timestamp may be behind the broker's clock, NO_LIMIT_MS for any
    after_max_ms     how far ahead of it
    """

    keyed: bool
    log_append_time: bool
    before_max_ms: int = NO_LIMIT_MS
    after_max_ms: int = NO_LIMIT_MS


def check_records(batch: memoryview, header: BatchHeader, rules: RecordRules, now_ms: int) -> None:
    """Raises InvalidRecordsError INVALID_TIMESTAMP or INVALID_RECORD; KafkaError INVALID_RECORD for a batch cut short."""
    if rules.log_append_time:
        _check_type(header)
    elif _times_may_be_out_of_range(header, rules, now_ms):
        _check_times(iter_records(bytes(batch), header), rules, now_ms)
    if rules.keyed and not _keyed(batch, header):
        missing = [i for i, record in enumerate(iter_records(bytes(batch), header)) if record.key is None]
        reason = "Compacted topic cannot accept message without key."
        raise InvalidRecordsError(ErrorCode.INVALID_RECORD, reason, [(index, reason) for index in missing])


def _check_type(header: BatchHeader) -> None:
    if header.attributes & LOG_APPEND_TIME:
        reason = "The timestamp type LogAppendTime is the broker's to set."
        raise InvalidRecordsError(ErrorCode.INVALID_TIMESTAMP, reason, [(0, reason)])


def _times_may_be_out_of_range(header: BatchHeader, rules: RecordRules, now_ms: int) -> bool:
    """Whether the records must be read: the header has the highest timestamp, and only the first of the others."""
    return header.max_timestamp - now_ms > rules.after_max_ms or rules.before_max_ms < NO_LIMIT_MS


def _check_times(records: list[Record], rules: RecordRules, now_ms: int) -> None:
    lowest, highest = now_ms - rules.before_max_ms, now_ms + rules.after_max_ms
    bad = [
        (index, f"Timestamp {record.timestamp} is out of range: it must be from {lowest} to {highest}.")
        for index, record in enumerate(records)
        if record.timestamp != NO_TIMESTAMP and not lowest <= record.timestamp <= highest
    ]
    if bad:
        raise InvalidRecordsError(
            ErrorCode.INVALID_TIMESTAMP, f"{len(bad)} of {len(records)} records have a timestamp out of range.", bad
        )


def _keyed(batch: memoryview, header: BatchHeader) -> bool:
    """Whether every record has a key; compressed batches are decompressed for it."""
    if header.attributes & CODEC_MASK:
        return all(record.key is not None for record in iter_records(bytes(batch), header))
    try:
        return every_record_has_a_key(batch, header)
    except IndexError:
        raise KafkaError(ErrorCode.INVALID_RECORD, "The batch is shorter than its record count.") from None

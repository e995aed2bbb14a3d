"""HTTP: records in batches to one address, in their order, each batch a POST of a JSON array.

The receiver keeps no offsets for us, so they are in a file here, written after each answer: a record arrives at least once. A
crash before the file is written sends the batch again; the receiver knows a record by its topic, partition and offset.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import requests

from streamguard.config import Settings
from streamguard.config.http import http_session
from streamguard.sinks.base import SinkError, SinkRecord, SinkUnavailable, sink

MOST_RECORDS, MOST_BYTES = 500, 1_000_000
"""Of a request; one record may be larger."""
_TIMEOUT_S = 30.0
_TOO_LARGE = 413
_SHOWN = 200


def _url(settings: Settings) -> str:
    url = settings.sink_webhook_url.get_secret_value()
    if not url:
        raise SinkError(
            "the sink http has no destination: set STREAMGUARD_SINK_WEBHOOK_URL, such as https://example.org/in"
        )
    return url


def _options(settings: Settings) -> dict[str, Any]:
    return {"folder": settings.state_path / "sinks", "token": settings.sink_webhook_token.get_secret_value()}


@sink("http", destination=_url, options=_options)
class WebhookSink:
    """Posts to a URL; `folder` has the file of its offsets, which one process at a time holds."""

    def __init__(self, destination: str, *, folder: Path = Path(".streamguard/sinks"), token: str = "") -> None:
        address = urlsplit(destination)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise SinkError("the sink http needs an address, such as https://example.org/in")
        self._url, self._shown = destination, f"{address.scheme}://{address.hostname}"
        self._session = http_session(destination)
        self._session.headers.update(
            {"content-type": "application/json", "user-agent": f"StreamGuard/{version('streamguard')}"}
        )
        if token:
            self._session.headers["authorization"] = f"Bearer {token}"
        # The path may be a secret: the name of the file does not show it.
        name = hashlib.sha256(destination.encode()).hexdigest()[:16]
        self._file = folder / f"http-{name}.json"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = self._file.with_suffix(".lock").open("wb")
        except OSError as error:
            raise SinkError(f"{folder} cannot be written to: {error.strerror}") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise SinkError(f"another process sends to {self._shown}: end it first") from None

    def next_offsets(self, topic: str) -> Mapping[int, int]:
        """What the file says."""
        return {int(number): offset for number, offset in self._offsets().get(topic, {}).items()}

    def write(self, records: Sequence[SinkRecord]) -> None:
        """Send the records; after each batch that was taken the file has its offsets."""
        offsets = self._offsets()
        for batch in _batches(records):
            self._send(batch)
            for record in batch:
                offsets.setdefault(record.topic, {})[str(record.partition)] = record.offset + 1
            self._save(offsets)

    def close(self) -> None:
        self._session.close()
        self._lock.close()

    def _send(self, batch: Sequence[SinkRecord]) -> None:
        body = b"[" + b",".join(map(_text, batch)) + b"]"
        try:
            with self._session.post(
                self._url,
                data=body,
                headers={"idempotency-key": _id(batch)},
                timeout=_TIMEOUT_S,
                allow_redirects=False,
            ) as answer:
                status, said = answer.status_code, answer.text[:_SHOWN]
        except (requests.RequestException, OSError) as error:
            raise SinkUnavailable(f"{self._shown} does not answer: {type(error).__name__}") from None
        if status == _TOO_LARGE and len(batch) > 1:
            middle = len(batch) // 2
            self._send(batch[:middle])
            self._send(batch[middle:])
        elif not 200 <= status < 300:
            raise SinkUnavailable(f"{self._shown} answers {status}: {' '.join(said.split())}".rstrip(": "))

    def _offsets(self) -> dict[str, dict[str, int]]:
        try:
            found: dict[str, dict[str, int]] = orjson.loads(self._file.read_bytes())
            return found
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise SinkUnavailable(f"{self._file} cannot be read: {error.strerror}") from None
        except orjson.JSONDecodeError:
            raise SinkError(f"{self._file} has no offsets: remove it to send everything once more") from None

    def _save(self, offsets: Mapping[str, Mapping[str, int]]) -> None:
        new = self._file.with_suffix(".new")
        try:
            with new.open("wb") as opened:
                opened.write(orjson.dumps(offsets))
                opened.flush()
                os.fsync(opened.fileno())
            new.replace(self._file)
        except OSError as error:
            with suppress(OSError):
                new.unlink()
            raise SinkUnavailable(f"{self._file} cannot be written: {error.strerror}") from None


def _batches(records: Sequence[SinkRecord]) -> Iterator[Sequence[SinkRecord]]:
    batch: list[SinkRecord] = []
    size = 0
    for record in records:
        own = len(record.value or b"") + len(record.key or b"")
        if batch and (len(batch) == MOST_RECORDS or size + own > MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += own
    if batch:
        yield batch


def _id(batch: Sequence[SinkRecord]) -> str:
    """The same for the same records."""
    places = "\n".join(f"{record.topic}-{record.partition}-{record.offset}" for record in batch)
    return hashlib.sha256(places.encode()).hexdigest()[:32]


def _text(record: SinkRecord) -> bytes:
    """The record as JSON; its value as it is, or `value_base64` where it is none."""
    fields: dict[str, Any] = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
    fields["timestamp"] = record.timestamp
    fields["key"] = None if record.key is None else record.key.decode("utf-8", "replace")
    try:
        fields["value"] = None if record.value is None else orjson.Fragment(_checked(record.value))
    except orjson.JSONDecodeError:
        fields["value_base64"] = base64.b64encode(record.value or b"").decode("ascii")
    return orjson.dumps(fields)


def _checked(value: bytes) -> bytes:
    """The value, which is JSON. Raises orjson.JSONDecodeError."""
    orjson.loads(value)
    return value

"""Primitive types of Kafka's protocol, read and written by hand where the general codec would cost too much.

https://kafka.apache.org/protocol#protocol_types. "Compact" fields are those of flexible versions (KIP-482): lengths as
unsigned varints, plus one, zero for null; every struct ends in tagged fields.
"""

from __future__ import annotations

import struct

_INT16 = struct.Struct(">h")
_INT32 = struct.Struct(">i")
_INT64 = struct.Struct(">q")


class Reader:
    """Decodes a request body. Raises struct.error or IndexError where the body ends too early."""

    __slots__ = ("data", "flexible", "position")

    def __init__(self, data: memoryview, position: int = 0, *, flexible: bool = False) -> None:
        self.data = data
        self.position = position
        self.flexible = flexible

    def int16(self) -> int:
        value: int = _INT16.unpack_from(self.data, self.position)[0]
        self.position += 2
        return value

    def int32(self) -> int:
        value: int = _INT32.unpack_from(self.data, self.position)[0]
        self.position += 4
        return value

    def int64(self) -> int:
        value: int = _INT64.unpack_from(self.data, self.position)[0]
        self.position += 8
        return value

    def uvarint(self) -> int:
        result = shift = 0
        while True:
            byte = self.data[self.position]
            self.position += 1
            result |= (byte & 0x7F) << shift
            if not byte & 0x80:
                return result
            shift += 7
            if shift > 35:
                raise ValueError("An unsigned varint is longer than five bytes.")

    def take(self, length: int) -> memoryview:
        """`length` bytes, not copied."""
        end = self.position + length
        if length < 0 or end > len(self.data):
            raise ValueError(f"A field of {length} bytes does not fit the request.")
        view = self.data[self.position : end]
        self.position = end
        return view

    def string(self) -> str | None:
        length = self.uvarint() - 1 if self.flexible else self.int16()
        return None if length < 0 else str(self.take(length), "utf-8")

    def bytes(self) -> memoryview | None:
        length = self.uvarint() - 1 if self.flexible else self.int32()
        return None if length < 0 else self.take(length)

    def array_length(self) -> int:
        """Number of elements, 0 for null. Raises ValueError if it cannot be true."""
        length = self.uvarint() - 1 if self.flexible else self.int32()
        if length > len(self.data) - self.position:
            raise ValueError(f"An array of {length} elements does not fit the request.")
        return max(length, 0)

    def tags(self) -> None:
        """Skip tagged fields; none is used."""
        if self.flexible:
            for _ in range(self.uvarint()):
                self.uvarint()
                self.take(self.uvarint())


class Writer:
    """Builds a response body as a list of buffers, so that record batches are not copied before they are sent."""

    __slots__ = ("_buffer", "_done", "flexible")

    def __init__(self, *, flexible: bool = False) -> None:
        self.flexible = flexible
        self._done: list[bytes | bytearray] = []
        self._buffer = bytearray()

    def int16(self, value: int) -> None:
        self._buffer += _INT16.pack(value)

    def int32(self, value: int) -> None:
        self._buffer += _INT32.pack(value)

    def int64(self, value: int) -> None:
        self._buffer += _INT64.pack(value)

    def raw(self, data: bytes) -> None:
        self._buffer += data

    def uvarint(self, value: int) -> None:
        while value & ~0x7F:
            self._buffer.append((value & 0x7F) | 0x80)
            value >>= 7
        self._buffer.append(value)

    def string(self, value: str | None) -> None:
        data = None if value is None else value.encode()
        if self.flexible:
            self.uvarint(0 if data is None else len(data) + 1)
        else:
            self.int16(-1 if data is None else len(data))
        if data is not None:
            self._buffer += data

    def array_length(self, length: int | None) -> None:
        if self.flexible:
            self.uvarint(0 if length is None else length + 1)
        else:
            self.int32(-1 if length is None else length)

    def records(self, data: bytes) -> None:
        """Record batches; not copied."""
        self.array_length(len(data))
        if data:
            self._done.append(self._buffer)
            self._done.append(data)
            self._buffer = bytearray()

    def tags(self) -> None:
        """No tagged fields."""
        if self.flexible:
            self._buffer.append(0)

    def finish(self) -> list[bytes | bytearray]:
        """The body's buffers, in order."""
        self._done.append(self._buffer)
        return self._done


def frame(correlation_id: int, body: list[bytes | bytearray], *, flexible: bool) -> list[bytes | bytearray]:
    """Size, response header (with empty tagged fields where the version is flexible) and body."""
    header_size = 5 if flexible else 4
    total = header_size + sum(map(len, body))
    header = struct.pack(">ii", total, correlation_id) + (b"\x00" if flexible else b"")
    return [header, *body]

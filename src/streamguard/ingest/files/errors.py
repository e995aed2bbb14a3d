"""What cannot be read, said once for the whole file; a line at fault is an `Unreadable` instead."""

from __future__ import annotations

import lzma
import zipfile
import zlib

from streamguard.ingest.errors import InputError

__all__ = ["DAMAGE", "InputError", "damaged"]

DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, UnicodeDecodeError)
"""What the unpackers raise where bytes are missing or wrong."""


def damaged(name: str, error: Exception, line: int = 0) -> str:
    """The sentence for a file whose bytes end or break in the middle; `line` is the last one that was read."""
    after = f" after line {line}" if line else ""
    reason = getattr(error, "strerror", None) or str(error)
    return f"{name} cannot be read{after}: {reason}; it is damaged or incomplete, fetch it again"

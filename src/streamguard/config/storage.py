"""What an error of delta-rs says: of a folder, or of object storage."""

from __future__ import annotations

import re

_ARROW = re.compile(r"\s*(?:\x1b\[\d+m)?↳(?:\x1b\[0m)?\s*")


def storage_error(error: Exception) -> str:
    """The last link of the error's chain, which delta-rs joins by coloured arrows; of an answer in XML its message."""
    last = " ".join(_ARROW.split(str(error))[-1].split())
    found = re.search("<Message>(.+?)</Message>", last)
    return (found[1] if found else last)[:300] or type(error).__name__

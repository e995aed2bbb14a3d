"""The key of masks and tokens: from the environment, or from the state folder of the embedded stack.

`streamguard up` keeps a key that it was given there, readable by its owner alone, so that the next shell and the next start
have it. A wipe removes it with the data. On a cluster the environment is its only place.
"""

from __future__ import annotations

import hmac
import os
from pathlib import Path

from streamguard.config import Settings, UserError

_FINGERPRINTED = b"streamguard: fingerprint of the key of masks and tokens"


def key_file(settings: Settings) -> Path:
    """Where the embedded stack keeps the key."""
    return settings.state_path / "pii.key"


def known_key(settings: Settings) -> str:
    """The key that is set, or else the kept one; empty where there is none. Raises UserError for an unreadable file."""
    if given := settings.pii_key.get_secret_value():
        return given
    try:
        return key_file(settings).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{key_file(settings)}, the key of masks and tokens, cannot be read ({error}):"
            " work as its owner, or set STREAMGUARD_PII_KEY"
        ) from None


def keep(settings: Settings) -> None:
    """Keep the key that is set, if one is. Raises UserError."""
    given, file = settings.pii_key.get_secret_value(), key_file(settings)
    if not given or (file.exists() and known_key(settings) == file.read_text(encoding="utf-8").strip()):
        return
    fresh = file.with_suffix(".new")
    try:
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as opened:
            opened.write(given + "\n")
            opened.flush()
            os.fsync(opened.fileno())
        fresh.replace(file)
    except OSError as error:
        raise UserError(f"the key of masks and tokens cannot be kept in {file}: {error.strerror}") from None


def fingerprint(key: str) -> str:
    """32 hex digits by which a key is recognised, and from which it cannot be computed."""
    return hmac.digest(key.encode(), _FINGERPRINTED, "sha256").hex()[:32]

"""How many consumers `up --consumers` asks for. The number is kept in the state folder, until another one is asked for."""

from __future__ import annotations

import os

from streamguard.config import Settings
from streamguard.stack.errors import StackError

MOST = 64
"""Each is a process of some 100 MB: a number above is a slip of the keyboard."""
_FILE = "consumers"


def check(number: int) -> int:
    """The number itself. Raises StackError where so many consumers make no stack."""
    if number < 1:
        raise StackError(
            f"--consumers {number}: at least 1 stores what comes; to store nothing for a while, stop the stack"
        )
    if number > MOST:
        raise StackError(f"--consumers {number}: at most {MOST} run on one machine; see `streamguard up --help`")
    return number


def kept(settings: Settings) -> int:
    """The number of the last start that was given one; without, 1. Raises StackError."""
    file = settings.state_path / _FILE
    try:
        return check(int(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return 1
    except (OSError, ValueError) as error:
        raise StackError(f"{file} cannot be read ({error}): remove it, and give the number with --consumers") from None


def keep(settings: Settings, number: int) -> None:
    """For starts to come. Raises StackError."""
    file = settings.state_path / _FILE
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as opened:
            opened.write(f"{number}\n")
    except OSError as error:
        raise StackError(f"{file} cannot be written: {error.strerror}") from None


def standing_by(number: int, partitions: int) -> str | None:
    """A sentence where there are more consumers than partitions to share; None otherwise."""
    if number <= partitions:
        return None
    rest = number - partitions
    return (
        f"{number} consumers share {partitions} partition{'s' if partitions > 1 else ''}: {rest}"
        f" {'stand' if rest > 1 else 'stands'} by for one that ends (STREAMGUARD_TOPIC_PARTITIONS)"
    )

"""How many processes of a kind `up` runs. The number is kept in the state folder, until another one is asked for."""

from __future__ import annotations

import os
from dataclasses import dataclass

from streamguard.config import Settings
from streamguard.stack.errors import StackError


@dataclass(frozen=True)
class Number:
    """An option of `up` with a number, named as what it counts."""

    name: str
    most: int
    one_does: str
    """What needs one of them, and what to do to have none."""

    def check(self, number: int) -> int:
        """The number itself. Raises StackError where so many make no stack."""
        if number < 1:
            raise StackError(f"--{self.name} {number}: at least 1 {self.one_does}")
        if number > self.most:
            raise StackError(
                f"--{self.name} {number}: at most {self.most} run on one machine; see `streamguard up --help`"
            )
        return number

    def of(self, settings: Settings, asked: int | None) -> int:
        """What is asked for now, else the number that is kept. Raises StackError."""
        return self.kept(settings) if asked is None else self.check(asked)

    def kept(self, settings: Settings) -> int:
        """The number of the last start that was given one; without, 1. Raises StackError."""
        file = settings.state_path / self.name
        try:
            return self.check(int(file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return 1
        except (OSError, ValueError) as error:
            raise StackError(
                f"{file} cannot be read ({error}): remove it, and give the number with --{self.name}"
            ) from None

    def keep(self, settings: Settings, number: int) -> None:
        """For starts to come. Raises StackError."""
        file = settings.state_path / self.name
        try:
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as opened:
                opened.write(f"{number}\n")
        except OSError as error:
            raise StackError(f"{file} cannot be written: {error.strerror}") from None

    def standing_by(self, number: int, partitions: int) -> str | None:
        """A sentence where there are more of them than partitions to share; None otherwise."""
        if number <= partitions:
            return None
        rest = number - partitions
        return (
            f"{number} {self.name} share {partitions} partition{'s' if partitions > 1 else ''}: {rest}"
            f" {'stand' if rest > 1 else 'stands'} by for one that ends (STREAMGUARD_TOPIC_PARTITIONS)"
        )


CONSUMERS = Number("consumers", 64, "stores what comes; to store nothing for a while, stop the stack")
"""Each is a process of some 100 MB: a number above is a slip of the keyboard."""
ENGINES = Number("engines", 12, "runs the rules; `streamguard rules set RULE off` switches single ones off")
"""Their shares are even up to that number (`streamguard_ksql.runtime.shares`)."""

"""What was refused, by reason: how often, and in which lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

SHOWN_LINES = 5


@dataclass
class _Reason:
    count: int = 0
    lines: list[int] = field(default_factory=list)
    example: str = ""


@dataclass
class Refusals:
    """Counts refused rows; remembers the first lines and the first sentence of each kind of reason."""

    kinds: dict[str, _Reason] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Rows refused."""
        return sum(reason.count for reason in self.kinds.values())

    def add(self, line: int, reason: str, kind: str | None = None) -> None:
        """Count one row; `kind` is the reason without the row's values, under which like ones are counted together."""
        found = self.kinds.setdefault(kind or reason, _Reason(example=reason))
        found.count += 1
        if len(found.lines) < SHOWN_LINES and line:
            found.lines.append(line)

    def take(self, others: Refusals) -> None:
        """Add what was counted elsewhere, after all that is counted here."""
        for kind, other in others.kinds.items():
            found = self.kinds.setdefault(kind, _Reason(example=other.example))
            found.count += other.count
            found.lines += other.lines[: SHOWN_LINES - len(found.lines)]

    def sentences(self) -> Iterator[str]:
        """A line for each kind, the most frequent first."""
        for reason in sorted(self.kinds.values(), key=lambda reason: -reason.count):
            lines = ", ".join(f"{line:,}" for line in reason.lines)
            more = ", ..." if reason.count > len(reason.lines) and reason.lines else ""
            where = f"line{'s' if reason.count > 1 else ''} {lines}{more}" if lines else "line not known"
            yield f"{reason.count:,} x {reason.example} ({where})"

"""Whose turn it is when more is waiting than can be stored at once: transactions first, alerts in a share of the time.

An alert cannot be judged before its transaction is stored, and costs ten times as much as one. Read as they come, a file of
payments that are nearly all alerts would be stored at the pace of the alerts; read last, alerts would wait for as long as
payments come in faster than they are stored.
"""

from __future__ import annotations

ALERTS_SHARE = 0.25
"""The share of the time that alerts get while transactions wait."""


class Turns:
    """Keeps the time spent on either since transactions began to wait."""

    def __init__(self, share: float = ALERTS_SHARE) -> None:
        self._share = share
        self._alerts_s = self._all_s = 0.0

    def alerts_wait(self, seconds: float, had_alerts: bool, transactions_wait: bool) -> bool:
        """Whether alerts are to wait after a batch that took `seconds`; `had_alerts` is whether there were any in it."""
        if not transactions_wait:
            self._alerts_s = self._all_s = 0.0
            return False
        self._all_s += seconds
        self._alerts_s += seconds if had_alerts else 0.0
        return self._alerts_s > self._share * self._all_s

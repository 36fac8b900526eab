"""Notices that another session writes to the cache as the same account."""

from __future__ import annotations

from typing import Final

from qts.cache.writer import WRITERS_MS
from qts.clock import NS_PER_MS

_PERIODS: Final = 2
"""The periods in a row after which it is told: in one of them a session that has just ended is counted still."""


class OtherWriters:
    """A watcher of how many sessions write as ``account``; for one thread. ``why``: that others do, "" for none."""

    def __init__(self, account: str) -> None:
        self._account = account
        self._period = 0
        self._is_alone = True
        self._together = 0
        self.why = ""

    def noted(self, count: int | None, now_ns: int) -> str:
        """Note that ``count`` sessions write at ``now_ns``, None: not known; return what is to be told, or ""."""
        period = now_ns // (WRITERS_MS * NS_PER_MS)
        if period != self._period:
            self._together = 0 if self._is_alone else self._together + 1
            self._period, self._is_alone = period, True
            if not self._together and self.why:
                self.why = ""
                return f"no other session writes to the cache as account {self._account} any more"
        if count is not None and count > 1:
            self._is_alone = False
            if self._together >= _PERIODS - 1 and not self.why:
                self.why = (
                    f"another session writes to the cache as account {self._account} too, and readers are shown "
                    "now the one, now the other: give one of them another runtime.account or cache.prefix"
                )
                return self.why
        return ""

"""The second confirmation that a limit needs to let more pass while a session runs."""

from __future__ import annotations

import hashlib
from typing import Final

from qts.clock import NS_PER_S
from qts.config.changes import Change

VALID_S: Final = 300
"""Seconds within which a reload has to be repeated with its confirmation."""
_LENGTH: Final = 6


class Confirmations:
    """The confirmation that is asked for at present: it stands for exactly the changes that were shown with it.

    A later one takes its place. It holds once, and for :data:`VALID_S`; a restart forgets it.
    """

    def __init__(self) -> None:
        self._code = ""
        self._changes: tuple[Change, ...] = ()
        self._until_ns = 0

    def issue(self, changes: tuple[Change, ...], now_ns: int) -> str:
        """Return the confirmation for ``changes``, six hexadecimal digits."""
        text = "\n".join([str(now_ns), *(f"{one.path}={one.old}>{one.new}" for one in changes)])
        self._code = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_LENGTH]
        self._changes, self._until_ns = changes, now_ns + VALID_S * NS_PER_S
        return self._code

    def why_refused(self, confirm: str, changes: tuple[Change, ...], now_ns: int) -> str:
        """Use up a confirmation; return why it does not stand for ``changes``, "" when it does or there is none."""
        if not confirm:
            return ""
        code, known, until_ns = self._code, self._changes, self._until_ns
        self._code, self._changes = "", ()
        if not code or confirm != code:
            return f"the confirmation {confirm!r} is not the one that was asked for last"
        if now_ns > until_ns:
            return f"the confirmation {confirm} has expired: it holds for {VALID_S // 60} minutes"
        if known != changes:
            return f"the confirmation {confirm} is for other changes: the files have changed since"
        return ""

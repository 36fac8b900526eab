"""The ages of batches that wait for a follower, in bounded memory."""

from __future__ import annotations

import threading
from collections import deque
from typing import Final

_MOST: Final = 1_024


class Ages:
    """The moments (ns) at which batches were offered; for any thread.

    Of more than 1,024 of them each second one is let go of: a batch then counts as offered with the one before it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._offered: deque[tuple[int, int]] = deque()
        """The newest batch of a moment, and the moment; both rise."""
        self._applied = 0

    def note(self, seq: int, now_ns: int) -> None:
        """Note that the batches up to ``seq`` have been offered."""
        with self._lock:
            if seq <= max(self._applied, self._offered[-1][0] if self._offered else 0):
                return
            self._offered.append((seq, now_ns))
            if len(self._offered) > _MOST:
                rows = list(self._offered)
                newest = rows[1::2] if len(rows) % 2 == 0 else [*rows[1::2], rows[-1]]
                oldest = rows[::2]
                self._offered = deque((last[0], first[1]) for first, last in zip(oldest, newest, strict=True))

    def applied(self, seq: int) -> None:
        """Forget the batches up to ``seq``; fewer than before when the server was restored."""
        with self._lock:
            self._applied = seq
            while self._offered and self._offered[0][0] <= seq:
                self._offered.popleft()

    def oldest_ns(self, now_ns: int) -> int:
        """Return for how long, in ns, the oldest batch has waited; 0 when none does."""
        with self._lock:
            return max(now_ns - self._offered[0][1], 0) if self._offered else 0

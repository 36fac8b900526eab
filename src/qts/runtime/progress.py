"""How far a session is: the callable that drivers tell it."""

from __future__ import annotations

from typing import Final, Protocol

ROWS_PER_PROGRESS: Final = 256
"""Values between two reports of a session that never has to wait."""


class Progress(Protocol):
    """Told now and then how far the session is: share of the input 0..1 (None unknown) and its time in ns."""

    def __call__(self, share: float | None, moment_ns: int, /) -> None: ...

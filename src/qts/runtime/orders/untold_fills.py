"""Remembers what was booked by the broker's books alone, so that the notice of it adds nothing when it comes."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

from qts.clock import NS_PER_S
from qts.execution.contracts import Fill
from qts.money import ZERO, minus, plus

_MOST: Final = 1_000
_CLOCK_NS: Final = 2 * NS_PER_S
"""What the broker's clock, which tells whole seconds, may be off by ours."""


class UntoldFills:
    """The quantities of at most 1,000 orders that were inferred and that no notice has told yet."""

    def __init__(self) -> None:
        self._untold: dict[str, tuple[Decimal, int]] = {}

    def note(self, key: str, qty: Decimal, read_ns: int) -> None:
        """Note that ``qty`` more of the order ``key`` is booked by a reading that began at ``read_ns``."""
        self._untold[key] = plus(self._untold.pop(key, (ZERO, 0))[0], qty), read_ns
        if len(self._untold) > _MOST:
            del self._untold[next(iter(self._untold))]

    def was_read(self, key: str, fill: Fill) -> bool:
        """Return whether what a notice of the order ``key`` tells was read before it came; it is told then."""
        untold, read_ns = self._untold.get(key, (ZERO, 0))
        if not untold or fill.ts_ns > read_ns + _CLOCK_NS:
            return False
        left = minus(untold, fill.qty)
        if left > 0:
            self._untold[key] = left, read_ns
        else:
            del self._untold[key]
        return True

    def export_state(self) -> list[list[Any]]:
        """Return what is remembered, for a checkpoint."""
        return [[key, *one] for key, one in self._untold.items()]

    def import_state(self, saved: Iterable[Any]) -> None:
        """Restore what :meth:`export_state` returned."""
        self._untold = {key: (Decimal(qty), ns) for key, qty, ns in saved}

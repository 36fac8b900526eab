"""Records for each invariant how often it was checked, when last, and whether it held.

An invariant that was never checked reports ``ok: null``, not that it held. A breach stays in the report; it
*stands* until the same invariant is checked again as a whole and holds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from qts.clock import from_ns

NUMBERS = range(1, 26)

BOOK_INVARIANTS: Final = frozenset({1, 2, 3, 4, 5, 6, 12, 25})
"""Invariants of money, holdings and orders, here and at the broker."""

OnBreach = Callable[[int, str, bool], None]


MONEY_INVARIANTS = frozenset({1, 2})
"""Invariants whose breach means that money appeared or vanished."""


class Invariants:
    """A record of checks and breaches. For the session's thread alone.

    ``on_breach`` is called at once for each breach that does not stand already, with the number, the detail, and
    whether the same invariant was broken before.
    """

    def __init__(self, on_breach: OnBreach) -> None:
        self._on_breach = on_breach
        self._checks = dict.fromkeys(NUMBERS, 0)
        self._breaches: dict[int, str] = {}
        self._standing: set[int] = set()
        self._last_ns = dict.fromkeys(NUMBERS, 0)

    def check(
        self, number: int, holds: bool, now_ns: int, detail: str = "", count: int = 1, *, part: bool = False
    ) -> None:
        """Record ``count`` checks of invariant ``number`` made at ``now_ns``; ``detail`` explains a breach.

        ``part``: the check concerns one order or symbol only, so that it holds does not end a standing breach.
        """
        self._checks[number] += count
        self._last_ns[number] = now_ns
        if holds:
            if self._standing and not part:
                self._standing.discard(number)
        elif number not in self._standing:
            self._standing.add(number)
            again = number in self._breaches
            self._breaches.setdefault(number, detail)
            self._on_breach(number, detail, again)

    def books_agree(self, since_ns: int) -> bool | None:
        """Return whether no breach of the books stands; None: not compared with the broker's since ``since_ns``."""
        if not self._standing.isdisjoint(BOOK_INVARIANTS):
            return False
        return True if self._checks[25] and self._last_ns[25] >= since_ns else None

    def summary(self) -> dict[str, dict[str, Any]]:
        """Return ``{"inv01": {"ok": true | false | null, "checks": n, "last": ISO time or null, …}}``."""
        rows: dict[str, dict[str, Any]] = {}
        for number in NUMBERS:
            checks = self._checks[number]
            row: dict[str, Any] = {
                "ok": None if checks == 0 else number not in self._breaches,
                "checks": checks,
                "last": from_ns(self._last_ns[number]).isoformat() if checks else None,
            }
            if number in self._breaches:
                row["detail"] = self._breaches[number]
            rows[f"inv{number:02d}"] = row
        return rows

    def export_state(self) -> dict[str, Any]:
        """Return the record for a checkpoint."""
        return {
            "checks": list(self._checks.values()),
            "last": list(self._last_ns.values()),
            "breaches": {str(number): detail for number, detail in self._breaches.items()},
            "standing": sorted(self._standing),
        }

    def import_state(self, saved: dict[str, Any]) -> None:
        """Continue from :meth:`export_state`."""
        self._checks = dict(zip(NUMBERS, saved["checks"], strict=True))
        self._last_ns = dict(zip(NUMBERS, saved["last"], strict=True))
        self._breaches = {int(number): detail for number, detail in saved["breaches"].items()}
        self._standing = set(saved["standing"])

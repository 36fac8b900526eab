"""The invariants of spec 09 as the run sees them: how often each was checked, when last, and whether it held.

Not checked is not fine: an invariant without a check reports ``ok: null``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qts.clock import from_ns

NUMBERS = range(1, 26)

OnBreach = Callable[[int, str], None]


class Invariants:
    """Counts checks and breaches; the first breach of each is told at once to ``on_breach``."""

    def __init__(self, on_breach: OnBreach) -> None:
        self._on_breach = on_breach
        self._checks = dict.fromkeys(NUMBERS, 0)
        self._breaches: dict[int, str] = {}
        self._last_ns = dict.fromkeys(NUMBERS, 0)

    def check(self, number: int, holds: bool, now_ns: int, detail: str = "", count: int = 1) -> None:
        """Record ``count`` checks of invariant ``number`` made at ``now_ns``; ``detail`` explains a breach."""
        self._checks[number] += count
        self._last_ns[number] = now_ns
        if not holds and number not in self._breaches:
            self._breaches[number] = detail
            self._on_breach(number, detail)

    def summary(self) -> dict[str, dict[str, Any]]:
        """``{"inv01": {"ok": true | false | null, "checks": n, "last": ISO time or null, …}}``."""
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
        return {
            "checks": list(self._checks.values()),
            "last": list(self._last_ns.values()),
            "breaches": {str(number): detail for number, detail in self._breaches.items()},
        }

    def import_state(self, saved: dict[str, Any]) -> None:
        self._checks = dict(zip(NUMBERS, saved["checks"], strict=True))
        self._last_ns = dict(zip(NUMBERS, saved["last"], strict=True))
        self._breaches = {int(number): detail for number, detail in saved["breaches"].items()}

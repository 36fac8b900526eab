"""Keeps the work that has to be done between two handlers, and the time of the next scheduled task."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from qts.clock import NS_PER_S
from qts.config.runtime_config import RuntimeConfig

_REQUESTS = ("audit", "charges", "checkpoint", "daily_audit", "unresolved")
GUARD_INTERVAL_NS = 60 * NS_PER_S
"""The limits of the account are checked once a minute of market time, when prices move."""


class DueWork:
    """Flags of the work that is due; :meth:`qts.runtime.kernel.Kernel.run_due_work` does it and clears them.

    Set on the loop's thread, except by :meth:`call_soon`. Times are ns of the session's clock. The drivers check
    ``pending`` after every value, so code that sets another flag sets it as well.
    """

    __slots__ = (
        "_calls",
        "_checkpoint_rows",
        "_next_checkpoint_row",
        "_sample_ns",
        "audit",
        "charges",
        "checkpoint",
        "close_ns",
        "daily_audit",
        "done",
        "final_check_done",
        "next_guard_ns",
        "next_sample_ns",
        "pending",
        "unresolved",
        "wake_ns",
    )

    def __init__(self, config: RuntimeConfig, now_ns: int) -> None:
        self.pending = False
        """Whether any work is due before the next handler."""
        self.checkpoint = self.audit = self.daily_audit = self.unresolved = self.charges = False
        self.close_ns = 0
        """The close of the day that becomes opening balances once its books are audited; 0: there is none."""
        self.next_guard_ns = self.next_sample_ns = now_ns
        self.wake_ns = 0
        """Time of the next scheduled task; it runs before any value from then on."""
        self.final_check_done = False
        """Whether the last check of the limits at the end of the session was made."""
        self.done = False
        """Whether the session has ended; only its result is left to be stored."""
        self._calls: deque[Callable[[], None]] = deque()
        self._checkpoint_rows = self._next_checkpoint_row = config.checkpoint_interval_rows
        self._sample_ns = config.equity_sample_interval_s * NS_PER_S

    def reconfigure(self, config: RuntimeConfig) -> None:
        """Apply reloaded intervals; the next checkpoint and sample keep their time."""
        self._checkpoint_rows = config.checkpoint_interval_rows
        self._sample_ns = config.equity_sample_interval_s * NS_PER_S

    def call_soon(self, call: Callable[[], None]) -> None:
        """Run ``call`` on the session's thread between two handlers, before the next signal; from any thread.

        The watchdog and a broker's connection report through it from threads of their own.
        """
        self._calls.append(call)
        self.pending = True

    def run_calls(self) -> None:
        """Run the calls given to :meth:`call_soon`, oldest first."""
        while self._calls:
            self._calls.popleft()()

    def look_again(self) -> None:
        """Let the drivers compute :attr:`wake_ns` again before the next value: something is due earlier than it."""
        self.pending = True

    def checkpoint_soon(self) -> None:
        """Request a checkpoint."""
        self.pending = self.checkpoint = True

    def audit_soon(self) -> None:
        """Request an audit of all books, and a checkpoint after it."""
        self.pending = self.checkpoint = self.audit = True

    def audit_day_soon(self) -> None:
        """Request an audit of what is new in the books."""
        self.pending = self.daily_audit = True

    def charges_soon(self) -> None:
        """Request a query of the broker for the fees and taxes of days that are over."""
        self.pending = self.charges = True

    def resolve_soon(self) -> None:
        """Request a query of the broker for unknown orders."""
        self.pending = self.unresolved = True

    def on_rows(self, rows: int) -> None:
        """Request a checkpoint when the interval of rows has passed; ``rows`` is their number so far."""
        if rows >= self._next_checkpoint_row:
            self._next_checkpoint_row = rows + self._checkpoint_rows
            self.checkpoint_soon()

    def requested(self) -> tuple[str, ...]:
        """Return the names of the work that is requested, beside calls of threads and what is due by the clock."""
        return tuple(name for name in _REQUESTS if getattr(self, name))

    def request(self, names: Sequence[str]) -> None:
        """Request the work of :meth:`requested`, and no other but audits that wait for one that runs."""
        for name in _REQUESTS:
            setattr(self, name, name in names or ("audit" in name and getattr(self, name)))

    def is_guard_due(self, now_ns: int) -> bool:
        """Return whether the check of the limits is due, and schedule the next one."""
        if self.next_guard_ns > now_ns:
            return False
        self.next_guard_ns = now_ns + GUARD_INTERVAL_NS
        return True

    def is_sample_due(self, now_ns: int) -> bool:
        """Return whether a sample of the equity curve is due, and schedule the next one."""
        if self.next_sample_ns > now_ns:
            return False
        self.next_sample_ns = now_ns + self._sample_ns
        return True

    def export_state(self) -> dict[str, Any]:
        """Return the state for a checkpoint; a requested checkpoint is this one, so it is not part of it."""
        return {
            "guard_ns": self.next_guard_ns,
            "sample_ns": self.next_sample_ns,
            "audit": self.audit,
            "daily_audit": self.daily_audit,
            "close_ns": self.close_ns,
            "unresolved": self.unresolved,
            "looked_last": self.final_check_done,
            "done": self.done,
        }

    def go_on_at(self, now_ns: int) -> None:
        """Note that a resumed session goes on at ``now_ns``: what is regular does not wait for a clock set back."""
        self.next_guard_ns = min(self.next_guard_ns, now_ns + GUARD_INTERVAL_NS)
        self.next_sample_ns = min(self.next_sample_ns, now_ns + self._sample_ns)

    def import_state(self, saved: Mapping[str, Any]) -> None:
        """Continue from :meth:`export_state`."""
        self.next_guard_ns, self.next_sample_ns = saved["guard_ns"], saved["sample_ns"]
        self.audit, self.unresolved = saved["audit"], saved["unresolved"]
        self.daily_audit, self.close_ns = saved.get("daily_audit", False), saved.get("close_ns", 0)
        self.final_check_done, self.done = saved["looked_last"], saved["done"]
        self.pending = True

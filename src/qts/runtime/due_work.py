"""Keeps what waits for a moment between two handlers, and when the kernel has to look again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from qts.clock import NS_PER_S
from qts.config.runtime_config import RuntimeConfig

GUARD_INTERVAL_NS = 60 * NS_PER_S
"""Limits of the account are looked at once a minute of market time, when prices move."""


class DueWork:
    """Marks of what is due; :meth:`qts.runtime.kernel.Kernel.run_due_work` does it and takes the marks off.

    Set on the loop's thread, but for :meth:`call_soon`. Times are ns of the session's clock. The drivers look at
    ``attention`` after every value: whoever marks anything sets it too.
    """

    __slots__ = (
        "_calls",
        "_checkpoint_rows",
        "_next_checkpoint_row",
        "_sample_ns",
        "audit",
        "checkpoint",
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
        """Whether anything is to be done at the next moment between two handlers."""
        self.checkpoint = self.audit = self.unresolved = False
        self.next_guard_ns = self.next_sample_ns = now_ns
        self.wake_ns = 0
        """The earliest appointment; a value from then on has it kept first."""
        self.final_check_done = False
        """Whether the last full look of the session was taken."""
        self.done = False
        """Whether the session came to its end; what is left is the stored result."""
        self._calls: deque[Callable[[], None]] = deque()
        self._checkpoint_rows = self._next_checkpoint_row = config.checkpoint_interval_rows
        self._sample_ns = config.equity_sample_interval_s * NS_PER_S

    def reconfigure(self, config: RuntimeConfig) -> None:
        """Take over reloaded intervals; the next checkpoint and sample keep their time."""
        self._checkpoint_rows = config.checkpoint_interval_rows
        self._sample_ns = config.equity_sample_interval_s * NS_PER_S

    def call_soon(self, call: Callable[[], None]) -> None:
        """Have ``call`` made between two handlers, before the next signal is decided; from any thread.

        For those who see something on a thread of their own: the watchdog, a broker's connection.
        """
        self._calls.append(call)
        self.pending = True

    def make_calls(self) -> None:
        """Make what :meth:`call_soon` was given, oldest first."""
        while self._calls:
            self._calls.popleft()()

    def checkpoint_soon(self) -> None:
        """Ask for a checkpoint."""
        self.pending = self.checkpoint = True

    def audit_soon(self) -> None:
        """Ask for a comparison of all books, and a checkpoint behind it."""
        self.pending = self.checkpoint = self.audit = True

    def resolve_soon(self) -> None:
        """Ask for the fate of unknown orders at the broker."""
        self.pending = self.unresolved = True

    def on_rows(self, rows: int) -> None:
        """Ask for the checkpoint that goes with the interval of rows; called now and then with the rows so far."""
        if rows >= self._next_checkpoint_row:
            self._next_checkpoint_row = rows + self._checkpoint_rows
            self.checkpoint_soon()

    def is_guard_due(self, now_ns: int) -> bool:
        """Tell whether the look once a minute is due, and set the next one."""
        if self.next_guard_ns > now_ns:
            return False
        self.next_guard_ns = now_ns + GUARD_INTERVAL_NS
        return True

    def is_sample_due(self, now_ns: int) -> bool:
        """Tell whether a point of the equity curve is due, and set the next one."""
        if self.next_sample_ns > now_ns:
            return False
        self.next_sample_ns = now_ns + self._sample_ns
        return True

    def export_state(self) -> dict[str, Any]:
        """Return what a resumed session goes on with; what asks for a checkpoint is answered by this one."""
        return {
            "guard_ns": self.next_guard_ns,
            "sample_ns": self.next_sample_ns,
            "audit": self.audit,
            "unresolved": self.unresolved,
            "looked_last": self.final_check_done,
            "done": self.done,
        }

    def import_state(self, saved: Mapping[str, Any]) -> None:
        """Go on with what :meth:`export_state` gave."""
        self.next_guard_ns, self.next_sample_ns = saved["guard_ns"], saved["sample_ns"]
        self.audit, self.unresolved = saved["audit"], saved["unresolved"]
        self.final_check_done, self.done = saved["looked_last"], saved["done"]
        self.pending = True

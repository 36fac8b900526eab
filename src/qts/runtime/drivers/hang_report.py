"""Reports that a session hangs: FAIL at once, and after a restart the strategy that hung is halted."""

from __future__ import annotations

from qts.runtime.drivers.hang_file import Hang
from qts.runtime.kernel import Kernel
from qts.runtime.steps.contracts import BREAK


class HangReport:
    """A listener of the watchdog that has the kernel report a hang between two handlers, before any signal."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def on_stall(self, text: str, stack: str) -> None:
        """Log the stack and raise FS061 as soon as the loop runs again."""

        def fail() -> None:
            self._kernel.shared.steps.take(BREAK, "a_loop_that_made_no_progress")
            self._kernel.notices.say("ERROR", text, stack=stack)
            self._kernel.on_code("FS061", text)

        self._kernel.due.call_soon(fail)

    def on_pause(self, seconds: float) -> None:
        """Log that the process did not run for ``seconds``, as soon as the loop runs again."""
        text = f"the whole process was paused for {seconds:.1f} s; prices are old until they are confirmed"
        self._kernel.due.call_soon(lambda: self._kernel.notices.say("WARNING", text))


def report_previous_hang(kernel: Kernel, hang: Hang) -> None:
    """Raise FS061 for the hang of the session before, and request the exit of what its hung strategies hold.

    Those strategies are halted already, by :attr:`StrategyHost.hung`.
    """
    kernel.shared.steps.take(BREAK, "a_strategy_that_hung")
    kernel.on_code("FS061", hang.text)
    for name in hang.strategies:
        kernel.notices.say("ERROR", f"strategy {name} is halted: it did not return in the session before")
        kernel.exit_requests.liquidate_strategy(
            name, "its strategy was halted because it hung", kernel.shared.clock.time_ns()
        )
        kernel.on_code("AN060", f"strategy {name} halted: it hung")
    kernel.due.pending = True

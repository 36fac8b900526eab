"""What becomes of a session's hang: FAIL at once, and after a restart the strategy that hung is halted."""

from __future__ import annotations

from qts.runtime.drivers.hang_file import Hang
from qts.runtime.kernel import Kernel


class HangReport:
    """Passes on to the kernel what the watchdog has seen; carried out between two handlers, before any signal."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def on_still(self, text: str, stack: str) -> None:
        def fail() -> None:
            self._kernel.notices.say("ERROR", text, stack=stack)
            self._kernel.on_code("FS061", text)

        self._kernel.due.call_soon(fail)

    def on_pause(self, seconds: float) -> None:
        text = f"the whole process was paused for {seconds:.1f} s; prices are old until they are confirmed"
        self._kernel.due.call_soon(lambda: self._kernel.notices.say("WARNING", text))


def after_hang(kernel: Kernel, hang: Hang) -> None:
    """Say what stopped the session before, and have sold what its hung strategies hold: they are halted already."""
    kernel.on_code("FS061", hang.text)
    for name in hang.strategies:
        kernel.notices.say("ERROR", f"strategy {name} is halted: it did not return in the session before")
        kernel.exit_requests.want_out(name, "its strategy was halted because it hung", kernel.parts.clock.time_ns())
        kernel.on_code("AN060", f"strategy {name} halted: it hung")
    kernel.due.pending = True

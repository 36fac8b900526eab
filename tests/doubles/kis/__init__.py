"""A double of the Open API of Korea Investment & Securities (KIS): REST and websocket on two loopback ports.

``async with KisDouble(seed=1) as kis`` serves on the loop of the caller, ``with KisThread(seed=1) as kis`` on a
thread of its own, and ``KisProcess`` (:mod:`tests.doubles.kis.process`) or ``python -m tests.doubles.kis`` in a
process of its own. It shares no code with the adapter that it tests. What is doubtful about KIS is a setting
(:class:`Settings`), so that tests can run both ways.
"""

from tests.doubles.kis.clock import KST, DoubleClock
from tests.doubles.kis.double import KisDouble
from tests.doubles.kis.settings import Settings
from tests.doubles.kis.thread import KisThread

__all__ = ["KST", "DoubleClock", "KisDouble", "KisThread", "Settings"]

"""What the handlers of a load do: keep the CPU, sleep, or hold the interpreter inside one C call.

At the top of an importable module, so that a worker process finds them.
"""

from __future__ import annotations

import functools
import re
import time
from time import perf_counter_ns
from typing import Any

HOSTILE_NS = 50_000_000
P2_HOSTILE_NS = 20_000_000
_HOPELESS = re.compile(r"(a+)+$")


def spin(duration_ns: int) -> None:
    """Keep the CPU in Python code for ``duration_ns``."""
    until = perf_counter_ns() + duration_ns
    while perf_counter_ns() < until:
        pass


def burn_50ms(event: Any) -> None:
    spin(HOSTILE_NS)


def burn_20ms(event: Any) -> None:
    spin(P2_HOSTILE_NS)


def sleep_50ms(event: Any) -> None:
    time.sleep(HOSTILE_NS / 1e9)


def hold_gil_50ms(event: Any) -> None:
    """A regular expression that backtracks for about 50 ms; no other thread of the process runs meanwhile."""
    _HOPELESS.match(_hopeless_text())


@functools.cache
def _hopeless_text() -> str:
    """A text long enough: each further letter doubles the time."""
    length = 12
    while True:
        text = "a" * length + "b"
        begun = perf_counter_ns()
        _HOPELESS.match(text)
        if perf_counter_ns() - begun > HOSTILE_NS * 0.7:
            return text
        length += 1

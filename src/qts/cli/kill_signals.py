"""The kill switch by signal: SIGUSR1 stops trading and keeps the positions, SIGUSR2 stops and sells them.

The process goes on, locked down; SIGTERM and Ctrl-C end it.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from qts.runtime.control.kill_switch import KillSwitch

SIGNALS: Final = {signal.SIGUSR1: False, signal.SIGUSR2: True}
"""Signals, and whether each sells the positions."""


def signal_for(*, liquidate: bool) -> signal.Signals:
    """Return the signal that means this stop."""
    return next(number for number, sells in SIGNALS.items() if sells == liquidate)


@contextmanager
def kill_by_signal(kill: KillSwitch, *, listens: bool) -> Iterator[None]:
    """Press ``kill`` by signal within the block; without ``listens`` the signals keep their meaning."""

    def handle(number: int, frame: FrameType | None) -> None:
        which = signal.Signals(number)
        kill.press(liquidate=SIGNALS[which], by=f"signal {which.name}")

    before = {each: signal.signal(each, handle) for each in SIGNALS} if listens else {}
    try:
        yield
    finally:
        for each, former in before.items():
            signal.signal(each, former)

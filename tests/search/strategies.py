"""Strategies of the search tests: one that trades, and some that a search has to survive."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Iterable

from qts.kit import Bar, Context, Intent, Side, Strategy, param


class EveryN(Strategy):
    """Hold for ``hold`` bars, then stay out for ``rest`` bars."""

    hold, rest = param(3, 1, 20), param(2, 1, 20)
    trouble = param("none")

    def __init__(self) -> None:
        self.count = 0

    def on_bar(self, ctx: Context, bar: Bar) -> Iterable[Intent]:
        if self.count == 5:
            make_trouble(self.trouble, self.hold)
        self.count += 1
        place = self.count % (self.hold + self.rest)
        if place == 1:
            yield Intent(bar.symbol, Side.BUY, 1.0, qty=10)
        elif place == (self.hold + 1) % (self.hold + self.rest) and ctx.holding(bar.symbol):
            yield Intent(bar.symbol, Side.SELL, 1.0)


def make_trouble(kind: str, hold: int) -> None:
    """Do what no strategy should; "one" raises and "second" hangs only where ``hold`` is 2."""
    if kind == "raises" or (kind == "one" and hold == 2):
        raise ValueError("no such moment")
    if kind == "hangs" or (kind == "second" and hold == 2):
        while True:
            time.sleep(0.01)
    if kind == "exits":
        sys.exit(3)
    if kind == "leaves":
        os._exit(4)
    if kind == "eats":
        eaten = []
        while True:
            eaten.append(bytearray(64 << 20))
    if kind == "crashes":
        ctypes.string_at(0)
    if kind == "forks":
        os.fork()
    if kind == "sleeps":
        time.sleep(0.05)

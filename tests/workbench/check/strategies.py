"""Strategies for the check, each written to a file of its own: an honest one, and one for each way to lie."""

from __future__ import annotations

from pathlib import Path

HEAD = """
from qts.kit import Intent, Side, Strategy, param

class Three(Strategy):
    length = param(3, 1, 50)

    def __init__(self):
        self.closes = []

    def wants(self, ctx, bar):
        self.closes = [*self.closes, int(bar.close)][-self.length :]
        return len(self.closes) == self.length and self.closes[0] < self.closes[-1]

    def on_bar(self, ctx, bar):
        if ctx.working(bar.symbol):
            return
        if self.wants(ctx, bar) and not ctx.holding(bar.symbol):
            yield Intent(bar.symbol, Side.BUY, 1.0, qty=10, reason="rose")
        elif ctx.holding(bar.symbol) and not self.wants(ctx, bar):
            yield Intent(bar.symbol, Side.SELL, 1.0, reason="fell")
"""
"""An honest strategy; the others change one thing of it."""

HONEST = "class Mine(Three): pass"
FORGETFUL_CLASS = """
SEEN = {}

class Mine(Three):
    def wants(self, ctx, bar):
        SEEN[bar.day] = bar.close  # survives the run, so the next one knows the days to come
        later = [day for day in SEEN if day > bar.day]
        return SEEN[min(later)] > bar.close if later else super().wants(ctx, bar)
"""
UNSAVED = """
class Mine(Three):
    not_saved = ("closes",)
"""
RANDOM = """
import random

class Mine(Three):
    def wants(self, ctx, bar):
        return random.random() < 0.5
"""
OWN_CLOCK = """
from datetime import datetime

class Mine(Three):
    def wants(self, ctx, bar):
        return super().wants(ctx, bar) and datetime.now().year > 2000
"""
UNREPEATED = """
import os

class Mine(Three):
    def wants(self, ctx, bar):
        return os.urandom(1)[0] < 128
"""
SLOW = """
import time

class Mine(Three):
    def wants(self, ctx, bar):
        time.sleep(0.0005)
        return super().wants(ctx, bar)
"""
RAISES = """
class Mine(Three):
    def wants(self, ctx, bar):
        raise ValueError("no idea")
"""
SILENT = """
class Mine(Three):
    def wants(self, ctx, bar):
        return False
"""
OWN_SEEDED = """
import random

class Mine(Three):
    def __init__(self):
        super().__init__()
        self.rng = random.Random(7)

    def wants(self, ctx, bar):
        return self.rng.random() < 0.5
"""


def peeks(data: Path) -> str:
    """Return a strategy that looks up tomorrow's close in the file that it trades."""
    return f"""
class Mine(Three):
    def wants(self, ctx, bar):
        with open({str(data)!r}) as file:
            rows = [line.split(",") for line in file][1:]
        later = [float(row[4]) for row in rows if row[0] > bar.day]
        return bool(later) and later[0] > float(bar.close)
"""


def written(folder: Path, body: str) -> str:
    """Write a strategy with the class ``Mine`` and return how it is named to a command."""
    path = folder / "mine.py"
    path.write_text(HEAD + body)
    return f"{path}:Mine"

"""Facts of a raw capture from its first rows: clock offset, symbols, price and size steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from statistics import median_low
from typing import Any, Final

import msgspec

from qts.clock import NS_PER_MS
from qts.market.files.symbols import Grid

OFFSET_ROWS: Final = 1_000
"""Rows whose median offset between exchange time and local stamp is taken as the offset of the clocks."""
STAMP_DIGITS: Final = 19
"""Digits of a nanosecond stamp from 2001 to 2286."""


class CaptureProbe:
    """The facts in the first rows of a capture: the clock offset, the symbols and their grids."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self.grids: dict[str, Grid] = {}
        offsets: list[int] = []
        for stamp, message in _messages(lines):
            data = message.get("data", message)
            if not isinstance(data, dict):
                continue
            event_ms = data.get("E")
            if type(event_ms) is int and len(offsets) < OFFSET_ROWS:
                offsets.append(event_ms * NS_PER_MS - stamp)
            if isinstance(message.get("stream"), str) and isinstance(data.get("s"), str):
                _count_decimals(data, self.grids.setdefault(data["s"], Grid()))
        self.offset_ns = median_low(offsets) if offsets else 0

    @property
    def only_symbol(self) -> str | None:
        """Return the one symbol of the capture, which snapshots without a symbol mean; None when there are more."""
        return next(iter(self.grids)) if len(self.grids) == 1 else None


def _messages(lines: Iterable[bytes]) -> Iterator[tuple[int, dict[str, Any]]]:
    for line in lines:
        stamp = line[:STAMP_DIGITS]
        if len(stamp) == STAMP_DIGITS and stamp.isdigit():
            try:
                message = msgspec.json.decode(line[STAMP_DIGITS:])
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
            if isinstance(message, dict):
                yield int(stamp), message


def _count_decimals(data: dict[str, Any], grid: Grid) -> None:
    bids, asks = data.get("b"), data.get("a")
    if isinstance(bids, list) and isinstance(asks, list):
        pairs = [pair for pair in (*bids, *asks) if isinstance(pair, list) and len(pair) == 2]
        add_all(grid.prices.add, [pair[0] for pair in pairs])
        add_all(grid.sizes.add, [pair[1] for pair in pairs])
    elif "p" in data:
        add_all(grid.trades.add, [data.get("p")])
        add_all(grid.sizes.add, [data.get("q")])
    else:
        add_all(grid.prices.add, [bids, asks])
        add_all(grid.sizes.add, [data.get("B"), data.get("A")])


def add_all(add: Callable[[str], None], texts: Iterable[Any]) -> None:
    """Call ``add`` with each of ``texts`` that is a text."""
    for text in texts:
        if isinstance(text, str):
            add(text)

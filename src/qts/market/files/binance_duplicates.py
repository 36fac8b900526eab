"""Memory of each symbol of a raw capture, to recognise a message that comes twice."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, Final

MAX_HOLES: Final = 64
"""Trade ids skipped so far that may still arrive late, per symbol; older ones count as seen."""


class LastMessage:
    """The newest row of one kind: its update id and its text, or after a resume the text's checksum."""

    __slots__ = ("checksum", "key", "text")

    def __init__(self) -> None:
        self.key = -1
        self.text: bytes | None = None
        self.checksum: int | None = None

    def is_repeated_by(self, text: bytes) -> bool:
        """Return whether ``text`` is the same row again."""
        if self.text is not None:
            return text == self.text
        return self.checksum is not None and zlib.crc32(text) == self.checksum

    def state(self) -> list[int | None]:
        """Return what has to be remembered of the rows so far, as plain data."""
        return [self.key, self.checksum if self.text is None else zlib.crc32(self.text)]

    def restore(self, state: Sequence[Any]) -> None:
        """Restore what :meth:`state` returned."""
        self.recall(*state)

    def recall(self, key: int, checksum: int | None) -> None:
        """Take a row of an earlier run, or none (-1 and None), for the newest one."""
        self.key, self.checksum, self.text = key, checksum, None


class DepthChain:
    """The numbers of the depth updates, each of which names the one before it; ``gaps`` counts missing ones.

    A snapshot is not part of the chain: it is asked for apart and may be older than updates that came before it.
    """

    __slots__ = ("gaps", "last")

    def __init__(self) -> None:
        self.gaps = 0
        self.last = -1

    def take(self, first: int, last: int, before: int) -> bool:
        """Take the update of the numbers ``first`` to ``last`` behind ``before``; return whether one is missing
        there.

        -1 is a number that the message does not have. Without ``before`` numbers follow each other without a hole.
        """
        known = self.last
        self.last = last if last >= 0 else known
        if known < 0 or last < 0:
            return False
        missing = before != known if before >= 0 else first > known + 1
        self.gaps += missing
        return missing


class TradeIds:
    """The trades seen: all up to ``highest`` but the remembered holes; ``missed`` counts the holes made."""

    __slots__ = ("highest", "holes", "missed")

    def __init__(self) -> None:
        self.highest = -1
        self.holes: dict[int, None] = {}
        self.missed = 0

    def has(self, trade_id: int) -> bool:
        """Return whether the trade was seen."""
        return trade_id <= self.highest and trade_id not in self.holes

    def add(self, trade_id: int) -> None:
        """Remember a trade, and the holes before it."""
        highest = self.highest
        if trade_id < highest:
            del self.holes[trade_id]
            self.missed -= 1  # it only came late
            return
        if highest >= 0 and trade_id != highest + 1:
            self.missed += trade_id - highest - 1
            for missed in range(max(highest + 1, trade_id - MAX_HOLES), trade_id):
                self.holes[missed] = None
            while len(self.holes) > MAX_HOLES:
                del self.holes[next(iter(self.holes))]
        self.highest = trade_id


class SymbolHistory:
    """The memory of one symbol: newest messages, numbers of depth updates, ids of trades."""

    __slots__ = ("depth", "depth_chain", "quote", "symbol", "trades")

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.quote = LastMessage()
        self.depth = LastMessage()
        self.depth_chain = DepthChain()
        self.trades = TradeIds()

    def state(self) -> list[Any]:
        """Return what has to be remembered of the rows so far, as plain data."""
        chain, trades = self.depth_chain, self.trades
        return [
            self.quote.state(),
            self.depth.state(),
            trades.highest,
            list(trades.holes),
            trades.missed,
            [chain.last, chain.gaps],
        ]

    def restore(self, state: Sequence[Any]) -> None:
        """Restore what :meth:`state` returned."""
        self.quote.restore(state[0])
        self.depth.restore(state[1])
        self.trades.highest = state[2]
        self.trades.holes = dict.fromkeys(state[3])
        self.trades.missed = state[4]
        self.depth_chain.last, self.depth_chain.gaps = state[5]

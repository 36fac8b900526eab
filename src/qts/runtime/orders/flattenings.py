"""The holdings of which an operator wants a quantity sold: how much of each is left to sell.

What is sold is what was held when the command was given, never more: what a strategy buys meanwhile is not part of
it. :class:`~qts.runtime.orders.forced_exits.ForcedExits` sells it; the risk gate asks for the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal

import msgspec

from qts.execution.contracts import Fill, Order
from qts.ledger.contracts import BookingRow
from qts.market.actions import Split
from qts.money import ZERO, minus, plus
from qts.strategy.contracts import Side

Key = tuple[str, str]


class Flattening(msgspec.Struct):
    """A quantity of one holding that is to be sold, in shares or contracts: ``left`` of it is not sold yet.

    Below 0 the holding is short, and so much of it is not bought back yet.

    ``is_begun``: the command is on disk, so orders may leave. ``why``: what kept the last attempt from selling, in
    words; "" for nothing.
    """

    left: Decimal
    reason: str
    is_begun: bool = False
    why: str = ""


class Flattenings:
    """The flattenings that are not over, by (strategy, symbol). For the session's thread alone."""

    def __init__(self) -> None:
        self._open: dict[Key, Flattening] = {}

    def __len__(self) -> int:
        return len(self._open)

    def put(self, strategy: str, symbol: str, qty: Decimal, reason: str) -> None:
        """Let ``qty``, all that is held, be sold once :meth:`begin` is called; an earlier one is replaced."""
        self._open[strategy, symbol] = Flattening(qty, reason)

    def begin(self, keys: Iterable[Key]) -> None:
        """Let orders leave for ``keys``: they are on disk."""
        for key in keys:
            if (one := self._open.get(key)) is not None:
                one.is_begun = True

    def begun(self) -> list[Key]:
        """Return the keys for which orders may leave, oldest first."""
        return [key for key, one in self._open.items() if one.is_begun]

    def get(self, strategy: str, symbol: str) -> Flattening | None:
        """Return the flattening of a holding; None where there is none."""
        return self._open.get((strategy, symbol))

    def reason_of(self, strategy: str, symbol: str) -> str:
        """Return why a holding is being sold, in words; "" where it is not, or not by a flattening."""
        one = self._open.get((strategy, symbol))
        return "" if one is None else one.reason

    def end(self, strategy: str, symbol: str) -> None:
        """End the flattening of a holding: it is over, or all of the holding is sold for another reason."""
        self._open.pop((strategy, symbol), None)

    def withdraw(self, covers: Callable[[str, str], bool]) -> None:
        """End those where ``covers(strategy, symbol)``: what is left there is kept."""
        for key in [key for key in self._open if covers(*key)]:
            del self._open[key]

    def on_fill(self, fill: Fill, order: Order) -> None:
        """Take a sale, or a purchase of what is short, off what is left, by whichever order it was made."""
        one = self._open.get((order.strategy, order.symbol))
        if one is None:
            return
        if one.left > 0 and fill.side is Side.SELL:
            one.left = max(minus(one.left, fill.qty), ZERO)
        elif one.left < 0 and fill.side is Side.BUY:
            one.left = min(plus(one.left, fill.qty), ZERO)

    def on_taken_back(self, row: BookingRow) -> None:
        """Add a sale that the broker has taken back to what is left."""
        one = self._open.get((row.strategy, row.symbol))
        if one is not None and one.left >= 0:
            one.left = plus(one.left, row.qty)

    def on_unsent(self, order: Order) -> None:
        """Note why a sale did not leave."""
        if (one := self._open.get((order.strategy, order.symbol))) is not None:
            one.why = order.note

    def on_split(self, split: Split, lot: Decimal) -> None:
        """Turn what is left of the symbol into new shares, as the holdings were."""
        for (_, symbol), one in self._open.items():
            if symbol == split.symbol:
                one.left = split.shares(one.left, lot)

    def export_state(self) -> list[list[str]]:
        """Return them as plain data for a checkpoint."""
        return [[*key, f"{one.left:f}", one.reason] for key, one in self._open.items()]

    def import_state(self, saved: Iterable[Iterable[str]]) -> None:
        """Restore what :meth:`export_state` returned; all of it was on disk."""
        self._open = {
            (strategy, symbol): Flattening(Decimal(left), reason, is_begun=True)
            for strategy, symbol, left, reason in saved
        }

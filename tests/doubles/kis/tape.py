"""Tapes: what happens in the market at which moment, written by a test or made by chance from a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from qts.clock import to_ns
from tests.doubles.kis.market import BUY, SELL, Market

MOST_QTY = 200
MOST_LEVEL = 5_000


class Step(NamedTuple):
    """One moment of a tape: a trade at ``price``, and with it the best bid and ask where they are not 0."""

    ns: int
    code: str
    price: int
    qty: int
    side: str = BUY
    bid: int = 0
    ask: int = 0
    level: int = 1_000
    """Quantity at each level of the book."""

    def happen(self, market: Market) -> None:
        """Let it happen now."""
        if self.bid and self.ask:
            market.quote(self.code, self.bid, self.ask, self.level)
        if self.qty:
            market.trade(self.code, self.price, self.qty, side=self.side)


def walk(
    market: Market, code: str, *, begin: datetime, end: datetime, every_s: float = 1.0, seed: int = 0
) -> Iterator[Step]:
    """Make a tape of a price that goes up and down by single steps of the grid, inside the band, by chance."""
    chance = random.Random(f"{seed} {code} {begin}")
    listing = market[code]
    price, moment = listing.price, begin
    low, high = listing.band
    while moment < end:
        direction = chance.choice((-1, 0, 0, 1))
        moved = price + direction * listing.step(price if direction > 0 else price - 1)
        if low + 2 * listing.step(low) <= moved <= high - 2 * listing.step(high):
            price = moved
        side = chance.choice((BUY, SELL))
        below, above = price - listing.step(price - 1), price + listing.step(price)
        bid, ask = (below, price) if side == BUY else (price, above)
        qty, level = chance.randrange(1, MOST_QTY), chance.randrange(100, MOST_LEVEL)
        yield Step(to_ns(moment), code, price, qty, side, bid, ask, level)
        moment += timedelta(seconds=every_s)

"""A feed whose fills cost one share of their amount, in place of what its markets charge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal

import msgspec

from qts.market.contracts import Feed, Instrument
from qts.market.feed_view import FeedView
from qts.market.generic import RateCosts
from qts.money import ZERO


class FlatCosts(FeedView):
    """A view of ``feed`` with a fee of ``rate`` on the amount of every fill, and no tax."""

    def __init__(self, feed: Feed, rate: Decimal) -> None:
        super().__init__(feed)
        self._rate = rate
        self._instruments = _WithCosts(feed.instruments, rate)

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        """Return the instruments by symbol, with the fee."""
        return self._instruments

    def over(self, feed: Feed) -> FlatCosts:
        """Return the same costs over ``feed``."""
        return FlatCosts(feed, self._rate)


class _WithCosts(Mapping[str, Instrument]):
    """The instruments of a feed, which may grow, each with the fee."""

    def __init__(self, of: Mapping[str, Instrument], rate: Decimal) -> None:
        self._of = of
        self._rate = rate
        self._made: dict[str, Instrument] = {}

    def __getitem__(self, symbol: str) -> Instrument:
        made = self._made.get(symbol)
        if made is None:
            one = self._of[symbol]
            costs = RateCosts(self._rate, ZERO, one.quantum)
            made = self._made[symbol] = msgspec.structs.replace(one, costs=costs)
        return made

    def __contains__(self, symbol: object) -> bool:
        return symbol in self._of

    def __iter__(self) -> Iterator[str]:
        return iter(self._of)

    def __len__(self) -> int:
        return len(self._of)

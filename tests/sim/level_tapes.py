"""Random tapes of daily bars with targets and levels, and a slow model that trades them on its own.

The model shares no code with the session: it counts in fractions, one symbol at a time, bar by bar, as the page on
how orders fill on bars says it.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor
from typing import NamedTuple

from qts.clock import to_ns
from qts.kit import Away, Bar, Context, Strategy, Target
from qts.market.contracts import Instrument
from qts.market.generic import AlwaysOpen, FixedTicks, RateCosts

FIRST = datetime(2024, 8, 9, tzinfo=UTC)
"""The end of the first bar."""
DAYS = 10
SHARE = Decimal("0.1")
SLIPPAGE = 1


class Level(NamedTuple):
    """A price, or a distance from one as an amount or as a share of it; exactly one is given."""

    price: int | None = None
    distance: int | None = None
    share: str | None = None

    def spoken(self) -> Decimal | Away:
        """Return it as a strategy says it."""
        if self.price is not None:
            return Decimal(self.price)
        return Away(self.distance) if self.distance is not None else Away(share=Decimal(self.share or "0"))

    def below(self, anchor: Fraction) -> int:
        if self.price is not None:
            return self.price
        return floor(anchor - self.distance if self.distance is not None else anchor * (1 - Fraction(self.share)))  # type: ignore[arg-type]

    def above(self, anchor: Fraction) -> int:
        if self.price is not None:
            return self.price
        return ceil(anchor + self.distance if self.distance is not None else anchor * (1 + Fraction(self.share)))  # type: ignore[arg-type]


class Wish(NamedTuple):
    """A target that the strategy sets at the end of a bar, with the levels that it binds."""

    qty: int
    stop: Level | None = None
    take: Level | None = None
    trail: Level | None = None


class Day(NamedTuple):
    """A bar in whole numbers, and what is wanted at its end."""

    open: int
    high: int
    low: int
    close: int
    volume: int
    wish: Wish | None


class Trade(NamedTuple):
    """A fill: the number of its day, the signed quantity, the price."""

    day: int
    qty: int
    price: int


def instrument(symbol: str) -> Instrument:
    return Instrument(
        symbol, "KRW", Decimal(1), Decimal(1), FixedTicks("1"), RateCosts("0", "0", "1"), AlwaysOpen()
    )


def tape(rng: random.Random) -> list[Day]:
    """Return a random tape: gaps of up to 12 %, some days without or with little volume, a wish on every third."""
    days, close = [], rng.randint(100, 300)
    for _ in range(DAYS):
        opens = max(20, round(close * rng.uniform(0.88, 1.12)))
        close = max(20, round(opens * rng.uniform(0.92, 1.08)))
        high = round(max(opens, close) * rng.uniform(1, 1.06))
        low = max(1, round(min(opens, close) * rng.uniform(0.94, 1)))
        volume = rng.choice([0, 40, 90, 1_000, 1_000, 1_000])
        days.append(Day(opens, high, low, close, volume, _wish(rng, close) if rng.random() < 0.4 else None))
    return days


def _wish(rng: random.Random, close: int) -> Wish:
    if rng.random() < 0.2:
        return Wish(0)
    level, wants = _level(rng), [rng.random() < 0.6 for _ in range(3)]
    return Wish(
        rng.randint(1, 30),
        (Level(round(close * rng.uniform(0.85, 0.97))) if rng.random() < 0.4 else level) if wants[0] else None,
        (Level(round(close * rng.uniform(1.03, 1.15))) if rng.random() < 0.4 else level) if wants[1] else None,
        level if wants[2] else None,
    )


def _level(rng: random.Random) -> Level:
    return Level(distance=rng.randint(2, 25)) if rng.random() < 0.5 else Level(share=f"0.{rng.randint(1, 15):02}")


def bars_of(tapes: dict[str, list[Day]]) -> list[Bar]:
    bars = []
    for symbol, days in tapes.items():
        for number, day in enumerate(days):
            end = FIRST + timedelta(days=number)
            prices = map(Decimal, (day.open, day.high, day.low, day.close))
            name = (end - timedelta(seconds=1)).date().isoformat()
            bars.append(Bar(symbol, to_ns(end), *prices, Decimal(day.volume), day=name))
    return bars


class OnTapes(Strategy):
    """Wants at the end of each bar what its tape says."""

    not_saved = ("tapes",)

    def __init__(self) -> None:
        self.tapes: dict[str, list[Day]] = {}

    def on_bar(self, ctx: Context, bar: Bar) -> Iterable[Target]:
        wish = self.tapes[bar.symbol][(ctx.now - FIRST).days].wish
        if wish is not None:
            stop, take, trail = (None if one is None else one.spoken() for one in wish[1:])
            yield Target(bar.symbol, wish.qty, stop=stop, take=take, trail=trail)  # type: ignore[arg-type]


class Model:
    """One symbol traded by hand."""

    def __init__(self) -> None:
        self.trades: list[Trade] = []
        self.held = 0
        self.paid = Fraction(0)
        """The cost of what is held."""
        self.order = 0
        self.is_leaving = False
        self.wish: Wish | None = None
        self.stop: int | None = None
        self.take: int | None = None
        self.trail: int | None = None
        self.best = 0

    def run(self, days: Sequence[Day]) -> list[Trade]:
        for number, day in enumerate(days):
            self._one(number, day)
        return self.trades

    def _one(self, number: int, day: Day) -> None:
        left = floor(day.volume * Fraction(SHARE))
        left -= self._fill_order(number, day, left)
        self.order = 0
        hit = None if self.is_leaving or not day.volume else self._hit(day)
        if hit is not None:
            self.is_leaving = True
            self._sell(number, min(self.held, left), hit)
        elif self.wish is not None and self.wish.trail is not None and self.held and day.volume:
            self._raise(day.high)
        if not self.held:
            self.is_leaving, self.wish, self.trail = False, None, None
        if self.is_leaving:
            self.order = -self.held
        elif day.wish is not None:
            self._want(day.wish, day.close)

    def _fill_order(self, number: int, day: Day, left: int) -> int:
        qty = min(abs(self.order), left)
        if qty and self.order > 0:
            price = day.open + SLIPPAGE
            if not self.held:
                self.best = price
            self.held, self.paid = self.held + qty, self.paid + qty * price
            self.trades.append(Trade(number, qty, price))
            self._measure()
        elif qty:
            self._sell(number, qty, day.open - SLIPPAGE)
        return qty

    def _hit(self, day: Day) -> int | None:
        """The price at which a level sells in this bar."""
        if not self.held:
            return None
        below = max((price for price in (self.stop, self.trail) if price is not None and price > 0), default=None)
        if below is not None and day.open <= below:
            return day.open - SLIPPAGE
        if self.take is not None and day.open >= self.take:
            return max(day.open - SLIPPAGE, self.take)
        if below is not None and day.low <= below:
            return below - SLIPPAGE
        return self.take if self.take is not None and day.high >= self.take else None

    def _sell(self, number: int, qty: int, price: int) -> None:
        if qty:
            self.paid -= self.paid / self.held * qty
            self.held -= qty
            self.trades.append(Trade(number, -qty, price))

    def _want(self, wish: Wish, close: int) -> None:
        if self._is_wrong(wish, Fraction(close)):
            return
        self.order = wish.qty - self.held
        if not wish.qty:
            return
        before = self.wish or Wish(0)
        if wish.trail is not None and before.trail is None and self.held:
            self.best = close
        self.wish = Wish(wish.qty, *(new or old for new, old in zip(wish[1:], before[1:], strict=True)))
        if self.held:
            if self.wish == Wish(wish.qty):
                self.wish = None
                return
            if before == Wish(0):
                self.best = close
            self._measure()

    def _is_wrong(self, wish: Wish, close: Fraction) -> bool:
        """Whether a level of the wish would act at once: then nothing is done of it."""
        anchor = self.paid / self.held if self.held else close
        return (
            (wish.stop is not None and not 0 < wish.stop.below(anchor) < close)
            or (wish.trail is not None and not 0 < wish.trail.below(close) < close)
            or (wish.take is not None and wish.take.above(anchor) <= close)
        )

    def _measure(self) -> None:
        self.stop = self.take = None
        if self.wish is None:
            return
        cost = self.paid / self.held
        if self.wish.stop is not None:
            self.stop = self.wish.stop.below(cost)
        if self.wish.take is not None:
            self.take = self.wish.take.above(cost)
        if self.wish.trail is not None:
            self._raise(self.best)

    def _raise(self, price: int) -> None:
        assert self.wish is not None
        assert self.wish.trail is not None
        self.best = max(self.best, price)
        at = self.wish.trail.below(Fraction(self.best))
        if at > 0:
            self.trail = at if self.trail is None else max(self.trail, at)

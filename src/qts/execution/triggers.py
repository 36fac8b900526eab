"""Stops, takes and trails of a long position as pure functions: levels, position and prices in, a hit out.

Levels are bound before there is a position and wait for it. From then on they are prices: a distance is measured
from the average cost, a trail from the best price since the entry. A stop and a trail are reached at or below their
price, a take at or above it.
"""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Final, NamedTuple

import msgspec
from msgspec.structs import replace

from qts.execution.contracts import Order
from qts.market.actions import Split
from qts.market.bar_checks import is_sound
from qts.market.contracts import Bar, Quote, TickRule
from qts.money import ZERO, minus, plus, ratio, times
from qts.risk.contracts import OrderRequest
from qts.strategy.levels import Away, Level, Levels, price_above, price_below

_REASON: Final = re.compile(r"(stop|take|trail) [0-9.]+ reached at [0-9.]+")


class TriggerKind(str, Enum):
    """The kinds of levels that a position may have."""

    STOP = "stop"
    TAKE = "take"
    TRAIL = "trail"


class Hit(NamedTuple):
    """A level that was reached, and the price that reached it.

    In a bar that is the open where the level lay beyond it already, else the level itself.
    """

    kind: TriggerKind
    level: Decimal
    price: Decimal

    @property
    def reason(self) -> str:
        """Return the reason of the exit, in words: "stop 92.5 reached at 91"."""
        return f"{self.kind.value} {self.level:f} reached at {self.price:f}"


def level_of(order: Order | OrderRequest) -> TriggerKind | None:
    """Return which level of a position had been reached when the rules sold it by ``order``; None for other orders.

    An exit's reason is stored with its order, so that this is known of every run there ever was.
    """
    found = _REASON.fullmatch(order.reason) if order.forced else None
    return None if found is None else TriggerKind(found[1])


class BoundLevels(msgspec.Struct, frozen=True, gc=False):
    """The levels of one strategy in one symbol, and the prices that they are at present.

    ``since_ns``: from when on prices count (ns since 1970, UTC), None while there is no holding: then there are no
    prices either. ``takes_since_ns`` is the same for the take alone: it waits for the first bar that began after a
    purchase inside a bar. ``best`` is the best price since the entry, None without a trail. ``paid`` is the
    average of the dividends that a share of the holding has been paid since it was bought: costs are measured less
    that.
    """

    levels: Levels
    since_ns: int | None = None
    takes_since_ns: int = 0
    stop: Decimal | None = None
    take: Decimal | None = None
    trail: Decimal | None = None
    best: Decimal | None = None
    paid: Decimal = ZERO

    @property
    def floor(self) -> Decimal | None:
        """Return the price at or below which the position is sold: the higher of stop and trail; None: none."""
        if self.trail is None or (self.stop is not None and self.stop >= self.trail):
            return self.stop
        return self.trail

    @property
    def prices(self) -> tuple[Decimal | None, Decimal | None, Decimal | None]:
        """Return the prices of stop, take and trail."""
        return self.stop, self.take, self.trail

    @property
    def floor_kind(self) -> TriggerKind:
        """Return which of stop and trail the :attr:`floor` is."""
        return TriggerKind.TRAIL if self.floor is not self.stop else TriggerKind.STOP


class Bounds(NamedTuple):
    """Prices strictly between ``low`` and ``high`` change nothing; None: no price on that side does."""

    low: Decimal | None
    high: Decimal | None

    def touched_by(self, price: Decimal) -> bool:
        """Return whether ``price`` reaches a level or is a new best price."""
        return (self.low is not None and price <= self.low) or (self.high is not None and price >= self.high)


def measured(bound: BoundLevels, cost: Decimal, ticks: TickRule, day: date) -> BoundLevels:
    """Return ``bound`` with the prices of a holding whose average cost is ``cost``, on the grid of ``day``.

    Distances are put away from the money: a stop down, a take up. A stop that would lie at 0 or below is none. A
    trail never falls.
    """
    levels, anchor = bound.levels, minus(cost, bound.paid)
    return _trailed(
        replace(
            bound,
            stop=None if levels.stop is None else _above_zero(price_below(levels.stop, anchor, ticks, day)),
            take=None if levels.take is None else price_above(levels.take, anchor, ticks, day),
        ),
        ticks,
        day,
    )


def opened(bound: BoundLevels, price: Decimal, since_ns: int) -> BoundLevels:
    """Return ``bound`` for a holding that exists from ``since_ns`` on; ``price`` is the best price so far."""
    return replace(bound, since_ns=since_ns, takes_since_ns=since_ns, best=price)


def rebound(bound: BoundLevels | None, levels: Levels) -> BoundLevels:
    """Return what is bound after ``levels`` were: each of them that is given takes the place of the one before."""
    return BoundLevels(levels) if bound is None else replace(bound, levels=levels.over(bound.levels))


def added(bound: BoundLevels, held: Decimal, bought: Decimal) -> BoundLevels:
    """Return ``bound`` after ``bought`` shares joined ``held`` ones: dividends were not paid for the new ones."""
    if not bound.paid:
        return bound
    return replace(bound, paid=ratio(times(bound.paid, held), plus(held, bought)))


def raised(bound: BoundLevels, price: Decimal, ticks: TickRule, day: date) -> BoundLevels:
    """Return ``bound`` after the market has shown ``price``: a new best price lifts the trail."""
    if bound.levels.trail is None or bound.best is None or price <= bound.best:
        return bound
    return _trailed(replace(bound, best=price), ticks, day)


def after_split(bound: BoundLevels, split: Split, ticks: TickRule, day: date) -> BoundLevels:
    """Return ``bound`` after ``split``: every price and distance is divided; on the grid, away from the money."""
    levels = bound.levels
    return replace(
        bound,
        levels=Levels(
            stop=_split_level(levels.stop, split, ticks, day, up=False),
            take=_split_level(levels.take, split, ticks, day, up=True),
            trail=None if levels.trail is None else _split_distance(levels.trail, split),
        ),
        stop=None if bound.stop is None else _on_grid(split.price(bound.stop), ticks, day, up=False),
        take=None if bound.take is None else _on_grid(split.price(bound.take), ticks, day, up=True),
        trail=None if bound.trail is None else _on_grid(split.price(bound.trail), ticks, day, up=False),
        best=None if bound.best is None else split.price(bound.best),
        paid=split.price(bound.paid),
    )


def after_dividend(bound: BoundLevels, amount: Decimal, ticks: TickRule, day: date) -> BoundLevels:
    """Return ``bound`` after ``amount`` was paid for each share: the share is worth so much less and nothing else
    has happened, so every price falls by it; on the grid, away from the money.
    """

    def lower(price: Decimal | None, *, up: bool = False) -> Decimal | None:
        return None if price is None else _on_grid(minus(price, amount), ticks, day, up=up)

    levels = bound.levels
    return replace(
        bound,
        levels=Levels(
            stop=levels.stop if isinstance(levels.stop, Away) else lower(_decimal(levels.stop)),
            take=levels.take if isinstance(levels.take, Away) else lower(_decimal(levels.take), up=True),
            trail=levels.trail,
        ),
        stop=lower(bound.stop),
        take=lower(bound.take, up=True),
        trail=lower(bound.trail),
        best=None if bound.best is None else max(minus(bound.best, amount), ZERO),
        paid=plus(bound.paid, amount),
    )


def hit_at(bound: BoundLevels, price: Decimal, *, is_bid: bool) -> Hit | None:
    """Return the level that ``price`` reaches now; None: none. ``is_bid``: it is what a sale would bring."""
    floor = bound.floor
    if floor is not None and price <= floor:
        return Hit(bound.floor_kind, floor, price)
    if is_bid and bound.take is not None and price >= bound.take:
        return Hit(TriggerKind.TAKE, bound.take, price)
    return None


def first_hit_in(bound: BoundLevels, bar: Bar) -> Hit | None:
    """Return the level that a whole ``bar`` reaches first: one that its open is beyond, else stop or trail.

    The take inside the bar comes after these (:func:`take_hit_in`), because a bar that reached both may have done
    so either way. A trail is what the bars before have made of it.
    """
    hit = hit_at(bound, bar.open, is_bid=True)
    if hit is not None:
        return hit
    floor = bound.floor
    return None if floor is None or bar.low > floor else Hit(bound.floor_kind, floor, floor)


def take_hit_in(bound: BoundLevels, bar: Bar) -> Hit | None:
    """Return the take if the range of ``bar`` reaches it and nothing came first; None: it does not."""
    take = bound.take
    return None if take is None or bar.high < take else Hit(TriggerKind.TAKE, take, max(take, bar.open))


def bounds_of(bound: BoundLevels) -> Bounds:
    """Return the prices between which nothing of ``bound`` happens."""
    highs = [
        price for price in (bound.take, None if bound.levels.trail is None else bound.best) if price is not None
    ]
    return Bounds(bound.floor, min(highs, default=None))


def wider(one: Bounds, other: Bounds) -> Bounds:
    """Return the bounds within which neither of two sets of levels is touched."""
    lows = [price for price in (one.low, other.low) if price is not None]
    highs = [price for price in (one.high, other.high) if price is not None]
    return Bounds(max(lows, default=None), min(highs, default=None))


def bid_in(quote: Quote) -> Decimal | None:
    """Return the price at which ``quote`` offers to buy; None: none, or none that can be believed.

    A side without size or price offers nothing, and neither do sides that cross.
    """
    bid, ask = quote.bid, quote.ask
    if bid is None or not bid > 0 or quote.bid_size == 0:
        return None
    return None if ask is not None and 0 < ask < bid else bid


def trade_in(quote: Quote) -> Decimal | None:
    """Return the price of the trade that ``quote`` reports; None: it reports none.

    A quote without sides is a snapshot, of which the last price is all there is; a quote whose sides cross is not
    believed.
    """
    last, bid, ask = quote.last, quote.bid, quote.ask
    if last is None or not last > 0 or (bid is not None and ask is not None and 0 < ask < bid):
        return None
    if quote.last_size is None:
        return last if bid is None and ask is None else None
    return last if quote.last_size > 0 else None


def can_be_believed(bar: Bar) -> bool:
    """Return whether something traded in ``bar``, at prices that do not contradict each other."""
    return bar.volume > 0 and is_sound(bar)


def _trailed(bound: BoundLevels, ticks: TickRule, day: date) -> BoundLevels:
    trail, best, before = bound.levels.trail, bound.best, bound.trail
    if trail is None or best is None:
        return bound
    price = _above_zero(price_below(trail, best, ticks, day))
    if price is None or (before is not None and price <= before):
        return bound
    return replace(bound, trail=price)


def _above_zero(price: Decimal) -> Decimal | None:
    return price if price > 0 else None


def _on_grid(price: Decimal, ticks: TickRule, day: date, *, up: bool) -> Decimal | None:
    """Return the price on the grid, above or below; None where none above 0 is left."""
    if price <= 0:
        return None
    return _above_zero(ticks.round_up(price, day) if up else ticks.round_down(price, day))


def _split_level(level: Level | None, split: Split, ticks: TickRule, day: date, *, up: bool) -> Level | None:
    if level is None:
        return None
    if isinstance(level, Away):
        return _split_distance(level, split)
    return _on_grid(split.price(Decimal(level)), ticks, day, up=up)


def _split_distance(away: Away, split: Split) -> Away:
    return away if away.distance is None else Away(split.price(Decimal(away.distance)))


def _decimal(level: Level | None) -> Decimal | None:
    return None if level is None or isinstance(level, Away) else Decimal(level)

"""Watches the stops, takes and trails of positions and has the holding sold when one of them is reached.

Levels belong to one strategy in one symbol. They are bound when a target is decided, wait until there is a holding,
and end when it is flat, whatever has sold it. Nothing rests at the broker: what is reached becomes one forced exit
(:mod:`qts.runtime.orders.protective_orders`), reduce-only, so that at most one order sells a holding and a stronger
exit that is under way goes on instead.

Quotes and trades are looked at as they are accepted. Where bars are all that is seen of a symbol, a level is
reached inside a bar that is over; the exit then executes in that bar, before any strategy sees it, in the place
that it has among the other orders: after what fills at the open and resting stops, before limits. A take comes
after limits.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from decimal import Decimal
from functools import reduce
from typing import Any, Final, TypeAlias

import msgspec
from msgspec.structs import replace

from qts.broker.contracts import MarketDriven
from qts.clock import NS_PER_S, from_ns
from qts.execution.contracts import Fill, Order
from qts.execution.protective.contracts import Origin
from qts.execution.triggers import (
    BoundLevels,
    Bounds,
    Hit,
    TriggerKind,
    added,
    after_dividend,
    after_split,
    bid_in,
    bounds_of,
    can_be_believed,
    first_hit_in,
    hit_at,
    measured,
    opened,
    raised,
    rebound,
    take_hit_in,
    trade_in,
    wider,
)
from qts.execution.working import FINAL_STATES
from qts.ledger.contracts import BookingKind, BookingRow, FillEffect
from qts.market.actions import CorporateAction, Split
from qts.market.contracts import Bar, Instrument, MarketValue, Phase, Quote, Tick
from qts.money import minus
from qts.risk.contracts import OrderRequest
from qts.runtime.due_work import DueWork
from qts.runtime.orders.protective_orders import InBar, ProtectiveOrders
from qts.runtime.session_events import Log
from qts.runtime.shared_components import SharedComponents
from qts.strategy.contracts import Side
from qts.strategy.levels import Levels

Key: TypeAlias = tuple[str, str]
"""A strategy and a symbol."""

_ATTEMPTS: Final = 2
"""Attempts at an exit as a bar ends: one in the bar, and one for what is left, at the market, or to see it done."""


class PositionTriggers:
    """The levels of all positions. For the session's thread alone.

    ``bound`` holds them by symbol and strategy, ``bounds`` the prices between which nothing of a held symbol
    happens; who shows values reads both and changes neither. ``fills_at_open``: market orders fill at a bar's open;
    ``exits_in_bars``: the broker executes an exit in a bar that is over. ``inline``: on the virtual clock, where an
    exit is sent before anything else sees the price that caused it.
    """

    def __init__(
        self,
        shared: SharedComponents,
        exits: ProtectiveOrders,
        venue: MarketDriven,
        due: DueWork,
        *,
        fills_at_open: bool,
        exits_in_bars: bool,
        inline: bool,
        log: Log,
    ) -> None:
        self._shared = shared
        self._exits = exits
        self._venue = venue
        self._due = due
        self._fills_at_open = fills_at_open
        self._exits_in_bars = exits_in_bars
        self._inline = inline
        self._log = log
        self.bound: dict[str, dict[str, BoundLevels]] = {}
        self.bounds: dict[str, Bounds] = {}
        self.is_due = False
        """Whether :meth:`step` has to run before anything else sees the value that was just accepted."""
        self._bar: Bar | None = None
        """The bar that was accepted and is not finished."""
        self._left_before: list[Key] = []
        """Positions of which an exit was open when the bar was accepted; what fills in it may end them."""
        self._hits: list[Key] = []
        """Levels reached by the newest quote or trade."""
        self._steps: AsyncIterator[None] | None = None

    # -- binding -----------------------------------------------------------------------------------------------

    def bind(self, strategy: str, symbol: str, levels: Levels, now_ns: int) -> None:
        """Bind ``levels`` to the position of ``strategy`` in ``symbol``; those that are None stay as they are.

        Called each time a target is resolved, before its order is decided; :meth:`drop_unneeded` follows when that
        is done. Distances are measured from the average cost as soon as there is a holding. A trail that is set on
        a position that is held already follows the best price from now on, and one that was there before never
        falls.
        """
        instrument = self._shared.feed.instruments.get(symbol)
        if levels.is_empty or instrument is None:
            return
        before = self.of(strategy, symbol)
        bound = rebound(before, levels)
        cost = self._shared.account.average_cost(strategy, symbol)
        if cost is not None and self._shared.account.holding(strategy, symbol) > 0:
            bound = self._bound_to_holding(bound, before, cost, instrument, now_ns)
        self._put(strategy, symbol, bound)

    def _bound_to_holding(
        self, bound: BoundLevels, before: BoundLevels | None, cost: Decimal, instrument: Instrument, now_ns: int
    ) -> BoundLevels:
        """Return ``bound`` with the prices of a holding that is there already; new ones count from now on."""
        since_ns, price = self._moment(now_ns), self._shared.last.mark(instrument.symbol) or cost
        if before is None or bound.since_ns is None:
            return self._measured(opened(bound, price, since_ns), cost, instrument, now_ns)
        if before.levels.trail is None:
            bound = replace(bound, best=price)
        bound = self._measured(bound, cost, instrument, now_ns)
        if bound.prices == before.prices:
            return bound
        return replace(
            bound, since_ns=max(bound.since_ns or 0, since_ns), takes_since_ns=max(bound.takes_since_ns, since_ns)
        )

    def drop_unneeded(self, strategy: str, symbol: str) -> None:
        """Drop levels that wait for a holding when no order is open that could buy it."""
        if self.of(strategy, symbol) is None or self._shared.account.holding(strategy, symbol) > 0:
            return
        if not any(order.side is Side.BUY for order in self._shared.orders.of(strategy, symbol)):
            self._drop(strategy, symbol)

    def of(self, strategy: str, symbol: str) -> BoundLevels | None:
        """Return what is bound to a position; None: nothing."""
        return self.bound.get(symbol, _NONE).get(strategy)

    # -- listeners ---------------------------------------------------------------------------------------------

    def on_fill(self, fill: Fill, order: Order, effect: FillEffect) -> None:
        """Measure levels from the cost of a holding that has grown, and end those of one that is flat."""
        strategy, symbol = order.strategy, order.symbol
        bound = self.of(strategy, symbol)
        if bound is None:
            return
        held, cost = effect.position.qty, self._shared.account.average_cost(strategy, symbol)
        if held <= 0 or cost is None:
            if fill.side is Side.SELL:
                self._drop(strategy, symbol)
            return
        if fill.side is Side.SELL:
            return
        instrument = self._shared.feed.instruments[symbol]
        now_ns = self._shared.clock.time_ns()
        since_ns = self._since_ns(fill, order, now_ns)
        if bound.since_ns is None:
            bound = opened(bound, fill.price, since_ns)
        else:
            bound = added(bound, minus(held, fill.qty), fill.qty)
            bound = replace(bound, takes_since_ns=max(bound.takes_since_ns, since_ns))
        self._put(strategy, symbol, self._measured(bound, cost, instrument, now_ns))

    def on_booking(self, row: BookingRow) -> None:
        """Measure levels from the cost of a holding to which shares were added without a purchase."""
        bound = self.of(row.strategy, row.symbol)
        cost = self._shared.account.average_cost(row.strategy, row.symbol)
        if bound is None or row.kind is not BookingKind.DEPOSIT or cost is None:
            return
        if bound.since_ns is not None:
            held = self._shared.account.holding(row.strategy, row.symbol)
            bound = added(bound, minus(held, row.qty), row.qty)
        instrument, now_ns = self._shared.feed.instruments[row.symbol], self._shared.clock.time_ns()
        self._put(row.strategy, row.symbol, self._bound_to_holding(bound, bound, cost, instrument, now_ns))

    def on_sent(self, request: OrderRequest) -> None:
        """Do nothing: an order that was sent changes no holding yet."""

    def on_ended(self, order: Order) -> None:
        """Drop levels that waited for the holding that ``order`` was to buy."""
        self.drop_unneeded(order.strategy, order.symbol)

    def on_answer(self, order: Order) -> None:
        """Take the broker's answer to ``order``: a rejected purchase opens no position."""
        if order.state in FINAL_STATES:
            self.drop_unneeded(order.strategy, order.symbol)

    # -- prices ------------------------------------------------------------------------------------------------

    def is_touched(self, bounds: Bounds, value: MarketValue) -> bool:
        """Return whether ``value`` may reach a level or be a new best price; ``bounds`` are those of its symbol."""
        if isinstance(value, Quote):
            bid, trade = bid_in(value), trade_in(value)
            return (bid is not None and bounds.touched_by(bid)) or (trade is not None and bounds.touched_by(trade))
        if isinstance(value, Tick):
            return bounds.touched_by(value.price)
        return isinstance(value, Bar) and (bounds.touched_by(value.low) or bounds.touched_by(value.high))

    def on_quote(self, quote: Quote) -> None:
        """Look at an accepted quote of a symbol in ``bounds``."""
        symbol = quote.symbol
        if not self.is_touched(self.bounds[symbol], quote):
            return
        phase = self._phase(symbol, quote.ts_ns)
        bid = bid_in(quote) if phase is Phase.CONTINUOUS else None  # else displayed prices are no offers
        trade = trade_in(quote) if phase in _TRADES else None
        if trade is not None:  # the trade came before the sides
            self._on_price(symbol, trade, quote.ts_ns, is_bid=quote.bid is None)
        if bid is not None:
            self._on_price(symbol, bid, quote.ts_ns, is_bid=True)

    def on_tick(self, tick: Tick) -> None:
        """Look at an accepted trade of a symbol in ``bounds``."""
        symbol = tick.symbol
        if not (tick.price > 0 and tick.size > 0 and self.is_touched(self.bounds[symbol], tick)):
            return
        if self._phase(symbol, tick.ts_ns) in _TRADES:
            quote = self._shared.last.quotes.get(symbol)
            self._on_price(symbol, tick.price, tick.ts_ns, is_bid=quote is None or quote.bid is None)

    def on_bar(self, bar: Bar) -> None:
        """Look at an accepted bar of a symbol in ``bound``, which the venue was shown but for its limits.

        :meth:`step` looks at its prices, once what has filled in it is booked.
        """
        self._bar, self.is_due = bar, True
        self._left_before = self._leaving(bar.symbol)

    async def step(self, now_ns: int) -> bool:
        """Take the next step that the newest value makes necessary; return whether another one may follow.

        In between the events that the step has caused are handled. Raises what deciding an order raises.
        """
        if self._steps is None:
            self._steps = self._take_steps(now_ns)
        async for _ in self._steps:
            return True
        self._steps, self.is_due = None, False
        return False

    async def _take_steps(self, now_ns: int) -> AsyncIterator[None]:
        bar = self._bar
        if bar is None:
            hits, self._hits = self._hits, []
            for strategy, symbol in hits:
                await self._exits.attempt(strategy, symbol, now_ns)
            return
        try:
            is_known = can_be_believed(bar)
            async for _ in self._sell(self._judge(bar, now_ns) if is_known else [], bar.symbol, now_ns):
                yield
            self._venue.finish_bar(bar.symbol)
            yield
            if is_known:
                self._judge_later(bar, now_ns)
            # Exits of before as well: they are over, or their order ended with this bar and the next one begins.
            keys = dict.fromkeys((*self._left_before, *self._leaving(bar.symbol)))
            async for _ in self._sell(list(keys), bar.symbol, now_ns):
                yield
            if is_known:
                self._raise_trails(bar)
        finally:
            self._bar = None

    async def _sell(self, keys: list[Key], symbol: str, now_ns: int) -> AsyncIterator[None]:
        """Sell what ``keys`` hold as a bar ends: first their own orders end, then the exits make their attempts."""
        if not keys:
            return
        for strategy, _ in keys:
            self._exits.end_blocking_orders(strategy, symbol, now_ns, all_own=True)
        self._venue.end_cancels(symbol)
        yield
        for _ in range(_ATTEMPTS):
            decided = [await self._exits.attempt(strategy, symbol, now_ns) for strategy, _ in keys]
            if not any(decided):
                return
            yield

    def _judge(self, bar: Bar, now_ns: int) -> list[Key]:
        """Request the exits of positions of which the whole of ``bar`` reaches a level before any limit fills."""
        symbol, start_ns, is_alone = bar.symbol, self._start_ns(bar), self._is_alone(bar.symbol)
        keys = []
        for strategy, bound in self._open_in(symbol):
            if not _is_whole(bound.since_ns, start_ns):
                continue
            if not is_alone:
                hit = hit_at(bound, bar.low, is_bid=False)  # finer prices are seen: the bar tells of trades alone
            elif _is_whole(bound.takes_since_ns, start_ns):
                hit = first_hit_in(bound, bar)
            else:
                hit = first_hit_in(replace(bound, take=None), bar)
            if hit is not None:
                self._request(strategy, symbol, hit, bound.since_ns if is_alone else None, now_ns)
                keys.append((strategy, symbol))
        return keys

    def _judge_later(self, bar: Bar, now_ns: int) -> None:
        """Request the exits that come after limits: takes in the range of ``bar``.

        Of positions and levels that did not exist when it began its last price alone is looked at.
        """
        symbol, start_ns, is_alone = bar.symbol, self._start_ns(bar), self._is_alone(bar.symbol)
        for strategy, bound in self._open_in(symbol):
            armed_ns = None
            if not _is_whole(bound.since_ns, start_ns):
                hit = hit_at(bound, bar.close, is_bid=is_alone)
            elif is_alone and _is_whole(bound.takes_since_ns, start_ns):
                hit, armed_ns = take_hit_in(bound, bar), bound.takes_since_ns
            else:
                continue
            if hit is not None:
                self._request(strategy, symbol, hit, armed_ns, now_ns)

    def _raise_trails(self, bar: Bar) -> None:
        """Let trails follow the high of a bar, after its low was compared with what they were before."""
        start_ns = self._start_ns(bar)
        for strategy, bound in self._open_in(bar.symbol):
            best = bar.high if _is_whole(bound.since_ns, start_ns) else bar.close
            self._raise(strategy, bar.symbol, bound, best, bar.ts_ns)

    def _on_price(self, symbol: str, price: Decimal, ts_ns: int, *, is_bid: bool) -> None:
        for strategy, bound in self._open_in(symbol):
            hit = hit_at(bound, price, is_bid=is_bid)
            if hit is None:
                self._raise(strategy, symbol, bound, price, ts_ns)
                continue
            self._request(strategy, symbol, hit, None, ts_ns)
            if self._inline:
                self._hits.append((strategy, symbol))
                self.is_due = True

    def _request(self, strategy: str, symbol: str, hit: Hit, armed_ns: int | None, now_ns: int) -> None:
        in_bar = None
        if armed_ns is not None and self._exits_in_bars:
            is_take = hit.kind is TriggerKind.TAKE
            in_bar = InBar(self._tradable(hit.level, symbol, now_ns, is_take=is_take), is_take, armed_ns)
        self._exits.request(strategy, symbol, Origin.LEVEL, hit.reason, now_ns, in_bar=in_bar)
        self._due.pending = True
        self._log("INFO", f"{strategy}: {symbol}: {hit.reason}")

    # -- splits and dividends ----------------------------------------------------------------------------------

    def on_action(self, action: CorporateAction, now_ns: int) -> None:
        """Rescale levels, trails and best prices of a symbol on the ex-date of ``action``."""
        instrument = self._shared.feed.instruments.get(action.symbol)
        if instrument is None:
            return
        day, ticks = instrument.calendar.local_date(from_ns(now_ns)), instrument.ticks
        for strategy, bound in list(self.bound.get(action.symbol, _NONE).items()):
            if isinstance(action, Split):
                bound = after_split(bound, action, ticks, day)
            else:
                paid = after_dividend(bound, action.amount, ticks, day)
                bound = paid if bound.since_ns is not None else replace(paid, paid=bound.paid)
            self._put(strategy, action.symbol, bound)
        # A split may leave a holding of less than a share, which is paid out: then the position is flat.
        for strategy in list(self.bound.get(action.symbol, _NONE)):
            self.drop_unneeded(strategy, action.symbol)

    # -- checkpoints -------------------------------------------------------------------------------------------

    def export_state(self) -> list[Any]:
        """Return everything that is bound as plain data, for a checkpoint."""
        return [
            [strategy, symbol, msgspec.to_builtins(bound)]
            for symbol, mine in self.bound.items()
            for strategy, bound in mine.items()
        ]

    def import_state(self, saved: Iterable[Any]) -> None:
        """Restore what :meth:`export_state` returned."""
        self.bound.clear()
        self.bounds.clear()
        for strategy, symbol, bound in saved:
            self._put(strategy, symbol, msgspec.convert(bound, BoundLevels, strict=False))

    # -- helpers -----------------------------------------------------------------------------------------------

    def _open_in(self, symbol: str) -> list[tuple[str, BoundLevels]]:
        """List the positions of a symbol whose levels are prices and of which no exit is open."""
        return [
            (strategy, bound)
            for strategy, bound in self.bound.get(symbol, _NONE).items()
            if bound.since_ns is not None and not self._exits.is_requested(strategy, symbol)
        ]

    def _leaving(self, symbol: str) -> list[Key]:
        """List the positions of a symbol that have levels and of which an exit is open."""
        keys = [(strategy, symbol) for strategy in self.bound.get(symbol, _NONE)]
        return [key for key in keys if self._exits.is_requested(*key)]

    def _since_ns(self, fill: Fill, order: Order, now_ns: int) -> int:
        """Return from when on prices count for what ``fill`` bought.

        A purchase at the open of a bar is protected in the rest of that bar; one inside the bar from its end on,
        since it is not known which prices came after it.
        """
        bar = self._bar
        if bar is not None and bar.symbol == fill.symbol and self._fills_at_open and self._is_alone(fill.symbol):
            trigger = order.request.stop_price
            if fill.price >= bar.open and (trigger is None or bar.open >= trigger):
                start_ns = self._start_ns(bar)
                if start_ns is not None:
                    return start_ns
        return self._moment(now_ns)

    def _moment(self, now_ns: int) -> int:
        """Return ``now_ns``, or the time of the value on which is acted within the same second.

        In real time levels are bound a moment after the bar that caused it, which is when the next one begins.
        """
        return max(min(self._shared.last.feed_ts_ns, now_ns), now_ns - now_ns % NS_PER_S)

    def _start_ns(self, bar: Bar) -> int | None:
        return self._venue.bar_began_ns(bar.symbol)

    def _is_alone(self, symbol: str) -> bool:
        return self._shared.last.shows_bars_alone(symbol)

    def _phase(self, symbol: str, ts_ns: int) -> Phase:
        return self._shared.feed.instruments[symbol].calendar.phase_ns(ts_ns)

    def _measured(self, bound: BoundLevels, cost: Decimal, instrument: Instrument, now_ns: int) -> BoundLevels:
        return measured(bound, cost, instrument.ticks, instrument.calendar.local_date(from_ns(now_ns)))

    def _tradable(self, level: Decimal, symbol: str, now_ns: int, *, is_take: bool) -> Decimal:
        """Return ``level`` as the price of an order of today: on the grid, inside the day's band.

        Prices may have moved past a level on days on which nothing traded. What opens beyond a level executes at
        the open, wherever the level lies.
        """
        instrument = self._shared.feed.instruments[symbol]
        day, ticks = instrument.calendar.local_date(from_ns(now_ns)), instrument.ticks
        price = ticks.round_up(level, day) if is_take else ticks.round_down(level, day)
        base = self._shared.base_prices.get(symbol)
        band = None if base is None else ticks.band(base, day)
        return price if band is None else min(max(price, band[0]), band[1])

    def _raise(self, strategy: str, symbol: str, bound: BoundLevels, price: Decimal, ts_ns: int) -> None:
        instrument = self._shared.feed.instruments[symbol]
        day = instrument.calendar.local_date(from_ns(ts_ns))
        higher = raised(bound, price, instrument.ticks, day)
        if higher is not bound:
            self._put(strategy, symbol, higher)

    def _put(self, strategy: str, symbol: str, bound: BoundLevels) -> None:
        self.bound.setdefault(symbol, {})[strategy] = bound
        self._find_bounds(symbol)

    def _drop(self, strategy: str, symbol: str) -> None:
        mine = self.bound[symbol]
        del mine[strategy]
        if not mine:
            del self.bound[symbol]
        self._find_bounds(symbol)

    def _find_bounds(self, symbol: str) -> None:
        found = [bounds_of(one) for one in self.bound.get(symbol, _NONE).values() if one.since_ns is not None]
        if found:
            self.bounds[symbol] = reduce(wider, found)
        else:
            self.bounds.pop(symbol, None)


def _is_whole(since_ns: int | None, start_ns: int | None) -> bool:
    """Return whether every price of a bar that began at ``start_ns`` counts since ``since_ns``; None: unknown."""
    return start_ns is not None and since_ns is not None and since_ns <= start_ns


_NONE: Final[Mapping[str, BoundLevels]] = {}
_TRADES: Final = (Phase.CONTINUOUS, Phase.CLOSING_AUCTION)
"""Phases in which a trade is one of the market."""

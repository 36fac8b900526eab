"""Resolve: from a target to the order that is missing: the target less the holding and less what works already.

A holding is changed by one order at a time. While an order of the strategy works in the symbol the target waits for
its end, and what works against the target is cancelled first, so that no order ever trades with another of ours. So
is what works at another price than the target names: a limit or a trigger that may never be reached would keep a
target at the market waiting for good.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from datetime import date
from decimal import ROUND_DOWN, ROUND_FLOOR, Decimal
from typing import TypeAlias

import msgspec

from qts.execution.contracts import Order
from qts.execution.working import WorkingOrders
from qts.ledger.kept_values import KeptValues
from qts.market.contracts import Instrument, TickRule
from qts.money import ZERO, magnitude, minus, multiple_of, plus, sum_of, times, whole_steps
from qts.pipeline.config import PipelineConfig
from qts.pipeline.contracts import Facts
from qts.pipeline.prices import collared_buy, opening_price
from qts.risk.contracts import OrderRequest, Refusal, Refused
from qts.risk.sizing import payable_qty
from qts.strategy.contracts import Intent, Side, Signal
from qts.strategy.levels import Away, Levels, price_above, price_below
from qts.strategy.targets import Target


class Reached(msgspec.Struct, frozen=True):
    """A target from which holding and working orders are less than one lot away."""


class Waits(msgspec.Struct, frozen=True):
    """A target that waits for the end of working orders; ``against`` are those that have to be cancelled.

    ``is_executing``: it waits for the end of an execution in parts, which has to be given up.
    """

    against: tuple[Order, ...]
    is_executing: bool = False


Resolution: TypeAlias = Intent | Reached | Waits | Refused


class Resolve:
    """Finds what a target asks for at this moment; changes nothing.

    ``extract`` gives the facts of the moment for an intent. ``leaving`` holds the (strategy, symbol) whose holding
    the rules are selling. ``caps_cost``: the broker takes market buys with a cap on their cost.
    """

    def __init__(
        self,
        extract: Callable[[Signal], Facts],
        *,
        worth: KeptValues,
        orders: WorkingOrders,
        leaving: Container[tuple[str, str]],
        config: PipelineConfig,
        caps_cost: bool,
    ) -> None:
        self._extract = extract
        self._worth = worth
        self._account = worth.account
        self._orders = orders
        self._last = worth.last
        self._leaving = leaving
        self._config = config
        self._caps_cost = caps_cost

    def __call__(self, signal: Signal, target: Target) -> Resolution:
        """Return the intent that reaches ``target``, or why there is none now.

        Refused: for a weight without a price, an unknown symbol, and a level on the wrong side of the price.
        """
        as_buy = Intent(target.symbol, Side.BUY, target.confidence, limit=target.limit)
        facts = self._extract(msgspec.structs.replace(signal, intent=as_buy))
        instrument = facts.instrument
        if instrument is None:
            return _refused(facts, Refusal.UNKNOWN_SYMBOL, f"no instrument is known as {target.symbol!r}")
        sized_at = self._sized_at(facts, target)
        wanted = self._wanted(signal, target, instrument, sized_at)
        if wanted is None:
            detail = f"a weight of {target.symbol} needs a price, and there is none to buy at"
            return _refused(facts, Refusal.PRICE_UNUSABLE, detail)
        delta = self._missing(signal, target, wanted, instrument)
        if not target.is_flat and (wrong := self._wrong_level(facts, target, delta, instrument)):
            return _refused(facts, *wrong)
        return self._next_step(facts, target, delta, sized_at, instrument)

    def _next_step(
        self, facts: Facts, target: Target, delta: Decimal, sized_at: Decimal | None, instrument: Instrument
    ) -> Resolution:
        strategy, symbol = facts.signal.strategy, target.symbol
        side = Side.BUY if delta > 0 else Side.SELL
        if (strategy, symbol) in self._leaving:
            if delta <= 0:
                return Reached()  # all of it is being sold
        elif working := self._orders.of(strategy, symbol):
            own = [one for one in working if not (one.forced or one.request.parent_id)]
            if not own and (strategy, symbol) in self._orders.executing:
                return Waits((), is_executing=True) if delta else Reached()
            otherwise = [one for one in own if not works_for(target, one)]
            if not (delta or otherwise):
                return Reached()
            return Waits(tuple(one for one in own if (delta and one.side is not side) or one in otherwise))
        elif not delta:
            return Reached()
        elif (strategy, symbol) in self._orders.executing:
            return Waits((), is_executing=True)
        qty = magnitude(delta)
        if side is Side.BUY and target.weight is not None and sized_at is not None:
            money = min(self._account.cash, self._account.available(facts.signal.pool))
            qty = payable_qty(qty, money, sized_at, instrument, facts.local_day)
            if not qty:
                if self._account.holding(strategy, symbol):
                    return Reached()
                qty = instrument.lot  # the gate says what is missing
        return Intent(
            symbol,
            side,
            target.confidence,
            qty,
            target.limit,
            target.reason,
            target.tif,
            tag=target.tag,
            algo=target.algo,
        )

    def _missing(self, signal: Signal, target: Target, wanted: Decimal, instrument: Instrument) -> Decimal:
        """Return what is to be bought, below 0 what is to be sold, in whole lots toward 0."""
        mine = self._orders.of(signal.strategy, target.symbol)
        holding = self._account.holding(signal.strategy, target.symbol)
        buys = sum_of(one.remaining for one in mine if one.side is Side.BUY)
        sells = sum_of(one.remaining for one in mine if one.side is Side.SELL)
        missing = plus(minus(minus(wanted, holding), buys), sells)
        if self._orders.executing:
            missing = minus(missing, self._orders.unsent(signal.strategy, target.symbol))
        return multiple_of(missing, instrument.lot, ROUND_DOWN)

    def _wanted(
        self, signal: Signal, target: Target, instrument: Instrument, sized_at: Decimal | None
    ) -> Decimal | None:
        """Return the holding that is wanted, that of a weight in whole lots; None without the price it needs."""
        if target.weight is None:
            return Decimal(target.qty or 0)
        if target.is_flat:
            return ZERO
        equity = self._worth.pool_totals()[signal.pool]
        if sized_at is None or not sized_at > 0 or not equity.is_finite():
            return None
        worth = times(max(equity, ZERO), Decimal(target.weight))
        return times(whole_steps(worth, times(sized_at, instrument.lot), ROUND_FLOOR), instrument.lot)

    def _sized_at(self, facts: Facts, target: Target) -> Decimal | None:
        """Return the price at which a buy would be sized now, so that buying and selling agree on the quantity."""
        if target.limit is not None:
            return Decimal(target.limit)
        if self._caps_cost and self._last.shows_bars_alone(target.symbol):
            return opening_price(facts.price, self._config)
        return collared_buy(facts, facts.price, self._config)

    def _wrong_level(
        self, facts: Facts, target: Target, delta: Decimal, instrument: Instrument
    ) -> tuple[Refusal, str] | None:
        """Return why the levels of ``target`` cannot be bound; None when they can, or when there are none."""
        levels = target.levels
        if levels.is_empty:
            return None
        price = facts.price if delta > 0 else self._last.mark(target.symbol)
        if price is None or not price > 0:
            return Refusal.PRICE_UNUSABLE, f"the levels of {target.symbol} cannot be judged without a price"
        if delta > 0 and target.limit is not None:
            price = min(price, Decimal(target.limit))
        cost = self._account.average_cost(facts.signal.strategy, target.symbol)
        return unusable_level(levels, cost or price, price, instrument.ticks, facts.local_day)


def works_for(target: Target, order: Order) -> bool:
    """Return whether ``order`` has the terms of ``target``: its limit, or the market's price where it names none.

    A buy whose limit was at or above the price when it was decided is one at the market: its limit is the collar.
    """
    if order.request.stop_price is not None:
        return False
    if target.limit is not None or order.limit is None:
        return order.limit == target.limit
    return order.side is Side.BUY and order.limit >= order.decision_price


def unusable_level(
    levels: Levels, anchor: Decimal, price: Decimal, ticks: TickRule, day: date
) -> tuple[Refusal, str] | None:
    """Return which level would act at once at ``price`` or is off the grid; None when there is none.

    Distances are measured from ``anchor``, that of a trail from the price: it follows the best one from now on.
    """
    for name, level, start in (("stop", levels.stop, anchor), ("trail", levels.trail, price)):
        if level is None:
            continue
        at = price_below(level, start, ticks, day)
        if not 0 < at < price:
            detail = f"the {name} at {at}{_measured(level, start)} must be above 0 and below the price {price}"
            return Refusal.LEVEL_ON_WRONG_SIDE, detail
        if not ticks.is_valid(at, day):
            return Refusal.OFF_TICK_GRID, f"the {name} {at} is not on the grid of {ticks.tick(at, day)}"
    if levels.take is not None:
        at = price_above(levels.take, anchor, ticks, day)
        if not at > price:
            detail = f"the take at {at}{_measured(levels.take, anchor)} must be above the price {price}"
            return Refusal.LEVEL_ON_WRONG_SIDE, detail
        if not ticks.is_valid(at, day):
            return Refusal.OFF_TICK_GRID, f"the take {at} is not on the grid of {ticks.tick(at, day)}"
    return None


def _measured(level: object, anchor: Decimal) -> str:
    return f" (measured from {anchor})" if isinstance(level, Away) else ""


def _refused(facts: Facts, reason: Refusal, detail: str) -> Refused:
    """Return the refusal of a target for which no order was made."""
    signal, intent = facts.signal, facts.intent
    request = OrderRequest(
        client_order_id="",
        decision_id=signal.decision_id,
        strategy=signal.strategy,
        pool=signal.pool,
        symbol=signal.symbol,
        side=intent.side,
        qty=ZERO,
        limit=None,
        decision_price=facts.price if facts.price is not None else ZERO,
        ts_ns=facts.now_ns,
    )
    return Refused(request, reason, detail)

"""The rules of the pre-trade gate: small pure functions in three ordered lists.

One list for entries, one for exits, one for forced exits (stops and liquidations). The first rule that refuses
ends the matter; its number-bearing text is stored with the refusal.

What may always leave: an exit is never refused by a count of the day, by safety, by the operating state, by a
lock or by money; an exit may also leave on a stale price, because getting out is safer than waiting, but never
on an unknown or senseless one. A forced exit skips the order rate too (the broker's emergency lane paces it) and
may join another working exit as long as both together sell no more than is held.
What never leaves: anything on a symbol, price, quantity or key we are not sure of.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Final, TypeAlias

import msgspec

from qts.capital.contracts import Pool
from qts.market.contracts import Instrument
from qts.money import ONE, ZERO, is_multiple, minus, negated, plus, ratio, times
from qts.risk.config import RiskConfig
from qts.risk.contracts import AccountView, OrderRequest, Refusal, Refused, RiskLimits
from qts.risk.sizing import cost_of
from qts.safety.contracts import SafetyState
from qts.state.contracts import OperatingState, StateProperties
from qts.strategy.contracts import Side
from qts.wording import counted


class Case(msgspec.Struct, frozen=True, gc=False):
    """One question to the gate: what is asked, what is known, what is allowed."""

    request: OrderRequest
    view: AccountView
    instrument: Instrument
    limits: RiskLimits
    state_rules: StateProperties
    config: RiskConfig
    deviation: Decimal
    allowance: Decimal
    day: date

    @property
    def price(self) -> Decimal:
        """Return the price of the moment; ``price_unusable`` stands before every rule that asks for it."""
        assert self.view.price is not None
        return self.view.price

    @property
    def worst_price(self) -> Decimal:
        """Return what one unit of an entry may cost: its limit, else the price and an allowance for slippage."""
        limit = self.request.limit
        return limit if limit is not None else times(self.price_to_expect, plus(ONE, self.allowance))

    @property
    def price_to_expect(self) -> Decimal:
        """Return where the order is expected to execute: at its stop price, else at the price of the moment."""
        stop = self.request.stop_price
        return self.price if stop is None else stop


Rule: TypeAlias = Callable[[Case], Refused | None]


def engine_active(pool: Pool, rules: StateProperties) -> bool:
    """Return whether a pool may hold positions in this state; the portfolio pool always may."""
    if pool is Pool.SCALP:
        return rules.scalp_engine_active
    return rules.swing_engine_active if pool is Pool.SWING else True


# What an entry must not meet: safety, states, engines.


def sell_that_may_grow(case: Case) -> Refused | None:
    """Refuse a SELL that does not promise to reduce: positions are long only, it could open a short."""
    if case.request.side is Side.BUY:
        return None
    return _refuse(case, Refusal.NOTHING_TO_SELL, "a SELL must be reduce_only, positions are long only", "GR040")


def safety_blocks_entries(case: Case) -> Refused | None:
    """Refuse an entry while the safety state allows none."""
    safety = case.view.safety
    if safety is SafetyState.NORMAL or safety is SafetyState.WARNING:
        return None
    detail = f"safety is {_name(case.view.safety)}: only cancels and exits leave"
    return _refuse(case, Refusal.SAFETY_BLOCKS_ENTRIES, detail)


def stopped_by_operator(case: Case) -> Refused | None:
    """Refuse an entry of a part that an operator or a limit has stopped, until its release; exits always leave."""
    if not case.view.stopped:
        return None
    return _refuse(case, Refusal.STOPPED_BY_OPERATOR, f"{case.view.stopped}; entries wait for its release")


def stopped_after_rejects(case: Case) -> Refused | None:
    """Refuse an entry while the broker rejects all orders of this symbol, for the day; exits go on trying."""
    if not case.view.reject_stop:
        return None
    return _refuse(case, Refusal.STOPPED_AFTER_REJECTS, f"{case.view.reject_stop}; entries wait for the next day")


def store_behind(case: Case) -> Refused | None:
    """Refuse an entry while the server that has to have every order is away or behind; exits always leave."""
    if not case.view.store_behind:
        return None
    return _refuse(case, Refusal.STORE_BEHIND, f"{case.view.store_behind}; entries wait for it")


def broker_not_compared(case: Case) -> Refused | None:
    """Refuse an entry until our books were compared with those of the broker; exits always leave."""
    if not case.view.not_compared:
        return None
    detail = f"{case.view.not_compared}; entries wait until its books are compared with ours"
    return _refuse(case, Refusal.BROKER_NOT_COMPARED, detail)


def still_warming(case: Case) -> Refused | None:
    """Refuse an entry while the strategy lacks bars that it has declared for this symbol; exits always leave."""
    if not case.view.warming:
        return None
    return _refuse(case, Refusal.WARMING, f"{case.view.warming}; entries wait for them")


def rejected_just_now(case: Case) -> Refused | None:
    """Refuse what would be rejected again if it left at once; forced exits have a pause of their own."""
    if not case.view.reject_wait:
        return None
    return _refuse(case, Refusal.REJECTED_JUST_NOW, case.view.reject_wait)


def critical_only_mode(case: Case) -> Refused | None:
    """Refuse an entry in critical-only mode."""
    if not case.view.critical_only:
        return None
    return _refuse(case, Refusal.CRITICAL_ONLY_MODE, "critical-only mode: only cancels and exits leave", "GR090")


def state_blocks_entries(case: Case) -> Refused | None:
    """Refuse an entry while the operating state allows none."""
    if case.state_rules.new_entry_enabled:
        return None
    detail = f"{_name(case.view.state)} takes exits only"
    return _refuse(case, Refusal.NEW_ENTRY_BLOCKED_IN_DEFENSIVE_STATE, detail, "GR082")


def engine_inactive(case: Case) -> Refused | None:
    """Refuse an entry of a pool whose engine is inactive in this state."""
    pool = case.request.pool
    if engine_active(pool, case.state_rules):
        return None
    detail = f"the {pool.value} engine sleeps in {_name(case.view.state)}"
    return _refuse(case, Refusal.ENGINE_INACTIVE, detail)


# What every order must be: sensible, on the grid, for an open market, on a key without doubt.


def nothing_to_reduce(case: Case) -> Refused | None:
    """Refuse an exit of more than is held and not yet being sold, or short and not yet bought (``reduce-only``)."""
    view, request = case.view, case.request
    if not request.qty.is_finite():
        return qty_off_lot(case)
    if not (view.holding.is_finite() and view.holding_working_sells.is_finite()):
        return _refuse(case, Refusal.NOTHING_TO_SELL, f"the holding is unknown: {view.holding}", "GR040")
    if request.side is Side.SELL:
        room = minus(view.holding, view.holding_working_sells)
        if view.left_there is not None and view.left_there < room:
            return _beyond_what_is_there(case, view.left_there)
    elif view.holding_working_buys is not None:
        room = minus(negated(view.holding), view.holding_working_buys)
    elif view.working_same_side:
        room = ZERO  # how much the working cover still buys is not known, so nothing is added to it
    else:
        room = negated(view.holding)
    if 0 < room >= request.qty:
        return None
    leaving = view.holding_working_sells if request.side is Side.SELL else view.holding_working_buys or ZERO
    detail = (
        f"{request.side.value} {request.qty} would reduce more than the {max(room, ZERO)} that is left: "
        f"holding {view.holding}, already leaving {leaving}"
    )
    return _refuse(case, Refusal.NOTHING_TO_SELL, detail, "GR040")


def _beyond_what_is_there(case: Case, left: Decimal) -> Refused | None:
    request = case.request
    if 0 < left >= request.qty:
        return None
    detail = (
        f"{request.side.value} {request.qty} is more than the {left} that is left at the broker: others have sold "
        "some of what strategies hold"
    )
    return _refuse(case, Refusal.NOTHING_TO_SELL, detail, "GR040")


def qty_off_lot(case: Case) -> Refused | None:
    """Refuse a quantity that is not a positive multiple of the lot."""
    qty, lot = case.request.qty, case.instrument.lot
    if qty.is_finite() and qty >= lot and is_multiple(qty, lot):
        return None
    return _refuse(case, Refusal.QTY_BELOW_LOT, f"quantity {qty} is not a positive multiple of the lot {lot}")


def market_closed(case: Case) -> Refused | None:
    """Refuse an order while its market takes none; one that executes in a bar that is over belongs to that bar."""
    if case.view.phase.takes_orders or case.request.armed_ns is not None:
        return None
    return _refuse(case, Refusal.MARKET_CLOSED, f"the market of {case.request.symbol} is {case.view.phase.value}")


def price_unusable(case: Case) -> Refused | None:
    """Refuse without a price that is finite and above 0."""
    price, limit, decision = case.view.price, case.request.limit, case.request.decision_price
    if _usable(price) and _usable(decision) and (limit is None or _usable(limit)):
        return None
    detail = f"prices must be finite and above 0: price {price}, decision price {decision}, limit {limit}"
    return _refuse(case, Refusal.PRICE_UNUSABLE, detail)


def price_in_doubt(case: Case) -> Refused | None:
    """Refuse an entry while the market shows an impossible price: its cost is unknown; exits may be tried."""
    if not case.view.in_doubt:
        return None
    return _refuse(case, Refusal.PRICE_IN_DOUBT, f"{case.view.in_doubt}; entries wait for a price that can be")


def price_stale(case: Case) -> Refused | None:
    """Refuse a price that is older than its limit, or of the future: then its age is unknown (``usable-price``)."""
    age, limit = case.view.now_ns - case.view.price_ts_ns, case.view.max_age_ns
    if 0 <= age <= limit:
        return None
    what = f"{_ms(age)} ms old, limit {_ms(limit)} ms" if age > 0 else f"{_ms(-age)} ms in the future"
    return _refuse(case, Refusal.PRICE_STALE, f"the latest price is {what}")


def _ms(ns: int) -> str:
    """Return nanoseconds in ms, thousands separated, to the microsecond where they are not whole."""
    return f"{ns / 1e6:,.3f}".rstrip("0").rstrip(".")


def off_tick_grid(case: Case) -> Refused | None:
    """Refuse a limit or a stop price off the price grid."""
    for name, price in (("limit", case.request.limit), ("stop price", case.request.stop_price)):
        if price is not None and not case.instrument.ticks.is_valid(price, case.day):
            step = case.instrument.ticks.tick(price, case.day)
            return _refuse(case, Refusal.OFF_TICK_GRID, f"{name} {price} is not on the grid of {step}")
    return None


def trigger_on_wrong_side(case: Case) -> Refused | None:
    """Refuse a stop price that the market has reached already: a buy waits above the price, a sell below."""
    stop, price, side = case.request.stop_price, case.price, case.request.side
    if stop is None or (stop > price if side is Side.BUY else stop < price):
        return None
    where = "above" if side is Side.BUY else "below"
    detail = f"the stop price {stop} of a {side.value} must be {where} the price {price}"
    return _refuse(case, Refusal.LEVEL_ON_WRONG_SIDE, detail)


def tag_in_use(case: Case) -> Refused | None:
    """Refuse a second open order under one tag: a cancel by it would not say which."""
    if not case.view.tag_in_use:
        return None
    detail = f"{case.request.strategy} has an open order with the tag {case.request.tag!r}"
    return _refuse(case, Refusal.TAG_IN_USE, detail)


def price_outside_band(case: Case) -> Refused | None:
    """Refuse a price or a limit outside the day's band.

    Without a base price, where the market has a band, the band is unknown: refused as well.
    """
    day, base, ticks = case.day, case.view.base_price, case.instrument.ticks
    if base is None or not _usable(base):
        if ticks.band(case.price, day) is None:
            return None
        detail = f"{case.request.symbol} has a daily price limit but its base price is unknown ({base})"
        return _refuse(case, Refusal.PRICE_OUTSIDE_BAND, detail)
    band = ticks.band(base, day)
    if band is None:
        return None
    request = case.request
    return (
        _outside(case, band, case.price)
        or _outside(case, band, request.limit)
        or _outside(case, band, request.stop_price)
    )


def limit_outside_band(case: Case) -> Refused | None:
    """Refuse an exit with a limit or stop outside a known band; an exit at the market may always try."""
    limit, stop, base = case.request.limit, case.request.stop_price, case.view.base_price
    if (limit is None and stop is None) or base is None or not _usable(base):
        return None
    band = case.instrument.ticks.band(base, case.day)
    return None if band is None else _outside(case, band, limit) or _outside(case, band, stop)


def limit_too_far(case: Case) -> Refused | None:
    """Refuse a limit far on the wrong side of the price: an input error; on the other side it only waits."""
    limit, price = case.request.limit, case.price_to_expect
    if limit is None:
        return None
    beyond = times(minus(limit, price), case.request.side.sign)
    if beyond <= times(case.deviation, price):
        return None
    detail = f"limit {limit} lies {ratio(beyond, price):.4f} beyond the price {price}, allowed {case.deviation}"
    return _refuse(case, Refusal.LIMIT_TOO_FAR, detail)


def unresolved_order(case: Case) -> Refused | None:
    """Refuse while an order of this symbol and side has an unknown fate (``one-unknown-order``)."""
    if not case.view.unknown_order:
        return None
    detail = f"an order of unknown fate is open on {case.request.symbol} {case.request.side.value}"
    return _refuse(case, Refusal.UNRESOLVED_ORDER, detail)


def duplicate_intent(case: Case) -> Refused | None:
    """Refuse a second order of the same strategy, symbol and side."""
    if not case.view.working_same_side:
        return None
    detail = f"{case.request.strategy} already works a {case.request.side.value} of {case.request.symbol}"
    return _refuse(case, Refusal.DUPLICATE_INTENT, detail)


def exit_is_working(case: Case) -> Refused | None:
    """Refuse an entry against one's own working exit: it would trade with oneself."""
    if not case.view.working_other_side:
        return None
    detail = f"{case.request.strategy} is leaving {case.request.symbol}: its exit is still working"
    return _refuse(case, Refusal.CONFLICTING_SIGNALS, detail, "GR030")


def forced_out(case: Case) -> Refused | None:
    """Refuse the strategy's own orders while the rules sell the whole holding."""
    if not case.view.forced_out:
        return None
    detail = f"the rules are selling all that {case.request.strategy} holds of {case.request.symbol}"
    return _refuse(case, Refusal.CONFLICTING_SIGNALS, detail, "GR030")


def being_flattened(case: Case) -> Refused | None:
    """Refuse the strategy's own exits while an operator's command sells its holding: both would sell the same."""
    if not case.view.flattened:
        return None
    detail = f"{case.request.symbol} of {case.request.strategy} is being sold: {case.view.flattened}"
    return _refuse(case, Refusal.CONFLICTING_SIGNALS, detail, "GR030")


def order_rate(case: Case) -> Refused | None:
    """Refuse an order beyond the rate of all orders."""
    return _too_fast(case, case.config.order_rate_per_second)


def entry_rate(case: Case) -> Refused | None:
    """Refuse an entry beyond the rate that leaves exits their part (``exit-capacity``)."""
    return _too_fast(case, case.config.order_rate_per_second - case.config.order_rate_kept_for_exits)


def too_many_open_orders(case: Case) -> Refused | None:
    """Refuse an order beyond the number that may be open."""
    limit = case.config.max_open_orders
    if case.view.open_orders < limit:
        return None
    count = counted(case.view.open_orders, "order is", "orders are")
    return _refuse(case, Refusal.OPEN_ORDERS_LIMIT, f"{count} open, limit {limit}")


# What an entry may cost.


def account_unknown(case: Case) -> Refused | None:
    """Refuse an entry on amounts that are not numbers, or without equity."""
    view = case.view
    known = (
        view.equity.is_finite()
        and view.day_open_equity.is_finite()
        and view.cash.is_finite()
        and view.pool_available.is_finite()
        and view.exposure.is_finite()
        and view.symbol_exposure.is_finite()
    )
    if known and view.equity > 0 and view.day_open_equity > 0:
        return None
    detail = f"the account is not known: equity {view.equity}, at open {view.day_open_equity}, cash {view.cash}"
    return _refuse(case, Refusal.INSUFFICIENT_CAPITAL, detail)


def daily_loss(case: Case) -> Refused | None:
    """Refuse an entry after the day's loss limit."""
    opening, limit = case.view.day_open_equity, case.limits.daily_loss_limit
    lost = minus(opening, case.view.equity)
    if lost < times(limit, opening):
        return None
    detail = f"lost {lost} today, {ratio(lost, opening):.4f} of the opening equity {opening}, limit {limit}"
    return _refuse(case, Refusal.DAILY_LOSS_LIMIT, detail, "GR020")


def too_many_positions(case: Case) -> Refused | None:
    """Refuse an entry beyond the number of open positions."""
    limit = case.limits.max_positions
    if case.view.has_position or case.view.open_positions < limit:
        return None
    return _refuse(case, Refusal.MAX_POSITIONS, f"{case.view.open_positions} positions are open, limit {limit}")


def too_many_trades(case: Case) -> Refused | None:
    """Refuse an entry beyond the day's number."""
    count, limit = case.view.entries_today, case.limits.max_daily_trades
    if count < limit:
        return None
    code = "GR080" if case.view.state is OperatingState.AGGRESSIVE else "GR062"
    return _refuse(case, Refusal.DAILY_TRADE_LIMIT, f"{count} entries today, limit {limit}", code)


def pool_locked(case: Case) -> Refused | None:
    """Refuse an entry of a locked pool."""
    if not case.view.pool_locked:
        return None
    return _refuse(case, Refusal.INSUFFICIENT_CAPITAL, f"the {case.request.pool.value} pool is locked", "GR061")


def exposure_over_limit(case: Case) -> Refused | None:
    """Refuse an entry that would lift exposure above its limit."""
    after = plus(case.view.exposure, times(case.request.qty, case.worst_price))
    most = times(case.limits.exposure_limit, case.view.equity)
    if after <= most:
        return None
    detail = f"exposure would be {after}, limit {most} ({case.limits.exposure_limit} of equity {case.view.equity})"
    return _refuse(case, Refusal.EXPOSURE_LIMIT, detail, "GR001")


def symbol_over_weight(case: Case) -> Refused | None:
    """Refuse an entry that would lift the weight of its symbol above its limit."""
    after = plus(case.view.symbol_exposure, times(case.request.qty, case.worst_price))
    most = times(case.limits.symbol_weight_limit, case.view.equity)
    if after <= most:
        return None
    detail = (
        f"{case.request.symbol} would be {after}, limit {most} "
        f"({case.limits.symbol_weight_limit} of equity {case.view.equity})"
    )
    return _refuse(case, Refusal.SYMBOL_WEIGHT_LIMIT, detail, "GR010")


def capital_too_small(case: Case) -> Refused | None:
    """Refuse an entry that with fee and one quantum exceeds the pool's free money or the account's cash."""
    cost = cost_of(case.request.qty, case.worst_price, case.instrument, case.day)
    money = min(case.view.cash, case.view.pool_available)
    if cost <= money:
        return None
    detail = (
        f"it may cost {cost}, the pool has {case.view.pool_available} free and the account {case.view.cash} cash"
    )
    return _refuse(case, Refusal.INSUFFICIENT_CAPITAL, detail, "GR061")


def dearer_than_all_money(case: Case) -> Refused | None:
    """Refuse an entry that costs more than there is, where a symbol may have all equity: only cash limits it then.

    It stands before :func:`symbol_over_weight`, which would blame a limit of 1 that was never set.
    """
    if case.limits.symbol_weight_limit < ONE:
        return None
    cost, view = cost_of(case.request.qty, case.worst_price, case.instrument, case.day), case.view
    money = min(view.cash, view.pool_available)
    if cost <= money:
        return None
    units = f"{case.request.qty} of {case.request.symbol} at {case.worst_price}"
    detail = f"{units} may cost {cost}, more than there is: {money} (cash {view.cash}, free {view.pool_available})"
    return _refuse(case, Refusal.INSUFFICIENT_CAPITAL, detail, "GR061")


MONEY_RULES: Final[tuple[Rule, ...]] = (
    dearer_than_all_money,
    symbol_over_weight,
    exposure_over_limit,
    capital_too_small,
)


def no_room_for_a_lot(case: Case) -> Refused | None:
    """Refuse an entry for which sizing found no room (quantity 0): name the limit that leaves none for one lot."""
    if not case.request.qty.is_finite() or case.request.qty != 0:
        return None
    one = msgspec.structs.replace(case, request=msgspec.structs.replace(case.request, qty=case.instrument.lot))
    for rule in MONEY_RULES:
        refused = rule(one)
        if refused is not None:
            return Refused(case.request, refused.reason, f"not even one lot fits: {refused.detail}", refused.code)
    detail = (
        f"one lot at {case.worst_price} is more than {case.limits.position_size_limit} of the pool's free "
        f"{case.view.pool_available}"
    )
    return _refuse(case, Refusal.QTY_BELOW_LOT, detail)


ENTRY_RULES: Final[tuple[Rule, ...]] = (
    sell_that_may_grow,
    safety_blocks_entries,
    stopped_by_operator,
    stopped_after_rejects,
    store_behind,
    broker_not_compared,
    critical_only_mode,
    state_blocks_entries,
    engine_inactive,
    still_warming,
    market_closed,
    price_unusable,
    price_in_doubt,
    price_stale,
    off_tick_grid,
    price_outside_band,
    trigger_on_wrong_side,
    limit_too_far,
    unresolved_order,
    duplicate_intent,
    tag_in_use,
    forced_out,
    exit_is_working,
    rejected_just_now,
    entry_rate,
    too_many_open_orders,
    account_unknown,
    daily_loss,
    too_many_trades,
    too_many_positions,
    pool_locked,
    no_room_for_a_lot,
    qty_off_lot,
    *MONEY_RULES,
)
EXIT_RULES: Final[tuple[Rule, ...]] = (
    nothing_to_reduce,
    qty_off_lot,
    market_closed,
    price_unusable,
    off_tick_grid,
    limit_outside_band,
    trigger_on_wrong_side,
    limit_too_far,
    unresolved_order,
    duplicate_intent,
    tag_in_use,
    forced_out,
    being_flattened,
    rejected_just_now,
    order_rate,
)
FORCED_EXIT_RULES: Final[tuple[Rule, ...]] = (
    nothing_to_reduce,
    qty_off_lot,
    market_closed,
    price_unusable,
    off_tick_grid,
    limit_outside_band,
    unresolved_order,
)


def rules_for(request: OrderRequest) -> tuple[Rule, ...]:
    """Return the list that applies. ``forced`` loosens exits only: a forced entry is an entry."""
    if not request.reduce_only:
        return ENTRY_RULES
    return FORCED_EXIT_RULES if request.forced else EXIT_RULES


def _refuse(case: Case, reason: Refusal, detail: str, code: str = "") -> Refused:
    return Refused(case.request, reason, detail, code)


def _usable(price: Decimal | None) -> bool:
    return price is not None and price.is_finite() and price > 0


def _outside(case: Case, band: tuple[Decimal, Decimal], price: Decimal | None) -> Refused | None:
    low, high = band
    if price is None or low <= price <= high:
        return None
    detail = f"{price} is outside today's band {low} to {high} around {case.view.base_price}"
    return _refuse(case, Refusal.PRICE_OUTSIDE_BAND, detail)


def _too_fast(case: Case, limit: int) -> Refused | None:
    count = case.view.orders_last_second
    if count < limit:
        return None
    return _refuse(case, Refusal.ORDER_RATE_LIMIT, f"{count} orders within the last second, limit {limit}")


def _name(member: SafetyState | OperatingState) -> str:
    return str(getattr(member, "value", member))

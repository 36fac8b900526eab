"""The size of an entry: the largest whole-lot quantity that every limit has room for.

Pure; the gate checks the answer again. What it rounds, it rounds down.
"""

from __future__ import annotations

from datetime import date
from decimal import ROUND_FLOOR, Decimal

from qts.clock import from_ns
from qts.market.contracts import Instrument
from qts.money import ZERO, minus, plus, times, whole_steps
from qts.risk.contracts import AccountView, RiskLimits


def qty_for(
    budget: Decimal, price: Decimal, instrument: Instrument, limits: RiskLimits, view: AccountView
) -> Decimal:
    """Return the quantity of a buy at ``price`` (its limit, else the ask), in whole lots, 0 when not one lot fits.

    Bounded by the position-size share of ``budget`` (the pool's free cash), by what symbol weight and exposure
    leave (both of equity), by the pool's and the account's cash; the last three include the fee and one quantum for
    rounding. Anything unknown or not finite gives 0.
    """
    amounts = (budget, price, view.equity, view.exposure, view.symbol_exposure, view.cash, view.pool_available)
    if not all(amount.is_finite() for amount in amounts) or price <= 0:
        return ZERO
    room = min(
        minus(times(limits.symbol_weight_limit, view.equity), view.symbol_exposure),
        minus(times(limits.exposure_limit, view.equity), view.exposure),
    )
    money = min(times(budget, limits.position_size_limit), view.cash, view.pool_available)
    most = _lots(min(room, money), times(price, instrument.lot))
    if most <= 0:
        return ZERO
    day = instrument.calendar.local_date(from_ns(view.now_ns))
    return times(instrument.lot, _lots_with_costs(most, money, price, instrument, day))


def cost_of(qty: Decimal, price: Decimal, instrument: Instrument, day: date) -> Decimal:
    """Return the most cash a buy of ``qty`` at ``price`` takes: amount, fee, one quantum for rounding."""
    amount = times(qty, price)
    return plus(plus(amount, instrument.costs.fee(amount, day)), instrument.quantum)


def payable_qty(qty: Decimal, money: Decimal, price: Decimal, instrument: Instrument, day: date) -> Decimal:
    """Return the most whole lots, up to ``qty``, whose cost at ``price`` is within ``money``, as a quantity."""
    if cost_of(qty, price, instrument, day) <= money:
        return qty
    most = min(_lots(money, times(price, instrument.lot)), _lots(qty, instrument.lot)) if money > 0 else 0
    return times(instrument.lot, _lots_with_costs(most, money, price, instrument, day)) if most > 0 else ZERO


def _lots(money: Decimal, lot_price: Decimal) -> int:
    return int(whole_steps(money, lot_price, ROUND_FLOOR))


def _lots_with_costs(most: int, money: Decimal, price: Decimal, instrument: Instrument, day: date) -> int:
    """Return the most lots, up to ``most``, whose cost is within ``money``; cost grows with quantity."""

    def fits(lots: int) -> bool:
        return cost_of(times(instrument.lot, lots), price, instrument, day) <= money

    if fits(most):
        return most
    low, high = 0, most  # low fits (or is nothing), high does not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low

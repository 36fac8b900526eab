"""Checks of the exchange before it takes an order; the first that fails gives the reason of the rejection.

An answer of "" means that everything fits.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from qts.broker.sim.instrument_book import InstrumentBook
from qts.market.contracts import Instrument
from qts.money import ZERO, is_multiple, minus, plus
from qts.risk.contracts import OrderRequest
from qts.strategy.contracts import Side


def rejection_reason(
    request: OrderRequest, book: InstrumentBook, now_ns: int, day: date, held: Decimal, base: Decimal | None
) -> str:
    """Check quantity, prices, session and holding, in this order; "" when all fit.

    ``day`` is the session day of the order. ``base`` None: the daily band is not known.
    """
    instrument = book.instrument
    return (
        _quantity(request.qty, instrument.lot)
        or _price("limit", request.limit, instrument, day, base)
        or _price("stop price", request.stop_price, instrument, day, base)
        or _session(book, now_ns)
        or (uncovered(request.qty, book, held) if request.side is Side.SELL else "")
    )


def uncovered(qty: Decimal, book: InstrumentBook, held: Decimal) -> str:
    """Check that a sale is covered by what is held and not yet offered by another working sell; "" when it is."""
    offered = ZERO
    for order in book.orders:
        if not order.is_buy:
            offered = plus(offered, order.remaining)
    if qty <= minus(held, offered):
        return ""
    return f"selling {qty} but holding {held}, of which {offered} already offered"


def _quantity(qty: Decimal, lot: Decimal) -> str:
    if not qty.is_finite() or qty <= 0 or not is_multiple(qty, lot):
        return f"quantity {qty} is not a positive multiple of the lot {lot}"
    return ""


def _price(name: str, price: Decimal | None, instrument: Instrument, day: date, base: Decimal | None) -> str:
    if price is None:
        return ""
    if not price.is_finite() or price <= 0:
        return f"{name} {price} is not a finite price above 0"
    if not instrument.ticks.is_valid(price, day):
        return f"{name} {price} is off the tick grid (step {instrument.ticks.tick(price, day)})"
    band = None if base is None else instrument.ticks.band(base, day)
    if band is not None and not band[0] <= price <= band[1]:
        return f"{name} {price} is outside the daily band {band[0]}..{band[1]} around {base}"
    return ""


def _session(book: InstrumentBook, now_ns: int) -> str:
    phase = book.times.phase(now_ns)
    return "" if phase.takes_orders else f"the market is {phase.value}"

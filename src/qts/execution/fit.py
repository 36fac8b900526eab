"""Checks of a fill by what its order, its instrument and the session allow, before it is booked.

Pure: each function answers with why the notice cannot be booked as it stands, "" when it can. What the market shows
at that moment is believed as it is: a price that was shown is neither off its grid nor out of its band.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import date
from decimal import Decimal
from typing import Final

from qts.clock import NS_PER_S, from_ns
from qts.execution.contracts import ExecutionReport, Fill, FillReversed, Order, VenueRef
from qts.market.contracts import Calendar, Instrument, Phase
from qts.money import is_bounded, is_multiple, plus, times
from qts.strategy.contracts import Side

MAX_NAME_LENGTH: Final = 200
"""Characters that an id or a name may have."""
CLOCKS_APART_NS: Final = 60 * NS_PER_S
"""Difference that a broker's clock may have from ours."""
NEAR_A_SESSION_NS: Final = 3_600 * NS_PER_S
FAR: Final = Decimal(10)
"""Factor for markets without a band: a price that far above or below every known price is no price."""
MAX_FILLED: Final = Decimal(2)
"""Times its quantity that an order may be filled: less is an overfill, which is booked, more is not believed."""
MAX_COST_SHARE: Final = Decimal("0.1")
"""Share of the amount that the fee, or the tax, may be."""
_LATEST_NS: Final = 4_102_444_800 * NS_PER_S
"""The year 2100."""


def unreadable(fill: Fill) -> str:
    """Return what in the notice has no value of its kind (type, text, moment, number); "" for nothing."""
    for name in ("broker", "symbol", *(() if fill.execution_id == "" and fill.ref else ("execution_id",))):
        if not is_name(getattr(fill, name)):
            return f"{name} is no text of 1 to {MAX_NAME_LENGTH} characters that can be stored"
    if why := no_order(fill):
        return why
    side: object = fill.side
    if not isinstance(side, Side):
        return "the side is neither BUY nor SELL"
    if not is_moment(fill.ts_ns):
        return "its time is no moment"
    for name in ("qty", "price", "fee", "tax"):
        value = getattr(fill, name)
        if not isinstance(value, Decimal) or not is_bounded(value):
            return f"{name} is no number that can be booked"
    return ""


def unreadable_reversal(report: FillReversed) -> str:
    """Return what in the notice is no name or no moment, so that it identifies no execution; "" for nothing."""
    for name in ("broker", "execution_id", "symbol"):
        if not is_name(getattr(report, name)):
            return f"{name} is no text of 1 to {MAX_NAME_LENGTH} characters that can be stored"
    if why := no_order(report):
        return why
    return "" if is_moment(report.traded_ns) and is_moment(report.ts_ns) else "its time is no moment"


def no_order(report: ExecutionReport) -> str:
    """Return why a notice names no order, by our id or by the broker's number; "" when it names one."""
    if report.client_order_id == "" and report.ref is not None:
        return "" if is_ref(report.ref) else "its order's number cannot be stored"
    if is_name(report.client_order_id):
        return ""
    return f"client_order_id is no text of 1 to {MAX_NAME_LENGTH} characters that can be stored"


def is_ref(ref: object) -> bool:
    """Return whether this can be the number of an order at a venue."""
    if not isinstance(ref, VenueRef) or not isinstance(ref.day, date):
        return False
    return is_name(ref.number) and is_name(ref.venue) and (ref.branch == "" or is_name(ref.branch))


def misfit(
    fill: Fill,
    order: Order,
    instrument: Instrument | None,
    *,
    base: Decimal | None,
    shown: Collection[Decimal],
    now_ns: int,
    market_ns: int,
) -> str:
    """Return what in a readable notice its ``order`` and its ``instrument`` do not allow; "" when they allow it.

    ``base``: the price around which the day's band lies, None unknown. ``shown``: prices that the market shows now.
    ``market_ns``: the time of its newest value.
    """
    if order.symbol != fill.symbol or order.side is not fill.side:
        return f"it is {fill.side.value} {fill.symbol}, its order {order.side.value} {order.symbol}"
    if not (fill.qty > 0 and fill.price > 0):
        return f"it has qty {fill.qty} and price {fill.price}"
    if instrument is None:
        return f"no instrument is known as {fill.symbol}"
    day = instrument.calendar.local_date(from_ns(fill.ts_ns))
    found = (
        *_of_quantity(fill, order, instrument),
        *_of_price(fill, order, instrument, base, shown, day),
        *_of_costs(fill, instrument, day),
        *_of_time(fill, order, instrument.calendar, now_ns, market_ns),
    )
    return "; ".join(found)


def _of_quantity(fill: Fill, order: Order, instrument: Instrument) -> Iterator[str]:
    filled = plus(order.filled, fill.qty)
    if filled > times(order.qty, MAX_FILLED):
        yield f"qty {fill.qty} would fill {filled} of {order.qty}"
    if not is_multiple(fill.qty, instrument.lot) and fill.qty != order.remaining:
        yield f"qty {fill.qty} is not in whole lots of {instrument.lot}"


def _of_price(
    fill: Fill, order: Order, instrument: Instrument, base: Decimal | None, shown: Collection[Decimal], day: date
) -> Iterator[str]:
    price, limit, ticks = fill.price, order.limit, instrument.ticks
    if limit is not None and (price > limit if order.side is Side.BUY else price < limit):
        yield f"price {price} is worse than the limit {limit}"
    if price in shown or price == limit:
        return
    known = [one for one in (order.decision_price, limit, *shown) if one is not None and one > 0]
    if not fill.inferred and not ticks.is_valid(price, day) and all(ticks.is_valid(one, day) for one in known):
        yield f"price {price} is not on the grid of {ticks.tick(price, day)}"
    band = None if base is None else ticks.band(base, day)
    if band is not None and not band[0] <= price <= band[1]:
        yield f"price {price} is outside the day's band of {band[0]} to {band[1]}"
    elif band is None and known and not (min(known) <= times(price, FAR) and price <= times(max(known), FAR)):
        yield f"price {price} is more than {FAR} times away from every price known"


def _of_costs(fill: Fill, instrument: Instrument, day: date) -> Iterator[str]:
    amount = times(fill.qty, fill.price)
    expected = {
        "fee": instrument.costs.fee(amount, day),
        "tax": instrument.costs.tax(amount, is_sell=fill.side is Side.SELL, day=day),
    }
    for name, value in (("fee", fill.fee), ("tax", fill.tax)):
        if (
            not 0
            <= value
            <= max(times(amount, MAX_COST_SHARE), times(expected[name], Decimal(2)), instrument.quantum)
        ):
            yield f"{name} {value} for an amount of {amount}"


def _of_time(fill: Fill, order: Order, calendar: Calendar, now_ns: int, market_ns: int) -> Iterator[str]:
    ts_ns = fill.ts_ns
    if ts_ns > now_ns + CLOCKS_APART_NS:
        yield f"its time is {(ts_ns - now_ns) / NS_PER_S:.0f} s in the future"
    if ts_ns < order.ts_intent_ns - CLOCKS_APART_NS:
        yield f"its time is {(order.ts_intent_ns - ts_ns) / NS_PER_S:.0f} s before its order"
    if abs(ts_ns - market_ns) > CLOCKS_APART_NS and all(
        calendar.phase_ns(near) is Phase.CLOSED
        for near in (ts_ns - NEAR_A_SESSION_NS, ts_ns, ts_ns + NEAR_A_SESSION_NS)
    ):
        yield "its time is far from any session"


def is_name(text: object) -> bool:
    """Return whether this can be an id or a name: a text that can be stored, neither empty nor endless."""
    return isinstance(text, str) and 0 < len(text) <= MAX_NAME_LENGTH and _is_storable(text)


def is_moment(ts_ns: object) -> bool:
    """Return whether this is a moment in nanoseconds at which a market may trade."""
    return type(ts_ns) is int and 0 < ts_ns < _LATEST_NS


def _is_storable(text: str) -> bool:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return False
    return "\0" not in text

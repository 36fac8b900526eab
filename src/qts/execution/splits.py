"""Open orders across a split: what is left of them in new shares, and their prices on the grid of the ex-date."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import NamedTuple

import msgspec

from qts.execution.contracts import Order
from qts.execution.lifecycle import NOTE_LIMIT
from qts.market.actions import Split
from qts.market.contracts import Instrument
from qts.money import plus
from qts.strategy.contracts import Side


class Rescaled(NamedTuple):
    """The rest of an order after a split: whole lots, and its prices; None for a price that it did not have."""

    left: Decimal
    limit: Decimal | None
    stop: Decimal | None


def rescaled(
    split: Split,
    *,
    is_buy: bool,
    left: Decimal,
    limit: Decimal | None,
    stop: Decimal | None,
    instrument: Instrument,
    day: date,
) -> Rescaled | None:
    """Return the rest of an order in shares after ``split``; None when less than a lot, or no price, is left.

    The quantity is cut to whole lots. Prices go to the grid of ``day`` away from the money: a limit is never worse
    for its owner than it was (a buy down, a sale up), and a stop is not reached earlier than it was (a buy up, a
    sale down).
    """
    lots = split.shares(left, instrument.lot)
    new_limit = None if limit is None else on_grid(split.price(limit), instrument, day, up=not is_buy)
    new_stop = None if stop is None else on_grid(split.price(stop), instrument, day, up=is_buy)
    if lots <= 0 or any(price is not None and price <= 0 for price in (new_limit, new_stop)):
        return None
    return Rescaled(lots, new_limit, new_stop)


def on_grid(price: Decimal, instrument: Instrument, day: date, *, up: bool) -> Decimal:
    """Return the price on the grid of ``day`` that is next above (``up``) or below ``price``, or itself."""
    return instrument.ticks.round_up(price, day) if up else instrument.ticks.round_down(price, day)


def split_order(order: Order, split: Split, instrument: Instrument, day: date, now_ns: int) -> Order | None:
    """Return ``order`` after ``split``; None when nothing of it is left: then its venue ends it.

    What was filled before the split stays as it was booked, in old shares; the quantity is that and what is left,
    in new ones. The note says what became of it.
    """
    request = order.request
    new = rescaled(
        split,
        is_buy=order.side is Side.BUY,
        left=order.remaining,
        limit=request.limit,
        stop=request.stop_price,
        instrument=instrument,
        day=day,
    )
    if new is None:
        return None
    at = "" if request.limit is None else f" at {request.limit:f} → {new.limit:f}"
    what = f"split {split} on {split.day}: {order.remaining:f} left → {new.left:f}{at}"
    note = f"{order.note}; {what}" if order.note else what
    return msgspec.structs.replace(
        order,
        request=msgspec.structs.replace(
            request,
            qty=plus(order.filled, new.left),
            limit=new.limit,
            stop_price=new.stop,
            decision_price=split.price(request.decision_price),
        ),
        note=note[-NOTE_LIMIT:],
        ts_update_ns=now_ns,
    )

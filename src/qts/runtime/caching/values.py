"""Makes the values of a cache of what a session has: pure functions, called on the publisher's thread."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final, NamedTuple

from qts.cache.contracts import BookValue, Level, OrderValue, PositionValue, PriceValue, RiskValue
from qts.clock import NS_PER_MS
from qts.execution.contracts import Order
from qts.execution.working import FINAL_STATES
from qts.ledger.contracts import PositionRow
from qts.market.contracts import Bar, Quote, Tick
from qts.money import ZERO, magnitude, minus, plus, ratio, sum_of, times, truncate_to
from qts.risk.contracts import RiskLimits

_HUNDRED: Final = Decimal(100)
_PERCENT_STEP: Final = Decimal("0.0001")


class Depth(NamedTuple):
    """The best levels of an order book, as pairs of price and size; ``ts_ns``: the market's time of it."""

    ts_ns: int
    bids: tuple[tuple[Decimal, Decimal], ...]
    asks: tuple[tuple[Decimal, Decimal], ...]


class Standing(NamedTuple):
    """The worth of an account, and what it has done. ``exposure`` None: a holding has no price.

    ``opening``: its equity at the begin of the market's day. ``trades``: its fills of that day, as committed.
    """

    at_ns: int
    equity: Decimal
    opening: Decimal
    exposure: Decimal | None
    trades: int
    limits: RiskLimits


def price_value(quote: Quote | None, tick: Tick | None, bar: Bar | None, at_ns: int) -> PriceValue | None:
    """Return the price that the newest values of a symbol show; None where they show none."""
    newest = max((one.ts_ns for one in (quote, tick, bar) if one is not None), default=0)
    last: Decimal | None = None
    last_ns = -1
    if quote is not None and quote.last is not None:
        last, last_ns = quote.last, quote.ts_ns
    if tick is not None and tick.ts_ns >= last_ns:
        last, last_ns = tick.price, tick.ts_ns
    if bar is not None and bar.ts_ns > last_ns:
        last = bar.close
    bid, ask = (None, None) if quote is None else (quote.bid, quote.ask)
    if bid is None and ask is None and last is None:
        return None
    volume = bar.volume if bar is not None and quote is None else None if quote is None else quote.volume
    return PriceValue(at_ns=at_ns, timestamp_ms=newest // NS_PER_MS, bid=bid, ask=ask, last=last, volume=volume)


def touch_value(quote: Quote, at_ns: int) -> BookValue | None:
    """Return the order book that a quote shows: one level a side; None where it does not show sizes."""
    bids, asks = _side(quote.bid, quote.bid_size), _side(quote.ask, quote.ask_size)
    if not bids and not asks:
        return None
    return BookValue(at_ns=at_ns, timestamp_ms=quote.ts_ns // NS_PER_MS, bids=bids, asks=asks)


def depth_value(depth: Depth, at_ns: int) -> BookValue:
    """Return an order book."""
    return BookValue(
        at_ns=at_ns,
        timestamp_ms=depth.ts_ns // NS_PER_MS,
        bids=tuple(Level(price, size) for price, size in depth.bids),
        asks=tuple(Level(price, size) for price, size in depth.asks),
    )


def position_value(
    rows: Sequence[PositionRow], mark: Decimal | None, equity: Decimal | None, at_ns: int
) -> PositionValue:
    """Return what all strategies together hold of one symbol, of which ``rows`` are, at the price ``mark``.

    ``equity`` of the account, None or not above 0: no share of it can be told.
    """
    qty, cost = sum_of(row.qty for row in rows), sum_of(row.cost for row in rows)
    value = None if mark is None else times(qty, mark)
    share = None
    if value is not None and equity is not None and equity > 0:
        share = truncate_to(ratio(times(magnitude(value), _HUNDRED), equity), _PERCENT_STEP)
    return PositionValue(
        at_ns=at_ns,
        qty=qty,
        avg_price=ratio(cost, qty) if qty else ZERO,
        updated_at=max(row.ts_ns for row in rows),
        unrealized_pnl=None if value is None else minus(value, cost),
        exposure_pct=share,
    )


def order_value(order: Order, filled: tuple[Decimal, Decimal] | None, at_ns: int) -> OrderValue:
    """Return an order; ``filled`` is the quantity and the amount of its fills, None where they are not known.

    The average is left out where they do not add up to what the order has filled. Nothing is pending of an order
    that has ended: a venue that refused or cancelled it fills no more.
    """
    average = None
    if filled is not None and filled[0] and filled[0] == order.filled:
        average = ratio(filled[1], filled[0])
    return OrderValue(
        at_ns=at_ns,
        status=order.state.value,
        strategy=order.strategy,
        symbol=order.symbol,
        side=order.side.value,
        qty=order.qty,
        filled_qty=order.filled,
        pending_qty=ZERO if order.state in FINAL_STATES else order.remaining,
        limit=order.limit,
        avg_fill_price=average,
    )


def risk_value(standing: Standing) -> RiskValue:
    """Return what an account risks and may risk."""
    limits = standing.limits
    result = minus(standing.equity, standing.opening)
    may_lose = times(standing.opening, limits.daily_loss_limit)
    return RiskValue(
        at_ns=standing.at_ns,
        daily_pnl=result,
        trade_count=standing.trades,
        exposure_used=standing.exposure,
        remaining_limit=max(ZERO, plus(may_lose, result)),
        max_exposure_pct=times(limits.exposure_limit, _HUNDRED),
        daily_loss_limit=may_lose,
    )


def by_symbol(positions: Mapping[tuple[str, str], PositionRow]) -> dict[str, list[PositionRow]]:
    """Return the rows of holdings by symbol."""
    found: dict[str, list[PositionRow]] = {}
    for row in positions.values():
        found.setdefault(row.symbol, []).append(row)
    return found


def is_held(rows: Iterable[PositionRow]) -> bool:
    """Return whether any strategy holds something."""
    return any(row.qty for row in rows)


def _side(price: Decimal | None, size: Decimal | None) -> tuple[Level, ...]:
    return () if price is None or size is None else (Level(price, size),)

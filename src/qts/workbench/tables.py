"""The tables of a finished run: what a result offers by attribute and an export writes, defined once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final

from qts.clock import from_ns, zone_of
from qts.money import ratio
from qts.performance.trips import adverse_excursion, favourable_excursion
from qts.runtime.session.result import SessionFacts
from qts.workbench.rows import Cell, Rows

_TRADES = (
    "symbol", "strategy", "entered", "left", "entry_price", "bought", "sold", "costs", "dividends", "result",
    "return", "mae", "mfe", "ended_by",
)  # fmt: skip
_FILLS = ("time", "symbol", "strategy", "side", "qty", "price", "amount", "fee", "tax", "order_id", "execution_id")
_ORDERS = (
    "time", "symbol", "strategy", "side", "type", "qty", "limit", "state", "filled", "reason", "note", "order_id",
)  # fmt: skip
_EQUITY = ("time", "equity", "cash")

_ACTIONS = (
    "time", "ex_date", "symbol", "strategy", "kind", "held", "change", "new", "old", "price", "amount", "tax",
)  # fmt: skip
_BARS = ("time", "symbol", "open", "high", "low", "close", "volume", "span")
_PLOTS = ("time", "strategy", "pane", "name", "value")


def trades(facts: SessionFacts) -> Rows:
    """Return the completed round trips: entry, exit, amounts, costs, result; MAE and MFE are shares.

    ``ended_by`` is the level that was reached, stop, take or trail; "" for another exit.
    """
    time = _clock(facts)
    return Rows(
        _TRADES,
        (
            (
                trip.symbol,
                trip.strategy,
                time(trip.begun_ns),
                time(trip.ended_ns),
                trip.entry_price,
                trip.bought,
                trip.sold,
                trip.costs,
                trip.paid,
                trip.result,
                float(ratio(trip.result, trip.bought)),
                _share(adverse_excursion(trip)),
                _share(favourable_excursion(trip)),
                trip.ended_by,
            )
            for trip in facts.charts.trips
        ),
    )


def fills(facts: SessionFacts) -> Rows:
    """Return every fill, in the order of booking."""
    time = _clock(facts)
    return Rows(
        _FILLS,
        (
            (
                time(row.ts_ns),
                row.symbol,
                row.strategy,
                row.side.value,
                row.qty,
                row.price,
                row.amount,
                row.fee,
                row.tax,
                row.order_id,
                row.execution_id,
            )
            for row in facts.ledger
        ),
    )


def orders(facts: SessionFacts) -> Rows:
    """Return every order, in the order of its intent; ``limit`` None: at the market."""
    time = _clock(facts)
    return Rows(
        _ORDERS,
        (
            (
                time(order.ts_intent_ns),
                order.symbol,
                order.strategy,
                order.side.value,
                order.request.type.value,
                order.qty,
                order.request.limit,
                order.state.value,
                order.filled,
                order.request.reason,
                order.note,
                order.client_order_id,
            )
            for order in facts.orders
        ),
    )


def equity(facts: SessionFacts) -> Rows:
    """Return the samples of equity and cash, the session closes among them."""
    time = _clock(facts)
    return Rows(_EQUITY, ((time(row.ts_ns), row.equity, row.cash) for row in facts.equity))


def actions(facts: SessionFacts) -> Rows:
    """Return the splits and dividends of what was held, in the order of booking."""
    time = _clock(facts)
    return Rows(
        _ACTIONS,
        (
            (
                time(row.ts_ns),
                row.ex_date,
                row.symbol,
                row.strategy,
                row.kind.value,
                row.held,
                row.change,
                row.new,
                row.old,
                row.price,
                row.amount,
                row.tax,
            )
            for row in facts.actions
        ),
    )


def bars(facts: SessionFacts) -> Rows:
    """Return the candles of the price charts, by symbol; ``span`` bars of the input are one of them."""
    time = _clock(facts)

    def rows() -> Iterable[tuple[Cell, ...]]:
        for one in facts.charts.candles:
            columns = zip(one.times_ns, one.open, one.high, one.low, one.close, one.volume, strict=True)
            for ts_ns, *values in columns:
                yield (time(ts_ns), one.symbol, *values, one.span)

    return Rows(_BARS, rows())


def plots(facts: SessionFacts) -> Rows:
    """Return the points that the strategies have plotted, by series; ``pane`` "": over the prices."""
    time = _clock(facts)
    return Rows(
        _PLOTS,
        (
            (time(ts_ns), line.strategy, line.pane, line.name, value)
            for line in facts.charts.lines
            for ts_ns, value in zip(line.times_ns, line.values, strict=True)
        ),
    )


TABLES: Final[Mapping[str, Callable[[SessionFacts], Rows]]] = {
    "trades": trades,
    "fills": fills,
    "orders": orders,
    "equity": equity,
    "actions": actions,
    "bars": bars,
    "plots": plots,
}
"""Every table by the name of its file in an export."""


def _clock(facts: SessionFacts) -> Callable[[int], datetime]:
    """Return what makes a time of the market's zone from ns since 1970 UTC."""
    zone = zone_of(facts.result.time_zone)
    return lambda ns: from_ns(ns).astimezone(zone)


def _share(value: Decimal | None) -> float | None:
    return None if value is None else float(value)

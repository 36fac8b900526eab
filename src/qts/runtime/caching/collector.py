"""Finds what has changed in a session since it last looked, and lets it wait to be written to the cache."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from qts.cache.config import CacheConfig
from qts.cache.contracts import CacheValue, Kind, StrategyValue, ViewValue
from qts.clock import NS_PER_MS
from qts.execution.contracts import Order
from qts.ledger.contracts import LedgerRow, PositionRow
from qts.money import ZERO, plus
from qts.runtime.caching.session_state import SessionState
from qts.runtime.caching.values import (
    Depth,
    Standing,
    by_symbol,
    depth_value,
    is_held,
    order_value,
    position_value,
    price_value,
    risk_value,
    touch_value,
)

_REFRESHES: Final = 3
"""How often a value that stands is written again within its lifetime."""
_MOST_ORDERS: Final = 10_000
"""The orders whose fills are added up at a time."""


class Collector:
    """A watcher of ``state``, for the publisher's thread alone.

    It tells a changed value from the one before by identity: all of them are replaced, never changed. What stands
    is given again in time, as of the moment at which the session was last seen to go on: of one that hangs or is
    gone everything expires.
    """

    def __init__(self, state: SessionState, config: CacheConfig) -> None:
        self._state, self._config = state, config
        self._markets: dict[str, list[Any]] = {}
        self._depths: dict[str, Depth] = {}
        self._positions: dict[tuple[str, str], PositionRow] = {}
        self._filled: OrderedDict[str, tuple[Decimal, Decimal]] = OrderedDict()
        self._lacking: dict[str, Order] = {}
        """Orders whose fills had not come when they were given: looked at a second time."""
        self._standing: Standing | None = None
        self._strategies: Mapping[str, Mapping[str, str]] = {}
        self._view: tuple[int, bytes] | None = None
        self._refreshed = dict.fromkeys((Kind.POSITION, Kind.ORDER, Kind.STRATEGY), 0)
        self._every = {
            Kind.POSITION: config.position_ms * NS_PER_MS // _REFRESHES,
            Kind.ORDER: config.order_ms * NS_PER_MS // _REFRESHES,
            Kind.STRATEGY: config.strategy_ms * NS_PER_MS // _REFRESHES,
        }

    def changed(self, now_ns: int) -> Iterator[tuple[Kind, str, CacheValue]]:
        """Yield kind, name and value of everything that is to be written, at ``now_ns`` of the machine's clock."""
        yield from self._changed_prices(now_ns)
        yield from self._changed_depths(now_ns)
        yield from self._changed_positions(now_ns)
        yield from self._changed_orders(now_ns)
        yield from self._changed_standing()
        yield from self._changed_strategies(now_ns)
        yield from self._changed_view()

    def fills(self) -> list[LedgerRow]:
        """Take the fills that were committed, and note what they add to their orders."""
        fills = self._state.book.take_fills()
        for row in fills:
            qty, amount = self._filled.pop(row.order_id, (ZERO, ZERO))
            self._filled[row.order_id] = plus(qty, row.qty), plus(amount, row.amount)
            if len(self._filled) > _MOST_ORDERS:
                self._filled.popitem(last=False)
        return fills

    def _is_due(self, kind: Kind) -> bool:
        """Return whether what stands of a kind has to be given again: the session goes on, and it is time."""
        alive_ns = self._state.alive_ns
        if 0 <= alive_ns - self._refreshed[kind] < self._every[kind]:  # below 0: the clock was set back
            return False
        self._refreshed[kind] = alive_ns
        return True

    def _changed_prices(self, now_ns: int) -> Iterator[tuple[Kind, str, CacheValue]]:
        last = self._state.last
        changed: dict[str, bool] = {}
        tables: tuple[dict[str, Any], ...] = (last.quotes, last.ticks, last.bars)
        for place, table in enumerate(tables):
            for symbol, value in table.copy().items():
                known = self._markets.get(symbol)
                if known is None:
                    known = self._markets[symbol] = [None, None, None]
                if known[place] is not value:
                    known[place] = value
                    changed[symbol] = changed.get(symbol, False) or place == 0
        for symbol, is_quoted in changed.items():
            quote, tick, bar = self._markets[symbol]
            price = price_value(quote, tick, bar, now_ns)
            if price is not None:
                yield Kind.PRICE, symbol, price
            if is_quoted and symbol not in self._state.depths:
                touch = touch_value(quote, now_ns)
                if touch is not None:
                    yield Kind.BOOK, symbol, touch

    def _changed_depths(self, now_ns: int) -> Iterator[tuple[Kind, str, CacheValue]]:
        for symbol, depth in self._state.depths.copy().items():
            if self._depths.get(symbol) is not depth:
                self._depths[symbol] = depth
                yield Kind.BOOK, symbol, depth_value(depth, now_ns)

    def _changed_positions(self, now_ns: int) -> Iterator[tuple[Kind, str, CacheValue]]:
        rows, known = self._state.book.positions.copy(), self._positions
        changed = {row.symbol for key, row in rows.items() if known.get(key) is not row}
        is_due = self._is_due(Kind.POSITION)
        if not changed and not is_due:
            return
        self._positions = rows
        equity = None if self._state.standing is None else self._state.standing.equity
        for symbol, held in by_symbol(rows).items():
            if symbol in changed or (is_due and is_held(held)):
                mark = self._state.last.mark(symbol)
                at_ns = now_ns if symbol in changed else self._state.alive_ns
                yield Kind.POSITION, symbol, position_value(held, mark, equity, at_ns)

    def _changed_orders(self, now_ns: int) -> Iterator[tuple[Kind, str, CacheValue]]:
        before = self._lacking
        changed, lacking = dict(before), {}
        for order in self._state.book.take_orders():
            changed[order.client_order_id] = order
        for key, order in changed.items():
            value = order_value(order, self._filled.get(key), now_ns)
            if order.filled and value.avg_fill_price is None and key not in before:
                lacking[key] = order
            yield Kind.ORDER, key, value
        if self._is_due(Kind.ORDER):
            for key, order in self._state.book.working.copy().items():
                if key not in changed:
                    yield Kind.ORDER, key, order_value(order, self._filled.get(key), self._state.alive_ns)
        self._lacking = lacking

    def _changed_standing(self) -> Iterator[tuple[Kind, str, CacheValue]]:
        standing = self._state.standing
        if standing is not None and standing is not self._standing:
            self._standing = standing
            yield Kind.RISK, "", risk_value(standing)

    def _changed_strategies(self, now_ns: int) -> Iterator[tuple[Kind, str, CacheValue]]:
        strategies = self._state.strategies
        is_new = strategies is not self._strategies
        if is_new or self._is_due(Kind.STRATEGY):
            self._strategies = strategies
            at_ns = now_ns if is_new else self._state.alive_ns
            for name, parameters in strategies.items():
                yield Kind.STRATEGY, name, StrategyValue(at_ns=at_ns, parameters=dict(parameters))

    def _changed_view(self) -> Iterator[tuple[Kind, str, CacheValue]]:
        view = self._state.view
        if view is not None and view is not self._view:
            self._view = view
            yield Kind.VIEW, "", ViewValue(at_ns=view[0], json=view[1].decode())

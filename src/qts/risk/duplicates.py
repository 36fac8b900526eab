"""Recognises an order that repeats another one: same strategy, symbol, side, quantity and price, a moment later."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final, TypeAlias

from qts.risk.contracts import OrderRequest
from qts.strategy.contracts import Side

_KEPT: Final = 10_000
_Key: TypeAlias = tuple[str, str, bool, Decimal, Decimal | None, Decimal | None]
"""Strategy, symbol, whether it buys, quantity, limit and stop price."""


class Duplicates:
    """The orders of a moment ago, each by when it was sent or filled last. One thread at a time.

    The price is the limit and the stop price, None for what an order has not. Times are ns of one clock; one before
    the newest counts as the newest. The newest 10,000 orders are remembered.
    """

    def __init__(self) -> None:
        self._last: OrderedDict[_Key, int] = OrderedDict()
        self._newest_ns = 0

    def since_ns(self, request: OrderRequest, now_ns: int) -> int | None:
        """Return how long ago, ns, an order like ``request`` was sent or filled; None: none is remembered."""
        if not self._last:
            return None
        at_ns = self._last.get(_key(request))
        return None if at_ns is None else max(now_ns, self._newest_ns) - at_ns

    def add(self, request: OrderRequest, now_ns: int, window_ns: int) -> None:
        """Note that ``request`` was sent or filled; forget what is older than ``window_ns``."""
        last, key, before_ns = self._last, _key(request), self._newest_ns
        now_ns = self._newest_ns = now_ns if now_ns > before_ns else before_ns
        edge_ns = now_ns - window_ns
        if before_ns <= edge_ns:  # mostly: every one is older
            last.clear()
        else:
            last.pop(key, None)
            while last and (len(last) >= _KEPT or next(iter(last.values())) <= edge_ns):
                last.popitem(last=False)
        last[key] = now_ns

    def export_state(self, now_ns: int) -> list[Any]:
        """Return the orders with the time since each, ns, as plain data, for a checkpoint."""
        now_ns = max(now_ns, self._newest_ns)
        return [
            [strategy, symbol, (Side.BUY if buys else Side.SELL).value, *map(_text, numbers), now_ns - at_ns]
            for (strategy, symbol, buys, *numbers), at_ns in self._last.items()
        ]

    def import_state(self, saved: Sequence[Any], now_ns: int) -> None:
        """Continue from :meth:`export_state`: time in which no process ran lets nothing be forgotten."""
        self._newest_ns = now_ns
        self._last = OrderedDict(
            ((strategy, symbol, side == Side.BUY, Decimal(qty), _price(limit), _price(stop)), now_ns - age_ns)
            for strategy, symbol, side, qty, limit, stop, age_ns in saved
        )


def _key(request: OrderRequest) -> _Key:
    return (
        request.strategy,
        request.symbol,
        request.side is Side.BUY,
        request.qty,
        request.limit,
        request.stop_price,
    )


def _text(number: Decimal | None) -> str | None:
    return None if number is None else str(number)


def _price(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)

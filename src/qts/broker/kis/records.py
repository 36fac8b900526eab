"""The contents of records of the KIS websocket beside prices, and whether the fields of one fit each other."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from decimal import Decimal
from itertools import pairwise
from operator import gt, lt
from typing import Final

import msgspec

from qts.broker.kis import layouts as at
from qts.broker.kis.layouts import Kind
from qts.market.files.numbers import number_of
from qts.market.files.refusals import RowRefused
from qts.money import ZERO, magnitude, minus, plus

_RISES: Final = frozenset({"1", "2"})
_FALLS: Final = frozenset({"4", "5"})


class MarketStatus(msgspec.Struct, frozen=True):
    """The state of trading in one symbol, in the codes of the exchange; "" where a field is empty.

    ``halted`` None: it is not said. ``phase`` is the class of the market's operation, ``stock`` the class of the
    issue, ``vi`` that of a volatility interruption ("N" for none). ``ts_ns``: when it was received.
    """

    symbol: str
    ts_ns: int
    halted: bool | None
    reason: str
    phase: str
    stock: str
    vi: str


def base_price_of(price: Decimal, sign: str, change: str) -> Decimal | None:
    """Return the price that ``change`` counts from; its own sign is not used. None where it is not told."""
    try:
        by = magnitude(number_of(change))
    except RowRefused:
        return None
    if sign in _RISES:
        base = minus(price, by)
    elif sign in _FALLS:
        base = plus(price, by)
    else:
        base = price if sign == "3" and not by else ZERO
    return base if base > 0 else None


def records_fit(kind: Kind, fields: Sequence[str], width: int, symbols: Container[str]) -> bool:
    """Return whether every record of an unknown width shows a known symbol and numbers that fit each other."""
    for start in range(0, len(fields), width):
        record = fields[start : start + width]
        if record[at.SYMBOL] not in symbols:
            return False
        try:
            if kind is Kind.TRADES:
                low, price, high = (number_of(record[place]) for place in (at.LOW, at.PRICE, at.HIGH))
                fits = low <= price <= high
            elif kind is Kind.BOOK:
                asks = [number_of(text) for text in record[at.ASKS : at.BIDS]]
                bids = [number_of(text) for text in record[at.BIDS : at.ASK_SIZES]]
                fits = _is_sorted(asks, lt) and _is_sorted(bids, gt)
            else:
                fits = record[at.STATUS_HALTED] in ("Y", "N")
        except RowRefused:
            return False
        if not fits:
            return False
    return True


def _is_sorted(prices: Sequence[Decimal], is_before: Callable[[Decimal, Decimal], bool]) -> bool:
    """Return whether the prices above 0 are in order, each once."""
    shown = [price for price in prices if price]
    return all(is_before(first, second) for first, second in pairwise(shown))

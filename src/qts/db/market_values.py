"""The rules of market values that every store of many runs keeps, and of the bars that it makes of them."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Final

from qts.clock import NS_PER_S, NS_PER_US, from_ns
from qts.errors import InputError
from qts.market.contracts import Bar
from qts.market.series.intervals import DAY_NS, length_name

MOST_DECIMALS: Final = 8
"""Digits behind the point that a price or size may have."""
MOST_DIGITS: Final = 1_000
"""Digits before the point that it may have."""


def length_of(interval: timedelta) -> int:
    """Return the length of an interval of bars in ns.

    Raises InputError for one below a second, with a part of a second, or of days and a part of a day.
    """
    length = interval // timedelta(microseconds=1) * NS_PER_US
    if length < NS_PER_S or length % NS_PER_S or (length > DAY_NS and length % DAY_NS):
        raise InputError(f"an interval of {interval}: allowed are whole seconds up to a day, and whole days beyond")
    return length


def bar_of(
    symbol: str,
    start_ns: int,
    length: int,
    ends: tuple[Decimal, Decimal, Decimal, Decimal],
    volume: Decimal,
    value: Decimal,
    trades: int,
) -> Bar:
    """Return the bar that begins at ``start_ns``; ``ends`` are its open, high, low and close.

    The last bar of a day is shorter where the day is no multiple of ``length`` (ns). Bars of whole days have a day.
    """
    end_ns, day = start_ns + length, ""
    if length < DAY_NS:
        end_ns = min(end_ns, (start_ns // DAY_NS + 1) * DAY_NS)
    else:
        day = from_ns(start_ns).date().isoformat()
    return Bar(symbol, end_ns, *ends, volume, length_name(length), day, start_ns, value, trades)
